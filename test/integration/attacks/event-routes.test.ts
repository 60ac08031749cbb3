// Attack 15 of lessons.md, topic handler routes callable by plain invoke (DAP-01-010). The sidecar marks each delivery with
// `outrigger-call: event`, and an invocation can never carry that header, whichever way it came: an app that asks for it in its handler
// knows a forged event. A gRPC app is told by the method: events come as OnTopicEvent, invocations as OnInvoke.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { HTTPExtension_Verb } from "../../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { ServiceInvocation } from "../../../lib/proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component } from "../../build/resource.ts";
import { type App, app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { GrpcApp } from "../../harness/grpc-app.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";

const mark = "outrigger-call";

describe("an event route of an HTTP app", () => {
  let shop: App;
  let sidecar: Daprd;
  before(async () => {
    const subscriptions = [{ pubsubname: "bus", topic: "orders", route: "/orders" }];
    const orders = (call: { headers: Record<string, unknown> }) => (call.headers[mark] === "event" ? {} : { status: 403 });
    shop = await app({ subscriptions, http: { "/orders": orders } });
    sidecar = await daprd({ appId: "shop", app: shop, resources: [component("bus", "pubsub.in-memory")], ready: "all" });
  });
  after(async () => {
    await sidecar[Symbol.asyncDispose]();
    await shop[Symbol.asyncDispose]();
  });

  test("sees the mark on a delivery, whatever the publisher says", async () => {
    const seen = shop.calls.length;
    await sidecar.post("/v1.0/publish/bus/orders", { id: 1 });
    await sidecar.post(`/v1.0/publish/bus/orders?metadata.${mark}=invoke`, { id: 2 });
    await shop.called("/orders", 2);
    for (const { headers } of shop.calls.slice(seen)) assert.equal(headers[mark], "event");
  });

  test("sees no mark on an invocation that claims it", async () => {
    const claims = [mark, "Outrigger-Call", "OUTRIGGER-CALL"];
    for (const name of claims) {
      const headers = { [name]: "event" };
      assert.equal((await sidecar.post("/v1.0/invoke/shop/method/orders", {}, headers)).status, 403, name);
      assert.equal((await sidecar.post("/orders", {}, { ...headers, "dapr-app-id": "shop" })).status, 403, name);
    }
  });

  test("sees no mark on a gRPC invocation, nor on one by another sidecar", async () => {
    using client = new GrpcClient(sidecar.grpcAddress);
    const message = { method: "orders", httpExtension: { verb: HTTPExtension_Verb.POST, querystring: "" } };
    const invoked = client.call(Dapr.method.invokeService, { id: "shop", message }, { [mark]: "event" });
    await assert.rejects(invoked, /PERMISSION_DENIED/);
    using peer = new GrpcClient(`127.0.0.1:${sidecar.internalGrpcPort}`);
    const metadata = { [mark]: { values: ["event"] }, [`Outrigger-Call`]: { values: ["event"] } };
    const { status } = await peer.call(ServiceInvocation.method.callLocal, { ver: 1, message, metadata });
    assert.equal(status?.code, 403);
  });
});

test("a gRPC app tells an event from an invocation by the method that is called", async () => {
  const subscriptions = { subscriptions: [{ pubsubName: "bus", topic: "orders", routes: { default: "/orders" } }] };
  await using shop = await GrpcApp.start({ subscriptions, onInvoke: () => Buffer.from("ok") });
  const resources = [component("bus", "pubsub.in-memory")];
  await using sidecar = await daprd({ appId: "shop", app: shop.port, flags: { "app-protocol": "grpc" }, resources, ready: "all" });
  assert.equal((await sidecar.post("/v1.0/invoke/shop/method/orders", {}, { [mark]: "event" })).status, 200);
  await sidecar.post("/v1.0/publish/bus/orders", { id: 1 });
  await sidecar.eventually("the event was delivered", () => shop.calls.some(({ method }) => method === "OnTopicEvent"));
  const called = shop.calls.filter(({ method }) => method === "OnInvoke" || method === "OnTopicEvent");
  assert.deepEqual(
    called.map(({ method }) => method),
    ["OnInvoke", "OnTopicEvent"],
  );
  assert.equal(called[0]?.metadata[mark], undefined);
});
