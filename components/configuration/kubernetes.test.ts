import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { systemClock } from "../../lib/kit/clock.ts";
import { FakeKubeApi } from "../../lib/kube/fake-api.ts";
import { kubeResources } from "../../lib/kube/resource.ts";
import { driverContext } from "../shared/test-context.ts";
import { create } from "./kubernetes.ts";
import type { ConfigurationItems, ConfigurationStore } from "./store.ts";

const never = new AbortController().signal;
const request = (...keys: string[]) => ({ keys, metadata: {} });

function put(api: FakeKubeApi, data: Record<string, string>, binaryData?: Record<string, string>, name = "settings"): void {
  api.put(kubeResources.configMaps, { metadata: { namespace: "shop", name }, data, ...(binaryData === undefined ? {} : { binaryData }) });
}

async function open(api: FakeKubeApi): Promise<ConfigurationStore> {
  const context = driverContext("configuration.kubernetes", { configMapName: "settings" }, systemClock);
  const store = create(context, { env: { NAMESPACE: "shop" }, open: async () => api.client() });
  await store.init(never);
  return store;
}

/** `key=value` or `key gone`, in the order told. */
function listener() {
  const told: string[] = [];
  const handler = async (items: ConfigurationItems) => {
    for (const [key, { value, metadata }] of items) told.push(metadata["deleted"] === "true" ? `${key} gone` : `${key}=${value}`);
  };
  const until = async (what: string) => {
    while (!told.includes(what)) await turn();
  };
  return { told, handler, until };
}

test("gets the keys of one ConfigMap, text and binary, with its version", async () => {
  await using api = await FakeKubeApi.start();
  put(api, { a: "1", b: "é\n" }, { c: "AAEC" });
  put(api, { a: "other" }, undefined, "settings2");
  const store = await open(api);
  const all = await store.get(request(), never);
  const version = api.find(kubeResources.configMaps, "shop", "settings")?.metadata.resourceVersion;
  assert.deepEqual(
    [...all],
    [
      ["a", { value: "1", version, metadata: {} }],
      ["b", { value: "é\n", version, metadata: {} }],
      ["c", { value: "AAEC", version, metadata: { encoding: "base64" } }],
    ],
  );
  assert.deepEqual([...(await store.get(request("c", "missing", "__proto__"), never)).keys()], ["c"]);
  await store.close();
});

test("tells each subscriber what changes among its keys, through a restart of the API server, and what goes", async () => {
  await using api = await FakeKubeApi.start();
  put(api, { a: "1", b: "1" });
  const store = await open(api);
  const [all, some] = [listener(), listener()];
  const first = await store.subscribe(request(), all.handler, never);
  await store.subscribe(request("b", "c"), some.handler, never);
  put(api, { a: "2", b: "1" });
  await all.until("a=2");
  api.dropWatches();
  put(api, { a: "2", c: "3" });
  await Promise.all([all.until("c=3"), some.until("c=3")]);
  assert.deepEqual(all.told, ["a=2", "c=3", "b gone"]);
  await first.stop();
  api.remove(kubeResources.configMaps, "shop", "settings");
  await some.until("c gone");
  assert.deepEqual([some.told, all.told.length], [["b gone", "c=3", "c gone"], 3]);
  assert.equal((await store.get(request(), never)).size, 0);
  put(api, { c: "again" });
  await some.until("c=again");
  await store.close();
});

test("one call at a time, the newest value at the end; a handler that fails is told the next all the same", async () => {
  await using api = await FakeKubeApi.start();
  put(api, { a: "0" });
  const store = await open(api);
  const { told, handler, until } = listener();
  let running = 0;
  const subscription = await store.subscribe(
    request("a"),
    async (items) => {
      assert.equal(++running, 1);
      await turn();
      running--;
      await handler(items);
      throw new Error("refused on purpose");
    },
    never,
  );
  for (let n = 1; n <= 200; n++) put(api, { a: String(n) });
  await until("a=200");
  assert.ok(told.length <= 200);
  await subscription.stop();
  await store.close();
});

test("settings that cannot be are named, and so is a cluster that does not answer in time", async () => {
  const build = (metadata: Record<string, string>) => create(driverContext("configuration.kubernetes", metadata, systemClock));
  assert.throws(() => build({}), /configMapName is required/);
  assert.throws(() => build({ configMapName: "No_Such" }), /configMapName "No_Such" is not a valid Kubernetes resource name/);
  assert.throws(() => build({ configMapName: "a", resyncPeriod: "often" }), /'resyncPeriod'/);
  await using api = await FakeKubeApi.start();
  api.fail("GET", /configmaps/, 403, 1_000);
  const context = driverContext("configuration.kubernetes", { configMapName: "settings" }, systemClock);
  const store = create(context, { env: {}, open: async () => api.client() });
  await assert.rejects(store.init(AbortSignal.timeout(300)), /ConfigMap default\/settings could not be listed in time: .*403/);
  await store.close();
});
