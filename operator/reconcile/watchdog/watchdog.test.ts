import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../../lib/kit/fake-clock.ts";
import { FakeKubeApi } from "../../../lib/kube/fake-api.ts";
import type { KubeObject } from "../../../lib/kube/object.ts";
import { kubeResources } from "../../../lib/kube/resource.ts";
import { silentLogger } from "../../../lib/telemetry/log.ts";
import { createOperatorMetrics } from "../../../lib/telemetry/operator-metrics.ts";
import { Watchdog } from "./controller.ts";
import { judge, patchedLabel, restartsPerOwnerMax, restartWindowMs } from "./plan.ts";

const { deployments, pods } = kubeResources;
const set = (uid = "rs") => ({ apiVersion: "apps/v1", kind: "ReplicaSet", name: "set", uid, controller: true });

function pod(name: string, more: { metadata?: object; spec?: object; status?: object } = {}): KubeObject {
  return {
    metadata: { namespace: "a", name, annotations: { "dapr.io/enabled": "true" }, ownerReferences: [set()], ...more.metadata },
    spec: { containers: [{ name: "app" }], ...more.spec },
    status: { phase: "Running", ...more.status },
  };
}

const verdict = (one: KubeObject, restarts: readonly number[] = [], now = 0) => judge(one, new Map([["rs", restarts]]), now);

test("a pod with its sidecar is fine, in whichever list of containers it stands", () => {
  assert.equal(verdict(pod("p", { spec: { containers: [{ name: "app" }, { name: "daprd" }] } })).kind, "label");
  assert.equal(verdict(pod("p", { spec: { initContainers: [{ name: "daprd" }] } })).kind, "label");
  assert.equal(verdict(pod("p", { metadata: { labels: { "dapr.io/sidecar-injected": "true" } } })).kind, "fine");
  assert.equal(verdict(pod("p", { metadata: { annotations: { "dapr.io/enabled": "false" } } })).kind, "fine");
  assert.equal(verdict(pod("p", { metadata: { deletionTimestamp: "now" } })).kind, "fine");
  for (const phase of ["Succeeded", "Failed"]) assert.equal(verdict(pod("p", { status: { phase } })).kind, "fine");
});

test("a pod that will be made anew is deleted, one that will not is reported, and no owner's pods for ever", () => {
  assert.equal(verdict(pod("p")).kind, "restart");
  assert.equal(verdict(pod("p", { metadata: { ownerReferences: [] } })).kind, "report");
  const times = Array.from({ length: restartsPerOwnerMax }, (_, index) => index);
  assert.equal(verdict(pod("p"), times, restartWindowMs - 1).kind, "report");
  assert.equal(verdict(pod("p"), times, restartWindowMs + 1).kind, "restart");
});

/** A watchdog over the pods of an API server, what it reported, and its clock. */
async function watching(api: FakeKubeApi, options: { maxRestartsPerMinute?: number; canPatchLabels?: boolean } = {}) {
  const client = api.client();
  const clock = new FakeClock();
  const stop = new AbortController();
  const reports: string[] = [];
  const known = async () => [...(await client.list(pods, {}, stop.signal)).items];
  let seen = await known();
  const watchdog = new Watchdog({
    client,
    pods: () => seen,
    controlPlaneNamespace: "system",
    intervalMs: 30_000,
    maxRestartsPerMinute: 0,
    canPatchLabels: false,
    ...options,
    recorder: { record: (_resource, { metadata }, _type, _reason, message) => void reports.push(`${metadata.name}: ${message}`) },
    metrics: createOperatorMetrics(),
    clock,
    log: silentLogger,
  });
  const running = watchdog.run(stop.signal);
  return {
    clock,
    reports,
    look: async () => {
      seen = await known();
      await clock.untilWaiting(1);
      await clock.advance(30_000);
      await clock.untilWaiting(1);
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("over"));
      await running;
      client.close();
    },
  };
}

const injector = { metadata: { namespace: "system", name: "dapr-sidecar-injector" }, status: { readyReplicas: 1 } };

test("nothing is deleted before an injector is ready; then it is, and its replacement is looked at again", async () => {
  await using api = await FakeKubeApi.start();
  api.put(pods, pod("p"));
  await using dog = await watching(api);
  await dog.clock.untilWaiting(1);
  assert.match(dog.reports[0] ?? "", /^p: .*no dapr-sidecar-injector is ready/);
  assert.ok(api.find(pods, "a", "p"));
  api.put(deployments, injector);
  await dog.look();
  assert.equal(api.find(pods, "a", "p"), null);
});

test("a controller whose pods come back without a sidecar is left alone after a few", async () => {
  await using api = await FakeKubeApi.start();
  api.put(deployments, injector);
  await using dog = await watching(api);
  const deleted = () => api.requests.filter(({ method }) => method === "DELETE").length;
  for (let round = 0; round < restartsPerOwnerMax + 2; round++) {
    api.put(pods, pod("p"));
    await dog.look();
  }
  assert.equal(deleted(), restartsPerOwnerMax);
  assert.match(dog.reports.at(-1) ?? "", /3 pods of ReplicaSet set were deleted for that/);
});

test("pods are deleted no faster than asked for, and only the one that was looked at", async () => {
  await using api = await FakeKubeApi.start();
  api.put(deployments, injector);
  for (const name of ["p", "q", "r"]) api.put(pods, pod(name, { metadata: { ownerReferences: [set(name)] } }));
  api.fail("DELETE", /pods\/p$/, 409);
  await using dog = await watching(api, { maxRestartsPerMinute: 2 });
  await dog.clock.untilWaiting(1);
  const left = () => ["p", "q", "r"].filter((name) => api.find(pods, "a", name) !== null);
  assert.deepEqual(left(), ["p", "r"]);
  await dog.clock.advance(30_000);
  await dog.clock.untilWaiting(1);
  assert.deepEqual(left(), ["p"]);
});

test("a pod whose sidecar somebody else injected is labelled, where that is wanted", async () => {
  await using api = await FakeKubeApi.start();
  api.put(pods, pod("p", { spec: { containers: [{ name: "daprd" }] } }));
  await using dog = await watching(api, { canPatchLabels: true });
  await dog.clock.untilWaiting(1);
  assert.equal(api.find(pods, "a", "p")?.metadata.labels?.[patchedLabel], "true");
});

test("an API server that refuses is asked again", async () => {
  await using api = await FakeKubeApi.start();
  api.put(deployments, injector);
  api.put(pods, pod("p"));
  api.fail("GET", /pods\/p$/, 500);
  await using dog = await watching(api);
  await dog.look();
  assert.equal(api.find(pods, "a", "p"), null);
});
