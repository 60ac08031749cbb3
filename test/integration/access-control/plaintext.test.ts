// Access control without mTLS: nobody proves who he is, so that every call of another sidecar gets the default action,
// whatever its headers claim (lessons.md, attack 5). Policies on proven identities are tested where there is a sentry.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { EchoApp, EchoClient, metadataOf } from "../../../lib/wire/grpc/echo-peer.ts";
import { configuration } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { daprd } from "../../harness/daprd.ts";
import { GrpcClient, type GrpcError } from "../../harness/grpc-client.ts";

const friend = { appId: "friend", trustDomain: "public", namespace: "default" };

function accessControl(spec: object) {
  return configuration({ accessControl: { trustDomain: "public", ...spec } });
}

const denyByDefault = accessControl({
  defaultAction: "deny",
  policies: [{ ...friend, defaultAction: "allow", operations: [{ name: "/**", httpVerb: ["*"], action: "allow" }] }],
});

const claims = { "dapr-caller-app-id": "friend", "dapr-caller-namespace": "default" };

test("deny by default: invocation is answered with 403, over gRPC with Dapr's code, and the app is not called", async () => {
  await using shop = await app({ http: { "*": () => ({}) } });
  await using callee = await daprd({ app: shop, config: denyByDefault, ready: "all" });
  await using caller = await daprd({ appId: "friend" });
  const response = await caller.fetch(`/v1.0/invoke/${callee.appId}/method/order/1`, { headers: claims });
  assert.equal(response.status, 403);
  const { errorCode, message } = (await response.json()) as { errorCode: string; message: string };
  assert.equal(errorCode, "ERR_DIRECT_INVOKE");
  assert.match(message, /access control policy has denied access to id: {2}operation: order\/1 verb: GET/);
  using client = new GrpcClient(caller.grpcAddress);
  const call = client.call(
    Dapr.method.invokeService,
    { id: callee.appId, message: { method: "order", httpExtension: { verb: 1 } } },
    claims,
  );
  await assert.rejects(call, (error: GrpcError) => error.code === grpc.status.INTERNAL && /has denied access/.test(error.details));
  // The own app is no other app.
  assert.equal((await callee.fetch(`/v1.0/invoke/${callee.appId}/method/order`)).status, 200);
  assert.deepEqual(
    shop.calls.filter(({ path }) => path.startsWith("/order")).map(({ path }) => path),
    ["/order"],
  );
});

test("deny by default: proxied calls are refused at the callee", async () => {
  await using echo = await EchoApp.start();
  await using callee = await daprd({ app: echo.port, flags: { "app-protocol": "grpc" }, config: denyByDefault, ready: "all" });
  await using caller = await daprd({ appId: "friend" });
  using client = new EchoClient(caller.grpcAddress);
  using direct = new EchoClient(`127.0.0.1:${callee.internalGrpcPort}`);
  const { status } = await client.unary(Buffer.alloc(0), metadataOf({ "dapr-app-id": callee.appId }));
  assert.equal(status.code, grpc.status.PERMISSION_DENIED);
  assert.equal(status.details, "access control policy has denied access to id:  operation: /outrigger.test.Echo/Unary verb: NONE");
  const forged = await direct.unary(Buffer.alloc(0), metadataOf({ "dapr-callee-app-id": callee.appId, ...claims }));
  assert.equal(forged.status.code, grpc.status.PERMISSION_DENIED);
  assert.deepEqual(echo.calls, []);
});

test("a sidecar is no way to third apps: its internal port takes calls for its own app only", async () => {
  await using echo = await EchoApp.start();
  await using shop = await daprd({ app: echo.port, flags: { "app-protocol": "grpc" }, ready: "all" });
  await using between = await daprd({ app: echo.port, flags: { "app-protocol": "grpc" }, ready: "all" });
  using direct = new EchoClient(`127.0.0.1:${between.internalGrpcPort}`);
  for (const target of ["dapr-callee-app-id", "dapr-app-id"]) {
    const { status } = await direct.unary(Buffer.alloc(0), metadataOf({ [target]: shop.appId }));
    assert.equal(status.code, grpc.status.UNAVAILABLE);
    assert.match(status.details, /the call is for the app behind the sidecar only/);
  }
  assert.deepEqual(echo.calls, []);
});

test("policies that nobody can fall under are told at the start", async () => {
  const policies = [{ ...friend, operations: [{ name: "/orders/", action: "deny" }] }];
  await using sidecar = await daprd({ config: accessControl({ defaultAction: "allow", policies }) });
  const warnings = sidecar.lines.filter((line) => line.includes("level=warning") && line.includes("access control"));
  assert.equal(warnings.length, 2);
  assert.match(warnings.join("\n"), /no call can fall under operation .{0,2}"\/orders\/.*without mTLS no caller proves who it is/s);
});

test("an incomplete policy prevents the start", async () => {
  const policies = [{ appId: "friend", defaultAction: "deny" }];
  await using sidecar = await daprd({ config: accessControl({ policies }), ready: "none" });
  assert.equal((await sidecar.program.exited()).code, 1);
  assert.match(
    sidecar.program.output,
    /Fatal error from runtime: invalid access control spec\. missing trustdomain for apps: \[friend\], missing namespace for apps: \[friend\], missing app name on at least one of the app policies: false/,
  );
});
