import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../../lib/kit/fake-clock.ts";
import { FakeKubeApi } from "../../../lib/kube/fake-api.ts";
import { at, type KubeObject } from "../../../lib/kube/object.ts";
import { kubeResources } from "../../../lib/kube/resource.ts";
import { crdSources } from "../../../lib/resources/crds/crds.ts";
import { customResourceDefinition } from "../../../lib/resources/crds/definition.ts";
import { subscriptionCrd } from "../../../lib/resources/crds/subscription.ts";
import { silentLogger } from "../../../lib/telemetry/log.ts";
import { reconcileCrds } from "./controller.ts";
import { compareVersions, planCaBundle, planCrd, versionAnnotation } from "./plan.ts";

const { customResourceDefinitions } = kubeResources;
const target = { source: subscriptionCrd, version: "1.2.0", namespace: "system" };
const config = (crd: unknown) => at(crd, "spec", "conversion", "webhook", "clientConfig");

test("a CRD is applied with our webhook's namespace, unless a newer operator has applied it", () => {
  const wanted = planCrd(null, target);
  assert.deepEqual(config(wanted), { service: { namespace: "system", name: "dapr-webhook", path: "/convert" } });
  const applied = (version: string): KubeObject => ({ metadata: { name: "x", annotations: { [versionAnnotation]: version } } });
  assert.equal(planCrd(applied("1.10.0"), target), null);
  assert.deepEqual(planCrd(applied("1.1.9"), target), wanted);
  assert.equal(at(planCrd(null, { ...target, namespace: null }), "spec", "conversion"), undefined);
  assert.ok(compareVersions("0.10.0", "0.9.9") > 0 && compareVersions("1.0.0", "1.0.0") === 0 && compareVersions("junk", "0.0.1") < 0);
});

test("the CA bundle is patched when it differs, and the namespace with it", () => {
  const crd = (caBundle: string, namespace: string): KubeObject => ({
    metadata: {},
    spec: { conversion: { webhook: { clientConfig: { caBundle, service: { namespace } } } } },
  });
  const bundle = Buffer.from("PEM").toString("base64");
  assert.equal(planCaBundle(crd(bundle, "system"), "PEM", "system"), null);
  for (const old of [crd("", "system"), crd(bundle, "replaceme")]) {
    const expected = { spec: { conversion: { webhook: { clientConfig: { caBundle: bundle, service: { namespace: "system" } } } } } };
    assert.deepEqual(planCaBundle(old, "PEM", "system"), expected);
  }
});

test("every kind has a CRD whose storage version is one of its versions", () => {
  for (const source of crdSources) {
    const { spec } = customResourceDefinition(source);
    assert.equal(spec.versions.filter(({ storage }) => storage).length, 1, source.kind);
  }
  assert.equal(crdSources.length, 7);
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("all seven come whatever is refused on the way; new trust anchors reach the webhook; nothing is deleted", async () => {
  await using api = await FakeKubeApi.start();
  const client = api.client();
  const clock = new FakeClock();
  const stop = new AbortController();
  let changed = () => {};
  const onChange = (listener: () => void) => {
    changed = listener;
    return () => {};
  };
  const bundle = { pem: "one", onChange };
  api.fail("PATCH", /customresourcedefinitions\/components/, 403, 2);
  api.fail("GET", /customresourcedefinitions\/subscriptions/, 500, 1);
  let failures = 0;
  const metrics = { reconcileFailed: () => void failures++ };
  const options = { client, namespace: "system", version: "1.2.0", bundle, apply: true, metrics, clock, log: silentLogger };
  const running = reconcileCrds(options, stop.signal);
  const find = (plural: string) => api.find(customResourceDefinitions, "", `${plural}.dapr.io`);
  const all = ["components", "configurations", "httpendpoints", "mcpservers", "resiliencies", "subscriptions", "workflowaccesspolicies"];
  const bundleNow = () => Buffer.from(String(at(config(find("subscriptions")), "caBundle") ?? ""), "base64").toString();
  while (!all.every((plural) => find(plural) !== null) || bundleNow() !== "one") {
    await clock.untilWaiting(1);
    await clock.advance(1000);
  }
  assert.equal(failures, 3);
  await clock.untilWaiting(7);
  Object.assign(bundle, { pem: "two" });
  changed();
  await until(() => bundleNow() === "two");
  stop.abort(new Error("over"));
  await running;
  assert.equal(api.requests.filter(({ method }) => method === "DELETE").length, 0);
  client.close();
});
