import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../../lib/kit/clock.ts";
import { FakeKubeApi } from "../../../lib/kube/fake-api.ts";
import type { KubeObject } from "../../../lib/kube/object.ts";
import { kubeResources } from "../../../lib/kube/resource.ts";
import { silentLogger } from "../../../lib/telemetry/log.ts";
import { createOperatorMetrics } from "../../../lib/telemetry/operator-metrics.ts";
import { ServicesController } from "./controller.ts";
import { planService, slimWorkload } from "./plan.ts";

const { deployments, services, statefulSets } = kubeResources;

function workload(name: string, annotations: Record<string, string>, more: object = {}): KubeObject {
  return {
    metadata: { namespace: "a", name, uid: `uid-of-${name}` },
    spec: { selector: { matchLabels: { app: name } }, template: { metadata: { annotations } } },
    ...more,
  };
}

const enabled = (appId: string, more: Record<string, string> = {}) => ({ "dapr.io/enabled": "true", "dapr.io/app-id": appId, ...more });
const plan = (annotations: Record<string, string>) => planService({ resource: deployments, object: workload("w", annotations) });

test("a Service has Dapr's names, ports, labels and annotations", () => {
  const planned = plan(
    enabled("shop", {
      "dapr.io/metrics-port": "9191",
      "dapr.io/grpc-port": "x",
      "dapr.io/sidecar-svc-annotations": "a=1, b = 2 ,dapr.io/app-id=x,broken",
    }),
  );
  assert.ok(planned.kind === "wanted");
  assert.equal(planned.name, "shop-dapr");
  assert.deepEqual(planned.service["metadata"], {
    name: "shop-dapr",
    namespace: "a",
    labels: { "dapr.io/enabled": "true" },
    annotations: {
      "dapr.io/app-id": "shop",
      "prometheus.io/probe": "true",
      "prometheus.io/scrape": "true",
      "prometheus.io/port": "9191",
      "prometheus.io/path": "/",
      a: "1",
      b: "2",
    },
    ownerReferences: [
      { apiVersion: "apps/v1", kind: "Deployment", name: "w", uid: "uid-of-w", controller: true, blockOwnerDeletion: true },
    ],
  });
  const { ports, ...spec } = planned.service["spec"] as { ports: { name: string; port: number; targetPort: number }[] };
  assert.deepEqual(spec, { clusterIP: "None", selector: { app: "w" } });
  assert.deepEqual(
    ports.map(({ name, port, targetPort }) => [name, port, targetPort]),
    [
      ["dapr-http", 80, 3500],
      ["dapr-grpc", 50001, 50001],
      ["dapr-internal", 50002, 50002],
      ["dapr-metrics", 9191, 9191],
    ],
  );
});

test("without metrics nothing is scraped; without app id there is no Service; a name that can be none is refused", () => {
  const quiet = plan(enabled("shop", { "dapr.io/enable-metrics": "no" }));
  assert.deepEqual(quiet.kind === "wanted" && (quiet.service["metadata"] as KubeObject["metadata"]).annotations, {
    "dapr.io/app-id": "shop",
  });
  assert.equal(plan({ "dapr.io/enabled": "true" }).kind, "none");
  for (const appId of ["Shop", "a.b", "-a", "a/b", "a".repeat(59)]) assert.equal(plan(enabled(appId)).kind, "refused", appId);
  assert.equal(
    planService({ resource: deployments, object: { metadata: { ...workload("w", {}).metadata, deletionTimestamp: "now" } } }).kind,
    "none",
  );
});

test("what is kept of a workload does not change with its status", () => {
  const one = slimWorkload(workload("w", enabled("shop"), { status: { replicas: 1 } }));
  assert.deepEqual(one, slimWorkload(workload("w", enabled("shop"), { status: { replicas: 2 } })));
  assert.equal(slimWorkload(workload("w", { "dapr.io/app-id": "shop" })), null);
});

/** A controller that runs until the end of the test, and the Events it wrote. */
function started(api: FakeKubeApi) {
  const client = api.client();
  const stop = new AbortController();
  const events: string[] = [];
  const controller = new ServicesController({
    client,
    resources: [deployments, statefulSets],
    namespace: null,
    recorder: { record: (_resource, { metadata }, _type, reason) => void events.push(`${metadata.name} ${reason}`) },
    metrics: createOperatorMetrics(),
    clock: systemClock,
    log: silentLogger,
  });
  const running = controller.run(stop.signal);
  return {
    events,
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("over"));
      await running;
      client.close();
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

const service = (api: FakeKubeApi) => api.find(services, "a", "shop-dapr");
const owner = (api: FakeKubeApi) => service(api)?.metadata.ownerReferences?.map(({ name }) => name);

test("a Service comes with its workload, follows it, and comes back when somebody deletes or bends it", async () => {
  await using api = await FakeKubeApi.start();
  api.put(deployments, workload("shop", enabled("shop")));
  await using _running = started(api);
  await until(() => service(api) !== null);
  api.remove(services, "a", "shop-dapr");
  await until(() => service(api) !== null);
  api.put(services, { ...service(api), spec: { ...(service(api)?.["spec"] as object), selector: { app: "wrong" } } });
  await until(() => JSON.stringify(service(api)?.["spec"]).includes('{"app":"shop"}'));
  api.put(deployments, workload("shop", enabled("shop", { "dapr.io/metrics-port": "9999" })));
  await until(() => service(api)?.metadata.annotations?.["prometheus.io/port"] === "9999");
});

test("a conflict and a refusal are tried again until the Service stands", async () => {
  await using api = await FakeKubeApi.start();
  api.fail("PATCH", /services/, 409, 2);
  api.fail("PATCH", /services/, 500, 1);
  api.put(statefulSets, workload("shop", enabled("shop")));
  await using running = started(api);
  await until(() => service(api) !== null);
  assert.deepEqual(running.events, []);
});

test("of two workloads of one app id the first keeps the Service, and the other has it when the first is gone", async () => {
  await using api = await FakeKubeApi.start();
  api.put(deployments, workload("blue", enabled("shop")));
  await using running = started(api);
  await until(() => service(api) !== null);
  api.put(deployments, workload("green", enabled("shop")));
  await until(() => running.events.includes("green ServiceConflict"));
  assert.deepEqual(owner(api), ["blue"]);
  api.remove(deployments, "a", "blue");
  // As the garbage collector does.
  api.remove(services, "a", "shop-dapr");
  await until(() => owner(api)?.[0] === "green");
});

test("what the API server will not take is told to the user", async () => {
  await using api = await FakeKubeApi.start();
  api.fail("PATCH", /services/, 422, 1);
  api.put(deployments, workload("shop", enabled("shop")));
  api.put(deployments, workload("bad", enabled("Bad_Id")));
  await using running = started(api);
  await until(() => running.events.length === 2);
  assert.deepEqual(running.events.sort(), ["bad ServiceRefused", "shop ServiceRefused"]);
});
