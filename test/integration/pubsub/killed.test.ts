// A consumer's sidecar is killed twice while bulks and a stream are in flight: every numbered message arrives all the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import { component, subscription } from "../../build/resource.ts";
import { type AppCall, app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { EventStream, Status } from "./event-stream.ts";

const messages = 2000;
const bulkSize = 100;

function queue(folder: Folder) {
  const metadata = { connectionString: folder.file("queue.sqlite"), redeliverDelay: "20ms", leaseDuration: "300ms" };
  return component("queue", "pubsub.sqlite", { metadata });
}

interface Bulk {
  readonly entries: readonly { readonly entryId: string; readonly event: { readonly data: number } }[];
}

/** Answers the events of a stream until it breaks. */
async function consume(opened: EventStream, heard: Set<number>): Promise<void> {
  using stream = opened;
  try {
    for (;;) {
      const event = await stream.next();
      heard.add(Number(Buffer.from(event.data)));
      stream.answer(event, Status.SUCCESS);
    }
  } catch {
    // Its sidecar is gone.
  }
}

test(`${messages} messages in bulks and ${messages} on a stream, the sidecar killed twice: none is missing`, async () => {
  using folder = new Folder("killed");
  const bulked = new Set<number>();
  const streamed = new Set<number>();
  const orders = (call: AppCall) => {
    const { entries } = call.json<Bulk>();
    for (const { event } of entries) bulked.add(event.data);
    return { body: { statuses: entries.map(({ entryId }) => ({ entryId, status: "SUCCESS" })) } };
  };
  await using shop = await app({ http: { "/orders": orders } });
  const bulkSubscribe = { enabled: true, maxMessagesCount: 50, maxAwaitDurationMs: 20 };
  const resources = [
    queue(folder),
    subscription("orders", { pubsubname: "queue", topic: "orders", routes: { default: "/orders" }, bulkSubscribe }),
  ];
  const start = async (): Promise<Daprd> => {
    const sidecar = await daprd({ appId: "shop", app: shop, ready: "all", resources });
    void consume(await EventStream.open(sidecar, "queue", "streamed"), streamed);
    return sidecar;
  };
  await using publisher = await daprd({ appId: "publisher", resources: [queue(folder)] });
  let consumer = await start();
  const publishing = (async () => {
    for (let from = 0; from < messages; from += bulkSize) {
      const bulk = Array.from({ length: bulkSize }, (_, n) => ({ entryId: String(n), event: from + n, contentType: "application/json" }));
      for (const topic of ["orders", "streamed"]) {
        assert.equal((await publisher.post(`/v1.0/publish/bulk/queue/${topic}`, bulk)).status, 204);
      }
    }
  })();
  for (const share of [0.2, 0.5]) {
    const some = () => bulked.size > messages * share && streamed.size > messages * share;
    await publisher.eventually(`${share} of the messages arrived`, some);
    consumer.program.signal("SIGKILL");
    await consumer.program.exited();
    await consumer[Symbol.asyncDispose]();
    consumer = await start();
  }
  await using last = consumer;
  await publishing;
  await last.eventually("every message arrived", () => bulked.size === messages && streamed.size === messages);
});
