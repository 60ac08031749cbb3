import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../lib/kit/clock.ts";
import { FakeClock } from "../lib/kit/fake-clock.ts";
import { FakeKubeApi } from "../lib/kube/fake-api.ts";
import { arrayOf, at } from "../lib/kube/object.ts";
import { daprResources, kubeResources } from "../lib/kube/resource.ts";
import { HeldTrustBundle } from "../lib/security/trust-bundle.ts";
import { silentLogger } from "../lib/telemetry/log.ts";
import { CaBundleReconciler, planCaBundle, validatingWebhooks } from "./ca-bundle.ts";
import { Cluster, hasNativeSidecars } from "./cluster.ts";

const log = silentLogger;

test("native sidecars from 1.29 on; what cannot be read is old", () => {
  const native = (major: unknown, minor: unknown) => hasNativeSidecars({ major, minor });
  assert.deepEqual([native("1", "29"), native("1", "34+"), native("2", "0"), native("1", "29-eks-1")], [true, true, true, true]);
  assert.deepEqual(
    [native("1", "28"), native("1", ""), native("", "30"), native(undefined, 30), hasNativeSidecars({})],
    [false, false, false, false, false],
  );
});

async function until(check: () => boolean): Promise<void> {
  for (let tries = 0; !check(); tries++) {
    assert.ok(tries < 2000, "it did not happen");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("follows namespaces, keeping only what is ours; reads mTLS; lives without a version", async () => {
  await using api = await FakeKubeApi.start();
  const labels = { "dapr.io/inject": "enabled", team: "a" };
  api.put(kubeResources.namespaces, { metadata: { name: "shop", labels, annotations: { "dapr.io/config": "c", note: "n" } } });
  api.put(daprResources.configurations, { metadata: { namespace: "dapr-system", name: "daprsystem" }, spec: { mtls: { enabled: false } } });
  const stop = new AbortController();
  const cluster = new Cluster({ client: api.client(), controlPlaneNamespace: "dapr-system", log, clock: systemClock });
  assert.deepEqual([cluster.mtls, cluster.nativeSidecars, cluster.namespace("shop")], [true, false, null]);
  await cluster.start(stop.signal);
  assert.deepEqual(cluster.namespace("shop"), { labels: { "dapr.io/inject": "enabled" }, annotations: { "dapr.io/config": "c" } });
  assert.deepEqual([cluster.mtls, cluster.nativeSidecars], [false, false]);
  api.put(kubeResources.namespaces, { metadata: { name: "later", labels } });
  await until(() => cluster.namespace("later") !== null);
  stop.abort();
});

test("a Configuration of the same name in another namespace has no say", async () => {
  await using api = await FakeKubeApi.start();
  const off = { spec: { mtls: { enabled: false } } };
  api.put(daprResources.configurations, { metadata: { namespace: "dapr-system-2", name: "daprsystem" }, ...off });
  api.put(daprResources.configurations, { metadata: { namespace: "dapr-system", name: "daprsystem-2" }, ...off });
  const stop = new AbortController();
  const cluster = new Cluster({ client: api.client(), controlPlaneNamespace: "dapr-system", log, clock: systemClock });
  await cluster.start(stop.signal);
  assert.equal(cluster.mtls, true);
  stop.abort();
});

test("starts although everything is forbidden", async () => {
  await using api = await FakeKubeApi.start();
  api.fail("GET", /./, 403, 1000);
  const stop = new AbortController();
  const cluster = new Cluster({ client: api.client(), controlPlaneNamespace: "dapr-system", log, clock: systemClock });
  await cluster.start(stop.signal);
  assert.deepEqual([cluster.mtls, cluster.nativeSidecars, cluster.namespace("shop")], [true, false, null]);
  await assert.rejects(cluster.components("shop", stop.signal), /403/);
  stop.abort();
});

test("Components with their scopes and annotations", async () => {
  await using api = await FakeKubeApi.start();
  const annotations = { "dapr.io/component-container": "{}" };
  api.put(daprResources.components, { metadata: { namespace: "shop", name: "store", annotations }, scopes: ["a"] });
  api.put(daprResources.components, { metadata: { namespace: "other", name: "store" } });
  const cluster = new Cluster({ client: api.client(), controlPlaneNamespace: "dapr-system", log, clock: systemClock });
  assert.deepEqual(await cluster.components("shop", AbortSignal.timeout(5000)), [{ name: "store", annotations, scopes: ["a"] }]);
});

const webhooks = [
  { name: "a", clientConfig: { service: { name: "s" } } },
  { name: "b", clientConfig: { caBundle: "old" } },
];
const configuration = { metadata: { name: "dapr-sidecar-injector" }, webhooks };

test("the plan changes what differs, and only where it still stands", () => {
  assert.deepEqual(planCaBundle(configuration, "new"), [
    { op: "test", path: "/webhooks/0/name", value: "a" },
    { op: "add", path: "/webhooks/0/clientConfig/caBundle", value: "new" },
    { op: "test", path: "/webhooks/1/name", value: "b" },
    { op: "add", path: "/webhooks/1/clientConfig/caBundle", value: "new" },
  ]);
  assert.equal(planCaBundle({ metadata: {}, webhooks: [{ name: "a", clientConfig: { caBundle: "new" } }] }, "new"), null);
  assert.equal(planCaBundle({ metadata: {}, webhooks: null }, "new"), null);
});

test("the CA bundle is put in, put back, and follows the anchors; a refusal is counted and tried again", async () => {
  await using api = await FakeKubeApi.start();
  api.put(kubeResources.mutatingWebhooks, configuration);
  api.fail("PATCH", /mutatingwebhook/, 403, 1);
  const clock = new FakeClock();
  const bundle = new HeldTrustBundle({ anchors: [], pem: "one" });
  const stop = new AbortController();
  let failures = 0;
  const reconciler = new CaBundleReconciler({ client: api.client(), bundle, log, clock, onFailure: () => failures++ });
  const bundles = () =>
    arrayOf(at(api.find(kubeResources.mutatingWebhooks, "", "dapr-sidecar-injector"), "webhooks")).map((webhook) =>
      Buffer.from(String(at(webhook, "clientConfig", "caBundle") ?? ""), "base64").toString(),
    );
  // The reconciler sleeps on the fake clock, but between its sleeps it waits for real answers: time has to go on until it is there.
  const inTime = async (text: string) => {
    for (let tries = 0; !bundles().every((bundle) => bundle === text); tries++) {
      assert.ok(tries < 2000, "it did not happen");
      await clock.advance(1000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await reconciler.start(stop.signal);
  assert.deepEqual([failures, bundles()[0]], [1, ""]);
  await inTime("one");
  api.put(kubeResources.mutatingWebhooks, configuration);
  await inTime("one");
  bundle.set({ anchors: [], pem: "two" });
  await inTime("two");
  api.put(validatingWebhooks, { metadata: configuration.metadata, webhooks: [{ name: "c", clientConfig: {} }] });
  await clock.advance(20_000);
  const advice = () =>
    at(arrayOf(at(api.find(validatingWebhooks, "", "dapr-sidecar-injector"), "webhooks"))[0], "clientConfig", "caBundle");
  await until(() => advice() === Buffer.from("two").toString("base64"));
  assert.equal(failures, 1);
  stop.abort();
});
