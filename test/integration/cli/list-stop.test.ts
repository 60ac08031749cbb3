// `outrigger list`, `outrigger stop` and several apps of one run template.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { component, yaml } from "../../build/resource.ts";
import { daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { outrigger, outriggerDone } from "../../harness/outrigger.ts";
import type { Program } from "../../harness/program.ts";
import { allGone, appSource, type Listed, listed } from "./fixtures.ts";

interface Pair extends AsyncDisposable {
  readonly run: Program;
  readonly home: Folder;
  readonly ids: readonly [string, string];
  readonly instances: readonly [Listed, Listed];
}

/** Runs two fixture apps from a template: `front` and `back`, with one suffix so that tests do not meet. */
async function startPair(): Promise<Pair> {
  const home = new Folder("cli");
  const suffix = randomUUID().slice(0, 8);
  const ids = [`back-${suffix}`, `front-${suffix}`] as const;
  home.write("demo/one/app.mjs", appSource);
  home.write("demo/two/app.mjs", appSource);
  home.write("demo/resources/store.yaml", yaml(component("statestore", "state.in-memory")));
  const node = JSON.stringify(process.execPath);
  home.write(
    "demo/dapr.yaml",
    `version: 1
name: pair
common:
  resourcesPath: ./resources
  env:
    EXTRA: shared
  daprdLogDestination: fileAndConsole
apps:
  - appID: ${ids[0]}
    appDirPath: ./one
    command: [${node}, app.mjs]
  - appID: ${ids[1]}
    appDirPath: ./two
    command: [${node}, app.mjs]
    env:
      EXTRA: own
    appLogDestination: console
`,
  );
  const run = await outrigger(["run", "-f", "demo"], { home });
  for (const id of ids) await run.line(new RegExp(`== APP - ${id} == app listens`), 60_000);
  await run.until(() => run.lines.filter((line) => line.includes("up and running")).length === 2, "both apps noted");
  const instances = (await listed(home, ids)) as unknown as [Listed, Listed];
  return {
    ...{ run, home, ids, instances },
    async [Symbol.asyncDispose]() {
      await run[Symbol.asyncDispose]();
      await allGone(instances.flatMap((instance) => [instance.daprdPid, instance.appPid]));
      home[Symbol.dispose]();
    },
  };
}

test("a template runs its apps with merged logs, log files and shared settings", async () => {
  await using pair = await startPair();
  const [back, front] = pair.instances;
  assert.deepEqual([back.appId, front.appId], pair.ids);
  assert.equal(back.runTemplateName, "pair");
  assert.equal(back.runTemplatePath, pair.home.file("demo/dapr.yaml"));
  assert.match(pair.run.output, new RegExp(`== APP - ${pair.ids[0]} == env .*"EXTRA":"shared"`));
  assert.match(pair.run.output, new RegExp(`== APP - ${pair.ids[1]} == env .*"EXTRA":"own"`));
  assert.match(pair.run.output, new RegExp(`== DAPRD - ${pair.ids[0]} == time=`));
  assert.match(back.appLogPath, new RegExp(`demo/one/\\.dapr/logs/${pair.ids[0]}_app_\\d{14}\\.log$`));
  assert.match(readFileSync(back.appLogPath, "utf8"), /^app listens$/m);
  assert.match(readFileSync(front.daprdLogPath, "utf8"), /dapr\.runtime/);
  assert.equal(front.appLogPath, "");
});

test("stop -f ends the whole run, and the run exits with 0", async () => {
  await using pair = await startPair();
  const stopped = await outriggerDone(["stop", "-f", "demo/dapr.yaml"], { home: pair.home });
  assert.equal(stopped.code, 0);
  for (const id of pair.ids) assert.match(stopped.output, new RegExp(`app stopped successfully: ${id}`));
  assert.deepEqual(await pair.run.exited(), { code: 0, signal: null });
  assert.ok(
    await allGone(
      pair.instances.flatMap((instance) => [instance.daprdPid, instance.appPid]),
      0,
    ),
  );
});

test("stop -a ends one app of a run and leaves the other", async () => {
  await using pair = await startPair();
  const [back, front] = pair.instances;
  const stopped = await outriggerDone(["stop", "-a", pair.ids[0]], { home: pair.home });
  assert.equal(stopped.code, 0);
  assert.ok(await allGone([back.daprdPid, back.appPid], 0));
  assert.deepEqual(
    (await listed(pair.home, pair.ids)).map((instance) => instance.appId),
    [pair.ids[1]],
  );
  assert.equal((await fetch(`http://127.0.0.1:${front.httpPort}/v1.0/healthz/outbound`)).status, 204);
});

test("Ctrl-C stops all apps before any sidecar", async () => {
  await using pair = await startPair();
  pair.run.signal("SIGINT");
  assert.deepEqual(await pair.run.exited(), { code: 0, signal: null });
  for (const id of pair.ids) assert.match(pair.run.output, new RegExp(`== APP - ${id} == app told to stop, sidecar outbound 204`));
});

test("an app that cannot start ends the whole run", async () => {
  using home = new Folder("cli");
  home.write("good/app.mjs", appSource);
  home.write("good/.dapr/resources/store.yaml", yaml(component("statestore", "state.in-memory")));
  home.write("bad/.dapr/resources/bad.yaml", yaml(component("bad", "state.no-such-driver")));
  const node = JSON.stringify(process.execPath);
  home.write(
    "dapr.yaml",
    `version: 1\napps:\n  - { appDirPath: good, command: [${node}, app.mjs] }\n  - { appDirPath: bad, command: [${node}, app.mjs] }\n`,
  );
  await using run = await outrigger(["run", "-f", "dapr.yaml"], { home });
  assert.deepEqual(await run.exited(60_000), { code: 1, signal: null });
  assert.match(run.output, /The daprd process of bad exited[\s\S]*no-such-driver/);
  assert.match(run.output, /bad could not be started: stopping the other apps/);
});

test("list and stop know sidecars that others started", async () => {
  using home = new Folder("cli");
  await using sidecar = await daprd({
    appId: `foreign-${randomUUID().slice(0, 8)}`,
    resources: [component("statestore", "state.in-memory")],
  });
  const [instance] = await listed(home, [sidecar.appId]);
  assert.equal(instance?.daprdPid, sidecar.pid);
  assert.equal(instance?.httpPort, sidecar.httpPort);
  const table = await outriggerDone(["list"], { home });
  assert.match(table.output, /^APP ID +HTTP PORT +GRPC PORT +APP PORT +COMMAND +AGE +CREATED +DAPRD PID/);
  assert.equal((await outriggerDone(["stop", "-a", sidecar.appId], { home })).code, 0);
  assert.equal((await sidecar.program.exited()).code, 0);
});

test("wrong command lines are refused with a reason", async () => {
  using home = new Folder("cli");
  const cases: [string[], RegExp][] = [
    [["stop"], /nothing to stop: give --app-id or --run-file/],
    [["stop", "-a", "nobody-has-this-id"], /couldn't find app id nobody-has-this-id/],
    [["list", "-o", "xml"], /invalid output format "xml"/],
    [["run", "--no-such-flag"], /unknown flag: --no-such-flag/],
    [["run", "--app-port", "many"], /invalid argument "many" for "--app-port"/],
    [["run", "--app-id", "a.b", "--", "true"], /app id "a\.b" is invalid/],
    [["run", "-f", "missing.yaml"], /missing\.yaml does not exist/],
    [["run", "--resources-path", "nowhere", "--", "true"], /--resources-path: .*nowhere does not exist/],
    [["start"], /unknown command "start"/],
  ];
  for (const [args, expected] of cases) {
    const done = await outriggerDone(args, { home });
    assert.equal(done.code, 1, args.join(" "));
    assert.match(done.output, expected);
  }
});

test("--version and --help answer", async () => {
  using home = new Folder("cli");
  assert.match((await outriggerDone(["--version"], { home })).output, /^Outrigger version: \d+\.\d+\.\d+/);
  assert.match((await outriggerDone(["--help"], { home })).output, /run +Run an app with a sidecar/);
  for (const verb of ["run", "stop", "list"]) {
    const help = await outriggerDone([verb, "--help"], { home });
    assert.equal(help.code, 0);
    assert.match(help.output, new RegExp(`outrigger ${verb} [\\s\\S]*Flags:`));
  }
});
