import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";

const has = (lines: readonly string[], text: string) => lines.some((line) => line.includes(text));

function component(name: string, type: string, more = ""): string {
  return `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: ${name}}\nspec:\n  type: ${type}\n  version: v1\n${more}`;
}

async function components(sidecar: Daprd): Promise<string> {
  const { components: list = [] } = (await (await sidecar.fetch("/v1.0/metadata")).json()) as { components?: { name: string }[] };
  return list
    .map(({ name }) => name)
    .toSorted()
    .join();
}

function write(folder: Folder, name: string, text: string): void {
  writeFileSync(join(folder.path, name), text);
}

test("components come, change and go with their files, and the others keep their state", { timeout: 60_000 }, async () => {
  using folder = new Folder("resources");
  write(folder, "kept.yaml", component("kept", "state.in-memory"));
  await using sidecar = await daprd({ resourcesPath: folder.path });
  assert.equal((await sidecar.post("/v1.0/state/kept", [{ key: "k", value: "v" }])).status, 204);
  const since = performance.now();
  write(folder, "more.yaml", `${component("a", "state.in-memory")}---\n${component("b", "pubsub.in-memory")}`);
  await sidecar.eventually("both are there", async () => (await components(sidecar)) === "a,b,kept");
  assert.ok(performance.now() - since < 2_000, "within 2 s");
  write(folder, "more.yaml", component("a", "state.sqlite", `  metadata: [{name: connectionString, value: "${folder.file("a.db")}"}]\n`));
  await sidecar.eventually("b is gone", async () => (await components(sidecar)) === "a,kept");
  assert.equal((await sidecar.post("/v1.0/state/a", [{ key: "k", value: 1 }])).status, 204);
  rmSync(join(folder.path, "more.yaml"));
  await sidecar.eventually("a is gone", async () => (await components(sidecar)) === "kept");
  assert.equal(await (await sidecar.fetch("/v1.0/state/kept/k")).json(), "v");
});

test("a component edited to nonsense and back goes on working all the time", { timeout: 60_000 }, async () => {
  using folder = new Folder("resources");
  write(folder, "a.yaml", component("a", "state.in-memory"));
  await using sidecar = await daprd({ resourcesPath: folder.path });
  await sidecar.post("/v1.0/state/a", [{ key: "k", value: 1 }]);
  write(folder, "a.yaml", "kind: [nonsense");
  await sidecar.eventually("the file is named", () => has(sidecar.lines, "parsing manifests yaml resource in"));
  assert.equal(await (await sidecar.fetch("/v1.0/state/a/k")).json(), 1);
  write(folder, "a.yaml", component("a", "state.in-memory"));
  write(folder, "marker.yaml", component("marker", "state.in-memory"));
  await sidecar.eventually("the next change is seen", async () => (await components(sidecar)) === "a,marker");
  assert.equal(await (await sidecar.fetch("/v1.0/state/a/k")).json(), 1);
  assert.ok(!has(sidecar.lines, "Closing existing Component to reload"));
});

test("a changed Configuration is in force at once; one that cannot be read changes nothing", { timeout: 60_000 }, async () => {
  using folder = new Folder("resources");
  const config = (feature: string) =>
    `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec: {features: [{name: ${feature}, enabled: true}]}\n`;
  write(folder, "config.yaml", config("One"));
  await using sidecar = await daprd({ flags: { config: folder.file("config.yaml") } });
  const features = async () => {
    const response = await sidecar.fetch("/v1.0/metadata").catch(() => null);
    return response === null ? "" : ((await response.json()) as { enabledFeatures: string[] }).enabledFeatures.join();
  };
  write(folder, "config.yaml", "spec: [");
  await sidecar.eventually("the error is named", () => has(sidecar.lines, "the change has no effect, for it is wrong"));
  assert.match(await features(), /One/);
  write(folder, "config.yaml", config("Two"));
  await sidecar.eventually("the new one is in force", async () => (await features()).includes("Two"));
});

test("HTTPEndpoints change in place: the sidecar is not started anew", { timeout: 60_000 }, async () => {
  using folder = new Folder("resources");
  await using one = await app({ http: { "*": () => ({ body: "one" }) } });
  await using two = await app({ http: { "*": () => ({ body: "two" }) } });
  const endpoint = ({ port }: { port: number }) =>
    `apiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata: {name: e}\nspec: {baseUrl: "http://127.0.0.1:${port}"}\n`;
  write(folder, "store.yaml", component("store", "state.in-memory"));
  write(folder, "e.yaml", endpoint(one));
  await using sidecar = await daprd({ resourcesPath: folder.path });
  await sidecar.post("/v1.0/state/store", [{ key: "k", value: 1 }]);
  const answer = async () => (await sidecar.fetch("/v1.0/invoke/e/method/x")).text();
  assert.equal(await answer(), "one");
  write(folder, "e.yaml", endpoint(two));
  await sidecar.eventually("the other answers", async () => (await answer()) === "two");
  rmSync(join(folder.path, "e.yaml"));
  await sidecar.eventually("none answers", async () => (await sidecar.fetch("/v1.0/invoke/e/method/x")).status !== 200);
  assert.equal(await (await sidecar.fetch("/v1.0/state/store/k")).json(), 1);
});

test("a signal in the middle of a reload ends the sidecar, once", { timeout: 60_000 }, async () => {
  using folder = new Folder("resources");
  await using sidecar = await daprd({ resourcesPath: folder.path });
  write(folder, "r.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: e}\nspec: {policies: {timeouts: {t: 5s}}}\n");
  await sidecar.eventually("the reload begins", () => has(sidecar.lines, "Dapr is shutting down"));
  sidecar.program.signal("SIGTERM");
  assert.equal((await sidecar.program.exited()).code, 0);
});

test("a burst of 300 resources and back", { timeout: 60_000 }, async () => {
  using folder = new Folder("resources");
  write(folder, "kept.yaml", component("kept", "state.in-memory"));
  await using sidecar = await daprd({ resourcesPath: folder.path });
  for (let i = 0; i < 300; i++) write(folder, `c${i}.yaml`, component(`c${i}`, "state.in-memory"));
  await sidecar.eventually("all are there", async () => (await components(sidecar)).split(",").length === 301);
  for (let i = 0; i < 300; i++) rmSync(join(folder.path, `c${i}.yaml`));
  await sidecar.eventually("all are gone", async () => (await components(sidecar)) === "kept");
});
