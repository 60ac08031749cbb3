// `outrigger run` with one app: what the app gets, and every way the run can end.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { component, configuration, yaml } from "../../build/resource.ts";
import { foreignDaprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { outrigger } from "../../harness/outrigger.ts";
import { reservePorts } from "../../harness/ports.ts";
import type { Program } from "../../harness/program.ts";
import { allGone, appSource, type Listed, listed } from "./fixtures.ts";

interface Started extends AsyncDisposable {
  readonly run: Program;
  readonly home: Folder;
  readonly appId: string;
  readonly appPort: number;
  readonly instance: Listed;
}

/** Runs the fixture app and waits until it is up. */
async function start(env: Readonly<Record<string, string>> = {}): Promise<Started> {
  const home = new Folder("cli");
  home.write("app.mjs", appSource);
  home.write("resources/store.yaml", yaml(component("statestore", "state.in-memory")));
  const [appPort] = (await reservePorts(1)) as [number];
  const appId = `cli-${randomUUID().slice(0, 8)}`;
  // Another daprd may lack the resolver of our default configuration; the user's is merged over it.
  home.write("config.yaml", yaml(configuration(foreignDaprd ? { nameResolution: { component: "mdns" } } : {})));
  const flags = ["--app-id", appId, "--app-port", String(appPort), "--resources-path", "resources", "--config", "config.yaml"];
  const run = await outrigger(["run", ...flags, "--", process.execPath, "app.mjs"], { home, env });
  await run.line(/You're up and running/, 60_000);
  await run.line(/== APP == app listens/);
  // Last word of the start-up: until the sidecar has found the app it invokes nothing.
  await run.line(/== DAPRD == .*dapr initialized\. Status: Running/);
  const [instance] = await listed(home, [appId]);
  if (instance === undefined) throw run.failure("list does not show the run");
  return {
    ...{ run, home, appId, appPort, instance },
    async [Symbol.asyncDispose]() {
      await run[Symbol.asyncDispose]();
      await allGone([instance.daprdPid, instance.appPid]);
      home[Symbol.dispose]();
    },
  };
}

test("the app gets its environment and the sidecar knows about the run", async () => {
  await using it = await start({ EXTRA: "kept" });
  const line = it.run.lines.find((text) => text.startsWith("== APP == env ")) as string;
  const env = JSON.parse(line.slice("== APP == env ".length));
  const { appId, httpPort, grpcPort, cliPid, appPid } = it.instance;
  assert.equal(env.APP_ID, appId);
  assert.equal(env.APP_PORT, String(it.appPort));
  assert.equal(env.APP_PROTOCOL, "http");
  assert.equal(env.DAPR_HTTP_PORT, String(httpPort));
  assert.equal(env.DAPR_GRPC_PORT, String(grpcPort));
  assert.match(env.DAPR_METRICS_PORT, /^\d+$/);
  assert.equal(env.EXTRA, "kept");
  assert.equal(cliPid, it.run.pid);
  const invoked = (await (await fetch(`http://127.0.0.1:${httpPort}/v1.0/invoke/${appId}/method/pid`)).json()) as { pid: number };
  assert.equal(invoked.pid, appPid);
  const { extended } = (await (await fetch(`http://127.0.0.1:${httpPort}/v1.0/metadata`)).json()) as { extended: Record<string, string> };
  assert.equal(extended.cliPID, String(cliPid));
  assert.equal(extended.appPID, String(appPid));
  assert.match(String(extended.appCommand), /app\.mjs$/);
});

test("one Ctrl-C stops the app, then the sidecar, and exits with 0", async () => {
  await using it = await start();
  it.run.signal("SIGINT");
  assert.deepEqual(await it.run.exited(), { code: 0, signal: null });
  assert.match(it.run.output, /app told to stop, sidecar outbound 204/);
  assert.match(it.run.output, /== DAPRD == .*shutting down/i);
  assert.ok(await allGone([it.instance.daprdPid, it.instance.appPid], 0));
  assert.deepEqual(await listed(it.home, [it.appId]), []);
});

test("a second Ctrl-C kills an app that does not stop", async () => {
  await using it = await start({ STUBBORN: "1" });
  it.run.signal("SIGINT");
  await it.run.line(/app told to stop/);
  it.run.signal("SIGINT");
  assert.deepEqual(await it.run.exited(), { code: 130, signal: null });
  assert.ok(await allGone([it.instance.daprdPid, it.instance.appPid], 0));
});

test("an app that exits ends its sidecar, and its exit code is ours", async () => {
  await using it = await start();
  await fetch(`http://127.0.0.1:${it.appPort}/exit?code=7`).catch(() => null);
  assert.deepEqual(await it.run.exited(), { code: 7, signal: null });
  assert.match(it.run.output, /exited with error code: exit status 7/);
  assert.ok(await allGone([it.instance.daprdPid], 0));
});

test("a sidecar that dies is reported with its last words and ends the app", async () => {
  await using it = await start();
  process.kill(it.instance.daprdPid, "SIGKILL");
  assert.deepEqual(await it.run.exited(), { code: 1, signal: null });
  assert.match(it.run.output, /The daprd process of \S+ exited with error code: signal SIGKILL\. Its last words:\n {4}time=/);
  assert.ok(await allGone([it.instance.appPid], 0));
});

test("a sidecar that is shut down by its API ends the run with 0", async () => {
  await using it = await start();
  await fetch(`http://127.0.0.1:${it.instance.httpPort}/v1.0/shutdown`, { method: "POST" });
  assert.deepEqual(await it.run.exited(), { code: 0, signal: null });
  assert.ok(await allGone([it.instance.appPid], 0));
});

test("no orphan stays when the CLI is killed", async () => {
  await using it = await start();
  it.run.signal("SIGKILL");
  assert.ok(await allGone([it.instance.daprdPid, it.instance.appPid]), "app and sidecar end with the CLI");
  assert.deepEqual(await listed(it.home, [it.appId]), []);
});

test("what an app leaves behind in its group ends with it", async () => {
  using home = new Folder("cli");
  home.write("resources/store.yaml", yaml(component("statestore", "state.in-memory")));
  const script = `sleep 300 & echo "left $!"; exit 0`;
  await using run = await outrigger(["run", "--resources-path", "resources", "--app-id", "leaver", "--", "sh", "-c", script], { home });
  const exit = await run.exited(60_000);
  const left = Number(/left (\d+)/.exec(run.output)?.[1]);
  assert.equal(exit.code, 0);
  assert.ok(left > 0);
  assert.ok(await allGone([left], 0));
});

test("a sidecar that cannot start is reported with its last words", async () => {
  using home = new Folder("cli");
  home.write("resources/bad.yaml", yaml(component("bad", "state.no-such-driver")));
  await using run = await outrigger(["run", "--resources-path", "resources", "--", "sh", "-c", "echo started"], { home });
  assert.equal((await run.exited(60_000)).code, 1);
  assert.match(run.output, /The daprd process of \S+ exited with error code: exit status 1\. Its last words:[\s\S]*no-such-driver/);
  assert.doesNotMatch(run.output, /== APP == started/);
});

test("a command that does not exist is reported with the shell's code", async () => {
  using home = new Folder("cli");
  home.write("resources/store.yaml", yaml(component("statestore", "state.in-memory")));
  await using run = await outrigger(["run", "--resources-path", "resources", "--", "no-such-command-here"], { home });
  assert.equal((await run.exited(60_000)).code, 127);
  assert.match(run.output, /== APP == .*no-such-command-here/);
});

test("colours come with FORCE_COLOR and stay away from a pipe", async () => {
  using home = new Folder("cli");
  home.write("resources/store.yaml", yaml(component("statestore", "state.in-memory")));
  const args = ["run", "--resources-path", "resources", "--app-id", "painter", "--", "echo", "hello"];
  await using plain = await outrigger(args, { home });
  await plain.exited(60_000);
  assert.match(plain.output, /^== APP == hello$/m);
  await using coloured = await outrigger(args, { home, env: { FORCE_COLOR: "1" } });
  await coloured.exited(60_000);
  assert.ok(coloured.lines.includes("\u001b[36m== APP ==\u001b[0m hello"));
});

test("the defaults of the home are written once and kept", async () => {
  using home = new Folder("cli");
  home.write("resources/store.yaml", yaml(component("statestore", "state.in-memory")));
  const args = ["run", "--resources-path", "resources", "--app-id", "once", "--", "true"];
  await using first = await outrigger(args, { home });
  await first.exited(60_000);
  const path = home.file("home/resources/statestore.yaml");
  assert.match(readFileSync(path, "utf8"), /type: state\.sqlite/);
  home.write("home/resources/statestore.yaml", "# mine\n");
  await using second = await outrigger(args, { home });
  await second.exited(60_000);
  assert.equal(readFileSync(path, "utf8"), "# mine\n");
});
