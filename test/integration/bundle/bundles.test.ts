// The bundles of design.md §1.1: each starts from a folder without node_modules, every chunk of them loads there, and an idle
// sidecar has loaded no driver that it does not use.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import packageJson from "../../../package.json" with { type: "json" };
import { component, configuration } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { copyDist, driverChunks, outputs } from "./built.ts";

const quiet = "--disable-warning=ExperimentalWarning";

/** Services and workers; chunks have a hash in their names. */
const isEntry = (name: string) => !/-[A-Z0-9]{8}\.mjs$/.test(name);

test("dist/ holds the services and the worker", () => {
  const entries = [...outputs().keys()].filter(isEntry);
  for (const name of ["daprd.mjs", "outrigger.mjs", "sqlite-worker.mjs"]) assert.ok(entries.includes(name), `${name} is missing`);
});

test("every bundle and every chunk loads without node_modules", () => {
  using folder = new Folder("bundle");
  const dist = copyDist(folder);
  const chunks = [...outputs().keys()].filter((name) => !isEntry(name));
  assert.ok(chunks.length > 10);
  const script = "for (const file of process.argv.slice(1)) await import(file); console.log('loaded')";
  const args = [quiet, "--input-type=module", "-e", script, ...chunks.map((name) => join(dist, name))];
  assert.equal(execFileSync(process.execPath, args, { cwd: folder.path, encoding: "utf8" }), "loaded\n");
});

test("outrigger starts without node_modules and knows its version", () => {
  using folder = new Folder("bundle");
  const args = [quiet, join(copyDist(folder), "outrigger.mjs"), "--version"];
  assert.match(
    execFileSync(process.execPath, args, { cwd: folder.path, encoding: "utf8" }),
    new RegExp(packageJson.version.replaceAll(".", "\\.")),
  );
});

test("daprd works without node_modules: every driver, rules, metrics and the SQLite worker", async () => {
  using folder = new Folder("bundle");
  const daprdFile = join(copyDist(folder), "daprd.mjs");
  const binary = folder.write("daprd", `#!/bin/sh\nexec '${process.execPath}' ${quiet} '${daprdFile}' "$@"\n`);
  execFileSync("chmod", ["+x", binary]);
  const secretsFile = folder.write("secrets.json", '{"token":"t"}');
  const rules = [{ match: "event.data == 1", path: "/ruled" }];
  const subscriptions = [{ pubsubname: "sqlitebus", topic: "orders", routes: { rules, default: "/event" } }];
  await using shop = await app({ subscriptions, http: { "/ruled": () => ({}) } });
  await using sidecar = await daprd({
    binary,
    app: shop,
    cwd: folder.path,
    ready: "all",
    resources: [
      component("store", "state.sqlite", { metadata: { connectionString: folder.file("state.sqlite") } }),
      component("memory", "state.in-memory"),
      component("sqlitebus", "pubsub.sqlite", { metadata: { connectionString: folder.file("bus.sqlite") } }),
      component("bus", "pubsub.in-memory"),
      component("file", "secretstores.local.file", { metadata: { secretsFile } }),
      component("env", "secretstores.local.env"),
    ],
  });
  assert.equal((await sidecar.post("/v1.0/state/store", [{ key: "k", value: 1 }])).status, 204);
  assert.equal((await sidecar.post("/v1.0/publish/sqlitebus/orders", 1)).status, 204);
  await shop.called("/ruled");
  assert.deepEqual(await (await sidecar.fetch("/v1.0/secrets/file/token")).json(), { token: "t" });
  const metrics = await (await fetch(`http://127.0.0.1:${sidecar.metricsPort}/metrics`)).text();
  assert.match(metrics, /^process_resident_memory_bytes /m);
});

/** Names in dist/ that a sidecar has loaded once it is ready. */
async function loadedBy(options: Parameters<typeof daprd>[0]): Promise<string[]> {
  using folder = new Folder("loaded");
  const LOADED_MODULES = folder.write("loaded", "");
  const NODE_OPTIONS = `--import ${fileURLToPath(new URL("log-modules.ts", import.meta.url))}`;
  await using sidecar = await daprd({ ready: "all", ...options, env: { LOADED_MODULES, NODE_OPTIONS } });
  assert.equal((await sidecar.fetch("/v1.0/metadata")).status, 200);
  const urls = readFileSync(LOADED_MODULES, "utf8").split("\n");
  return urls.map((url) => url.slice(url.lastIndexOf("/") + 1));
}

const ofDrivers = (names: readonly string[]) => names.flatMap((name) => driverChunks().get(name) ?? []).sort();

test("an idle sidecar has loaded no driver but the default name resolution, and none of the lazy libraries", async () => {
  const names = await loadedBy({});
  assert.ok(names.includes("daprd.mjs"), "the hook saw nothing");
  assert.ok(driverChunks().size >= 8);
  assert.deepEqual(ofDrivers(names), ["components/nameresolution/mdns.ts"]);
  assert.deepEqual(
    names.filter((name) => /^(prom-client|cel)-/.test(name)),
    [],
  );
  const ofRedis = [...outputs()].filter(([, { inputs }]) => Object.keys(inputs).some((input) => input.includes("node_modules/@redis/")));
  assert.ok(ofRedis.length > 0, "no chunk holds the Redis client");
  assert.deepEqual(
    ofRedis.map(([name]) => name).filter((name) => names.includes(name)),
    [],
  );
});

test("a sidecar loads the drivers of its components and no other", async () => {
  using folder = new Folder("names");
  const nameResolution = { component: "sqlite", configuration: { connectionString: folder.file("names.sqlite") } };
  const names = await loadedBy({ config: configuration({ nameResolution }), resources: [component("store", "state.in-memory")] });
  assert.deepEqual(ofDrivers(names), ["components/nameresolution/sqlite.ts", "components/state/memory.ts"]);
});
