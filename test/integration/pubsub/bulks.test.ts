// Bulks on a durable broker, as processes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { component, subscription } from "../../build/resource.ts";
import { type AppCall, app } from "../../harness/app.ts";
import { daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";

interface Bulk {
  readonly entries: readonly { readonly entryId: string; readonly event: { readonly data: number } }[];
}

const messages = 500;

function bulkOf(from: number, count: number): object[] {
  return Array.from({ length: count }, (_, n) => ({ entryId: String(n), event: from + n, contentType: "application/json" }));
}

function resources(folder: Folder, maxAwaitDurationMs: number) {
  const metadata = { connectionString: folder.file("queue.sqlite"), redeliverDelay: "20ms" };
  const bulkSubscribe = { enabled: true, maxMessagesCount: 50, maxAwaitDurationMs };
  return [
    component("queue", "pubsub.sqlite", { metadata }),
    subscription("orders", { pubsubname: "queue", topic: "orders", routes: { default: "/orders" }, bulkSubscribe }),
  ];
}

test(`${messages} messages published at once come in full bulks; each has its own fate`, async () => {
  using folder = new Folder("bulks");
  const seen = new Map<number, number>();
  const all = Promise.withResolvers<void>();
  const orders = (call: AppCall) => {
    const statuses = call.json<Bulk>().entries.map(({ entryId, event }) => {
      const times = (seen.get(event.data) ?? 0) + 1;
      seen.set(event.data, times);
      return { entryId, status: event.data % 7 === 0 && times === 1 ? "RETRY" : "SUCCESS" };
    });
    if (seen.size === messages && [...seen].every(([data, times]) => times === (data % 7 === 0 ? 2 : 1))) all.resolve();
    return { body: { statuses } };
  };
  await using shop = await app({ http: { "/orders": orders } });
  await using sidecar = await daprd({ appId: "shop", app: shop, ready: "all", resources: resources(folder, 100) });
  const published = await sidecar.post("/v1.0/publish/bulk/queue/orders", bulkOf(0, messages));
  assert.equal(published.status, 204);
  await all.promise;
  const sizes = shop.calls.filter(({ path }) => path === "/orders").map((call) => call.json<Bulk>().entries.length);
  assert.equal(Math.max(...sizes), 50);
  assert.ok(sizes.length < messages / 10, `${sizes.length} requests: ${sizes.join(" ")}`);
});

test("SIGTERM: what is gathered goes out at once and is not there after the restart", async () => {
  using folder = new Folder("bulks");
  const hourMs = 3_600_000;
  const heard: number[] = [];
  const orders = (call: AppCall) => {
    const { entries } = call.json<Bulk>();
    heard.push(...entries.map(({ event }) => event.data));
    return { body: { statuses: entries.map(({ entryId }) => ({ entryId, status: "SUCCESS" })) } };
  };
  await using shop = await app({ http: { "/orders": orders } });
  {
    await using sidecar = await daprd({ appId: "shop", app: shop, ready: "all", resources: resources(folder, hourMs) });
    await sidecar.post("/v1.0/publish/bulk/queue/orders", bulkOf(0, 50));
    await shop.called("/orders");
    await sidecar.post("/v1.0/publish/bulk/queue/orders", bulkOf(50, 3));
    sidecar.program.signal("SIGTERM");
    assert.deepEqual(await sidecar.program.exited(), { code: 0, signal: null });
  }
  await using sidecar = await daprd({ appId: "shop", app: shop, ready: "all", resources: resources(folder, 10) });
  await sidecar.post("/v1.0/publish/bulk/queue/orders", bulkOf(53, 1));
  await sidecar.eventually("the last one was heard", () => heard.includes(53));
  assert.deepEqual(
    heard.toSorted((a, b) => a - b),
    Array.from({ length: 54 }, (_, n) => n),
    "each of them once",
  );
});
