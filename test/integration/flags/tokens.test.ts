// The two tokens: what callers of the sidecar must send, and what the sidecar sends with every callback.
import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { daprd, foreignDaprd } from "../../harness/daprd.ts";
import { grpcApp } from "../../harness/grpc-app.ts";
import { GrpcClient, type GrpcError } from "../../harness/grpc-client.ts";
import { observes } from "./observes.ts";

const header = "dapr-api-token";
const pubsub = component("pubsub", "pubsub.in-memory");

observes(["DAPR_API_TOKEN"], "is asked of callers over HTTP and gRPC, not of probes, and never reaches the app", async () => {
  await using shop = await app({ http: { "/x": () => ({}) } });
  await using sidecar = await daprd({ app: shop, ready: "all", env: { DAPR_API_TOKEN: "right" } });
  const path = `/v1.0/invoke/${sidecar.appId}/method/x`;
  const statusWith = async (token: string | null) =>
    (await sidecar.fetch(path, token === null ? {} : { headers: { [header]: token } })).status;
  assert.deepEqual([await statusWith(null), await statusWith("wrong"), await statusWith("right")], [401, 401, 200]);
  assert.equal(shop.calls.find((call) => call.path === "/x")?.headers[header], undefined);
  const refused = await sidecar.fetch("/v1.0/metadata");
  assert.deepEqual([refused.status, (await refused.text()).trim()], [401, "invalid api token"]);
  const probes = ["/v1.0/healthz", "/v1.0/healthz/outbound"].map(async (probe) => (await sidecar.fetch(probe)).status);
  assert.deepEqual(await Promise.all(probes), [204, 204]);

  using client = new GrpcClient(sidecar.grpcAddress);
  const metadata = (token: string | null) => client.call(Dapr.method.getMetadata, {}, token === null ? {} : { [header]: token });
  const unauthenticated = (error: GrpcError) => error.code === status.UNAUTHENTICATED;
  await assert.rejects(metadata(null), unauthenticated);
  await assert.rejects(metadata("wrong"), unauthenticated);
  assert.equal((await metadata("right")).id, sidecar.appId);
});

observes(["APP_API_TOKEN"], "goes with every callback over HTTP", async () => {
  await using shop = await app({
    subscriptions: [{ pubsubname: "pubsub", topic: "orders", route: "/orders" }],
    http: { "/dapr/config": () => ({ body: {} }), "/x": () => ({}), "/orders": () => ({}) },
  });
  await using sidecar = await daprd({ app: shop, ready: "all", resources: [pubsub], env: { APP_API_TOKEN: "for-the-app" } });
  await sidecar.fetch(`/v1.0/invoke/${sidecar.appId}/method/x`, { headers: { [header]: "of-the-caller" } });
  assert.equal((await sidecar.post("/v1.0/publish/pubsub/orders", { id: 1 })).status, 204);
  for (const path of ["/dapr/config", "/dapr/subscribe", "/x", "/orders"]) {
    const [call] = await shop.called(path);
    assert.equal(call?.headers[header], "for-the-app", path);
  }
});

observes(["APP_API_TOKEN"], "goes with every callback over gRPC", async () => {
  await using shop = await grpcApp({ subscriptions: { subscriptions: [{ pubsubName: "pubsub", topic: "orders" }] } });
  await using sidecar = await daprd({
    app: shop.port,
    ready: "all",
    resources: [pubsub],
    flags: { "app-protocol": "grpc" },
    env: { APP_API_TOKEN: "for-the-app" },
  });
  await sidecar.fetch(`/v1.0/invoke/${sidecar.appId}/method/x`);
  assert.equal((await sidecar.post("/v1.0/publish/pubsub/orders", { id: 1 })).status, 204);
  // Go leaves the token out when it asks for subscriptions.
  const asked = foreignDaprd ? [] : ["ListTopicSubscriptions"];
  for (const method of [...asked, "OnInvoke", "OnTopicEvent"]) {
    const [call] = await shop.called(method);
    assert.equal(call?.metadata[header], "for-the-app", method);
  }
});
