// Attack 22 of lessons.md, one message kills the process (a traceid that is no string in a CloudEvent, Dapr 1.18.3): every delivery
// is its own, so the next event after each hostile one is delivered, by the same process.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { component } from "../../build/resource.ts";
import { type App, type AppCall, app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { GrpcApp } from "../../harness/grpc-app.ts";

const cloudEvents = { "content-type": "application/cloudevents+json" };

/** As text, since half of them are no JSON that JSON.stringify would write. */
const accepted: readonly string[] = [
  '{"specversion":"1.0","id":"1","source":"s","type":"t","traceid":5}',
  '{"specversion":"1.0","id":"1","source":"s","type":"t","traceparent":{"a":1},"tracestate":[1]}',
  '{"specversion":1,"id":{},"source":[],"type":null,"datacontenttype":7,"data":null}',
  '{"specversion":"1.0","id":"1","source":"s","type":"t","expiration":{"not":"a time"}}',
  '{"specversion":"1.0","id":"1","source":"s","type":"t","expiration":"0000-99-99"}',
  '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"id":"1"}',
  '{"id":"a\\r\\nlevel=info msg=forged","source":"s","type":"t"}',
  '{"data_base64":"%%%not base64%%%"}',
  '{"data_base64":{"a":1}}',
  '{"topic":5,"pubsubname":false,"id":"\\ud800"}',
  '{"id":"1","id":"2","data":1e999}',
  "{}",
];
const refused: readonly string[] = ["", "{", "[]", '"text"', "null", "nul", '{"a":1}x', "[".repeat(50_000), "\u0000"];

describe("hostile CloudEvents", () => {
  let shop: App;
  let sidecar: Daprd;
  before(async () => {
    const subscriptions = [
      {
        pubsubname: "bus",
        topic: "orders",
        routes: {
          rules: [{ match: 'has(event.data) && has(event.data.kind) && event.data.kind == "x"', path: "/ruled" }],
          default: "/event",
        },
      },
      { pubsubname: "bus", topic: "raw", route: "/raw", metadata: { rawPayload: "true" } },
    ];
    shop = await app({ subscriptions, http: { "/event": () => ({}), "/raw": () => ({}), "/ruled": () => ({}) } });
    sidecar = await daprd({ appId: "shop", app: shop, resources: [component("bus", "pubsub.in-memory")], ready: "all" });
  });
  after(async () => {
    await sidecar[Symbol.asyncDispose]();
    await shop[Symbol.asyncDispose]();
  });

  const publish = (topic: string, body: string) =>
    sidecar.fetch(`/v1.0/publish/bus/${topic}`, { method: "POST", headers: cloudEvents, body });
  let marker = 0;
  const nextArrives = async (topic: string, path: string) => {
    const id = `marker-${++marker}`;
    assert.equal((await publish(topic, JSON.stringify({ id, source: "s", type: "t", data: { kind: "y" } }))).status, 204);
    await sidecar.eventually(`${id} arrived`, () => shop.calls.some((call) => call.path === path && payloadOf(call).includes(id)));
  };

  for (const event of accepted) {
    test(`${event.slice(0, 70)} is taken, and the next one arrives`, async () => {
      const pid = sidecar.pid;
      assert.equal((await publish("orders", event)).status, 204);
      assert.equal((await publish("raw", event)).status, 204);
      await nextArrives("orders", "/event");
      await nextArrives("raw", "/raw");
      assert.doesNotThrow(() => process.kill(pid, 0));
    });
  }

  for (const event of refused) {
    test(`${JSON.stringify(event.slice(0, 30))} is refused`, async () => {
      const reply = await publish("orders", event);
      assert.equal(reply.status, 500);
      const { errorCode, details } = (await reply.json()) as { errorCode: string; details: { metadata?: Record<string, string> }[] };
      assert.equal(errorCode, "ERR_PUBSUB_CLOUD_EVENTS_SER");
      assert.match(JSON.stringify(details), /not a JSON object; send a CloudEvent/);
    });
  }

  test("leave no prototype changed and forge no log line", async () => {
    assert.equal((await sidecar.fetch("/v1.0/metadata")).status, 200);
    assert.ok(!sidecar.lines.some((line) => line.startsWith("level=info msg=forged")));
  });
});

/** The event, or what a raw subscriber gets in base64. */
function payloadOf(call: AppCall): string {
  const text = call.body.toString();
  return text + Buffer.from(/"data_base64":"([^"]*)"/.exec(text)?.[1] ?? "", "base64").toString();
}

test("what is no event at all in the broker harms no other: a message is retried or dropped alone", async () => {
  using folder = new Folder("events");
  const file = folder.file("bus.sqlite");
  const resources = [component("bus", "pubsub.sqlite", { metadata: { connectionString: file } })];
  const subscriptions = [{ pubsubname: "bus", topic: "orders", route: "/event" }];
  await using shop = await app({ subscriptions, http: { "/event": () => ({}) } });
  await using sidecar = await daprd({ appId: "shop", app: shop, resources, ready: "all" });
  const bad = ["not json", "[1,2]", '"x"', "", "\u0000\u0001"];
  for (const body of bad) {
    // A raw publish puts bytes on the topic that no CloudEvent wraps.
    const reply = await sidecar.fetch("/v1.0/publish/bus/orders?metadata.rawPayload=true", { method: "POST", body });
    assert.equal(reply.status, 204);
  }
  assert.equal((await sidecar.post("/v1.0/publish/bus/orders", { good: true })).status, 204);
  const [event] = await shop.called("/event");
  assert.deepEqual(event?.json<{ data: unknown }>().data, { good: true });
  assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
});

test("hostile CloudEvents harm no delivery to a gRPC app either", async () => {
  const subscriptions = { subscriptions: [{ pubsubName: "bus", topic: "orders", routes: { default: "/orders" } }] };
  await using shop = await GrpcApp.start({ subscriptions });
  const resources = [component("bus", "pubsub.in-memory")];
  await using sidecar = await daprd({ appId: "shop", app: shop.port, flags: { "app-protocol": "grpc" }, resources, ready: "all" });
  for (const body of accepted) {
    const reply = await sidecar.fetch("/v1.0/publish/bus/orders", { method: "POST", headers: cloudEvents, body });
    assert.equal(reply.status, 204);
  }
  const last = { id: "the-last", source: "s", type: "t", data: "x" };
  await sidecar.fetch("/v1.0/publish/bus/orders", { method: "POST", headers: cloudEvents, body: JSON.stringify(last) });
  await sidecar.eventually("the last event arrived", () =>
    shop.calls.some(({ request }) => (request as { id?: string }).id === "the-last"),
  );
  assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
});
