// Attack 23 of lessons.md, metric cardinality from URLs until memory ends (dapr #4133, #7719): nothing a client chooses becomes a
// label, so thousands of different URLs, methods, keys and app ids leave /metrics with the series it had. Topics are labels, as in Dapr; that they
// are not so without end is tested in lib/telemetry/pubsub-metrics.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { component, configuration } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";

const each = 100;

test("hostile URLs do not grow /metrics", async () => {
  await using shop = await app({ http: { "*": ({ path }) => ({ status: 200 + (path.length % 300) }) } });
  using folder = new Folder("metrics");
  // An unknown app is told at once by a registry; multicast would wait for answers.
  const nameResolution = { component: "sqlite", configuration: { connectionString: folder.file("names.sqlite") } };
  const config = configuration({
    nameResolution,
    metrics: { enabled: true, recordErrorCodes: true, http: { increasedCardinality: true } },
  });
  const resources = [component("store", "state.in-memory"), component("bus", "pubsub.in-memory")];
  await using sidecar = await daprd({ appId: "shop", app: shop, config, resources, ready: "all" });
  await send(sidecar, "warm");
  const before = await series(sidecar);
  for (let i = 0; i < each; i++) await send(sidecar, `u${i}-${"%C3%A9".repeat(i % 7)}`);
  const after = await series(sidecar);
  assert.ok(before.length > 10, `only ${before.length} series`);
  assert.deepEqual(
    after.filter((name) => !before.includes(name)),
    [],
  );
});

async function send(sidecar: Daprd, unique: string): Promise<void> {
  const paths = [
    `/v1.0/invoke/shop/method/${unique}`,
    `/v1.0/invoke/${unique}/method/x`,
    `/v1.0/state/store/${unique}`,
    `/v1.0/state/${unique}/key`,
    `/v1.0/secrets/${unique}/x`,
    `/v1.0/${unique}`,
    `/${unique}?${unique}=${unique}`,
  ];
  const replies = [
    ...paths.map((path) => sidecar.fetch(path)),
    sidecar.post(`/v1.0/publish/bus/${unique}`, {}),
    sidecar.post(`/v1.0/publish/${unique}/topic`, {}),
    sidecar.fetch(`/v1.0/state/store/${unique}`, { method: `X${unique.replace(/[^a-z0-9]/g, "").toUpperCase()}` }),
  ];
  for (const reply of await Promise.all(replies)) await reply.arrayBuffer();
}

/** Every series by name and labels. */
async function series(sidecar: Daprd): Promise<string[]> {
  const text = await (await fetch(`http://127.0.0.1:${sidecar.metricsPort}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  // Kinds of open handles come and go with connections, kinds of garbage collection with time; both are few.
  const names = lines.map((line) => line.slice(0, line.lastIndexOf(" ")));
  return names.filter((name) => !/^nodejs_(active|gc)_|^dapr_component_pubsub_egress_/.test(name));
}
