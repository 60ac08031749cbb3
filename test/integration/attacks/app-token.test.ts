// Attack 3 of lessons.md, app token leak (CVE-2024-35223): the token of the caller's app went to the callee. Every credential named
// dapr-* is stripped at each hop and added in exactly one place, the channel to the own app; and it is added there always.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AppCallback } from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component, configuration, httpEndpoint } from "../../build/resource.ts";
import { type App, app } from "../../harness/app.ts";
import { daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { GrpcApp } from "../../harness/grpc-app.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";

const callerSecret = "token-of-the-callers-app";
const calleeSecret = "token-of-the-callees-app";
const forged = "token-that-a-client-made-up";

function names(folder: Folder) {
  return configuration({ nameResolution: { component: "sqlite", configuration: { connectionString: folder.file("names.sqlite") } } });
}

describe("the app token", () => {
  test("of the caller's app does not reach the callee, whose own does", async () => {
    using folder = new Folder("tokens");
    const config = names(folder);
    await using shop = await app({ http: { "*": () => ({}) } });
    await using callee = await daprd({ appId: "shop", app: shop, config, env: { APP_API_TOKEN: calleeSecret }, ready: "all" });
    await using own = await app({ http: { "*": () => ({}) } });
    await using caller = await daprd({ appId: "caller", app: own, config, env: { APP_API_TOKEN: callerSecret }, ready: "all" });
    const headers = { "dapr-api-token": forged };
    assert.equal((await caller.fetch("/v1.0/invoke/shop/method/order", { headers })).status, 200);
    using client = new GrpcClient(caller.grpcAddress);
    await client.call(Dapr.method.invokeService, { id: "shop", message: { method: "order", httpExtension: { verb: 1 } } }, headers);
    await assertTokens(shop, "/order", 2, [calleeSecret]);
    assert.doesNotMatch(callee.program.output + caller.program.output, /token-of-the|token-that-a/);
  });

  test("is sent with each invocation, subscription query, event and probe, and only once", async () => {
    const subscriptions = [{ pubsubname: "bus", topic: "orders", route: "/event" }];
    await using shop = await app({ subscriptions, http: { "*": () => ({}) } });
    await using sidecar = await daprd({
      appId: "shop",
      app: shop,
      env: { APP_API_TOKEN: calleeSecret },
      resources: [component("bus", "pubsub.in-memory")],
      ready: "all",
    });
    assert.equal((await sidecar.fetch("/v1.0/invoke/shop/method/order", { headers: { "dapr-api-token": forged } })).status, 200);
    const published = `/v1.0/publish/bus/orders?metadata.dapr-api-token=${forged}`;
    assert.equal((await sidecar.fetch(published, { method: "POST", body: "{}" })).status, 204);
    for (const path of ["/order", "/dapr/subscribe", "/event"]) await assertTokens(shop, path, 1, [calleeSecret]);
  });

  test("does not go to endpoints outside the mesh", async () => {
    await using outside = await app({ http: { "*": () => ({}) } });
    await using sidecar = await daprd({
      env: { APP_API_TOKEN: callerSecret },
      resources: [httpEndpoint("partner", `http://127.0.0.1:${outside.port}`)],
    });
    const headers = { "dapr-api-token": forged };
    assert.equal((await sidecar.fetch("/v1.0/invoke/partner/method/a", { headers })).status, 200);
    assert.equal((await sidecar.fetch(`/v1.0/invoke/http://127.0.0.1:${outside.port}/method/a`, { headers })).status, 200);
    await assertTokens(outside, "/a", 2, []);
  });

  test("of a gRPC app comes with OnInvoke and callbacks, in place of whatever the client sent", async () => {
    await using shop = await GrpcApp.start({ onInvoke: () => Buffer.from("ok") });
    await using sidecar = await daprd({
      appId: "shop",
      app: shop.port,
      flags: { "app-protocol": "grpc" },
      env: { APP_API_TOKEN: calleeSecret },
      ready: "all",
    });
    const headers = { "dapr-api-token": forged };
    assert.equal((await sidecar.fetch("/v1.0/invoke/shop/method/order", { headers })).status, 200);
    using client = new GrpcClient(sidecar.grpcAddress);
    await client.call(Dapr.method.invokeService, { id: "shop", message: { method: "order" } }, headers);
    const calls = shop.calls.filter(({ method }) => method === AppCallback.method.onInvoke.name);
    assert.equal(calls.length, 2);
    for (const { metadata } of shop.calls) assert.equal(metadata["dapr-api-token"], calleeSecret);
  });
});

async function assertTokens(target: App, path: string, count: number, expected: readonly string[]): Promise<void> {
  for (const call of await target.called(path, count)) {
    const text = JSON.stringify(call.headers);
    const found = [callerSecret, calleeSecret, forged].filter((secret) => text.includes(secret));
    assert.deepEqual(found, expected, `${path}: ${text}`);
  }
}
