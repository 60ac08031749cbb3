// Where resources and configuration come from, and which variables change what is made of them.
import assert from "node:assert/strict";
import { component, configuration, type Resource, yaml } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { type Component, metadataOf } from "./metadata-of.ts";
import { observes } from "./observes.ts";

const store = (name: string) => component(name, "state.in-memory");
const names = (components: readonly Component[]) => components.map(({ name }) => name).sort();

function folderWith(label: string, resource: Resource): Folder {
  const folder = new Folder(label);
  folder.write("resource.yaml", yaml(resource));
  return folder;
}

observes(["resources-path", "components-path"], "repeated and as a list; the deprecated flag counts only alone", async () => {
  using a = folderWith("a", store("a"));
  using b = folderWith("b", store("b"));
  using c = folderWith("c", store("c"));
  await using several = await daprd({ flags: { "resources-path": [a.path, `${b.path},${c.path}`] } });
  assert.deepEqual(names((await metadataOf(several)).components), ["a", "b", "c"]);
  await using both = await daprd({ flags: { "resources-path": a.path, "components-path": b.path } });
  assert.deepEqual(names((await metadataOf(both)).components), ["a"]);
  await using old = await daprd({ flags: { "components-path": b.path } });
  assert.deepEqual(names((await metadataOf(old)).components), ["b"]);
  await old.program.line(/Flag --components-path has been deprecated, use --resources-path/);
});

const secretStore = component("vault", "secretstores.local.env");
const deny = (scopes: readonly object[]) => configuration({ secrets: { scopes } });

observes(["config"], "files are merged in order and $VAR comes from the environment", async () => {
  const features = configuration({ features: [{ name: "One", enabled: true }], logging: { apiLogging: { enabled: true } } });
  const scoped = deny([{ storeName: "$STORE", defaultAccess: "allow", deniedSecrets: ["$" + "{DENIED}"] }]);
  await using sidecar = await daprd({
    config: [features, scoped],
    resources: [secretStore],
    env: { STORE: "vault", DENIED: "HIDDEN", HIDDEN: "no", SHOWN: "yes" },
  });
  const status = async (name: string) => (await sidecar.fetch(`/v1.0/secrets/vault/${name}`)).status;
  assert.deepEqual([await status("HIDDEN"), await status("SHOWN")], [403, 200]);
  await sidecar.program.line(/HTTP API Called/);
  const overruled = deny([{ storeName: "vault", defaultAccess: "deny" }]);
  await using last = await daprd({ config: [scoped, overruled], resources: [secretStore], env: { STORE: "vault", SHOWN: "yes" } });
  assert.equal((await last.fetch("/v1.0/secrets/vault/SHOWN")).status, 403);
});

observes(["NAMESPACE"], "leaves resources of other namespaces out", async () => {
  const inNamespace = (name: string, namespace: string): Resource => ({ ...store(name), metadata: { name, namespace } });
  const resources = [inNamespace("mine", "prod"), inNamespace("theirs", "test"), store("anyones")];
  await using sidecar = await daprd({ resources, env: { NAMESPACE: "prod" } });
  assert.deepEqual(names((await metadataOf(sidecar)).components), ["anyones", "mine"]);
  await using without = await daprd({ resources });
  assert.deepEqual(names((await metadataOf(without)).components), ["anyones", "mine", "theirs"]);
});

/** The secret KEY of a store whose prefix is `prefix`; null when it has none, or when the sidecar has no such store. */
async function secretBehind(prefix: unknown, env: Readonly<Record<string, string>>): Promise<string | null> {
  const vault = component("vault", "secretstores.local.env", { metadata: { prefix } });
  await using sidecar = await daprd({ resources: [vault], env });
  const secret = (await (await sidecar.fetch("/v1.0/secrets/vault/KEY")).json()) as { KEY?: string };
  return secret.KEY || null;
}

observes(["POD_NAME"], "is what {podName} in a component's metadata becomes", async () => {
  assert.equal(await secretBehind("{podName}_", { POD_NAME: "POD", POD_KEY: "found" }), "found");
  assert.equal(await secretBehind("{podName}_", { POD_NAME: "OTHER", POD_KEY: "found" }), null);
});

observes(["DAPR_ENV_KEYS"], "names what envRef may read", async () => {
  const env = { PREFIX: "SOME_", SOME_KEY: "found" };
  assert.equal(await secretBehind({ envRef: "PREFIX" }, env), "found");
  assert.equal(await secretBehind({ envRef: "PREFIX" }, { ...env, DAPR_ENV_KEYS: "OTHER PREFIX" }), "found");
  assert.equal(await secretBehind({ envRef: "PREFIX" }, { ...env, DAPR_ENV_KEYS: "OTHER" }), null);
});

observes(["disable-init-endpoints"], "config and subscribe are not asked of the app", async () => {
  const start = async (disabled: string | null) => {
    await using shop = await app({ subscriptions: [], http: { "/dapr/config": () => ({ body: {} }) } });
    await using _sidecar = await daprd({
      app: shop,
      ready: "all",
      resources: [component("pubsub", "pubsub.in-memory")],
      flags: { "disable-init-endpoints": disabled },
    });
    return ["/dapr/config", "/dapr/subscribe"].map((path) => shop.calls.some((call) => call.path === path));
  };
  assert.deepEqual(await start(null), [true, true]);
  assert.deepEqual(await start("config"), [false, true]);
  assert.deepEqual(await start("subscribe"), [true, false]);
  assert.deepEqual(await start("config,subscribe"), [false, false]);
});
