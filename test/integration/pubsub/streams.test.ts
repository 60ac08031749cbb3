// Streams on a durable broker, as processes: what an app has not answered comes again, what it has answered does not, whichever side ends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { component } from "../../build/resource.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { EventStream, Status } from "./event-stream.ts";

function sidecarOn(folder: Folder): Promise<Daprd> {
  const metadata = { connectionString: folder.file("queue.sqlite"), redeliverDelay: "20ms" };
  return daprd({ appId: "streams", resources: [component("queue", "pubsub.sqlite", { metadata })] });
}

async function publish(sidecar: Daprd, topic: string, data: unknown): Promise<void> {
  assert.equal((await sidecar.post(`/v1.0/publish/queue/${topic}`, data)).status, 204);
}

const dataOf = async (stream: EventStream) => JSON.parse(Buffer.from((await stream.next()).data).toString());

test("an app that dies: its events go to the next stream, and only those", async () => {
  using folder = new Folder("streams");
  await using sidecar = await sidecarOn(folder);
  {
    using first = await EventStream.open(sidecar, "queue", "orders");
    await publish(sidecar, "orders", "done");
    first.answer(await first.next(), Status.SUCCESS);
    await publish(sidecar, "orders", "held");
    await first.next();
  }
  await sidecar.eventually("the stream was gone", async () => {
    const metadata = (await (await sidecar.fetch("/v1.0/metadata")).json()) as { subscriptions?: unknown[] };
    return (metadata.subscriptions ?? []).length === 0;
  });
  using second = await EventStream.open(sidecar, "queue", "orders");
  const again = await second.next();
  assert.equal(Buffer.from(again.data).toString(), '"held"');
  second.answer(again, Status.SUCCESS);
  await publish(sidecar, "orders", "new");
  assert.equal(await dataOf(second), "new");
});

test("RETRY comes again, DROP goes to the dead letter topic", async () => {
  using folder = new Folder("streams");
  await using sidecar = await sidecarOn(folder);
  using dead = await EventStream.open(sidecar, "queue", "dead");
  using plain = await EventStream.open(sidecar, "queue", "plain");
  using guarded = await EventStream.open(sidecar, "queue", "guarded", "dead");
  await publish(sidecar, "plain", "again");
  const first = await plain.next();
  plain.answer(first, Status.RETRY);
  const second = await plain.next();
  assert.equal(second.id, first.id);
  plain.answer(second, Status.SUCCESS);
  await publish(sidecar, "guarded", "drop");
  guarded.answer(await guarded.next(), Status.DROP);
  assert.equal(await dataOf(dead), "drop");
});

test("SIGTERM: the app still answers what it has, gets nothing new, and finds the rest after the restart", async () => {
  using folder = new Folder("streams");
  {
    await using sidecar = await sidecarOn(folder);
    using stream = await EventStream.open(sidecar, "queue", "orders");
    await publish(sidecar, "orders", "in flight");
    const held = await stream.next();
    sidecar.program.signal("SIGTERM");
    await sidecar.program.line(/Dapr is shutting down/);
    stream.answer(held, Status.SUCCESS);
    const status = await stream.ended();
    assert.equal(status?.details, "stream closed");
    assert.deepEqual(await sidecar.program.exited(), { code: 0, signal: null });
  }
  await using sidecar = await sidecarOn(folder);
  await publish(sidecar, "orders", "next");
  using stream = await EventStream.open(sidecar, "queue", "orders");
  assert.equal(await dataOf(stream), "next");
});
