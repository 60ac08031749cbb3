// Two sidecars over mutual TLS: calls over HTTP and proxied gRPC, access control by proven identity, and peers whose
// identity does not hold (lessons.md, attacks 3 to 6).
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "node:tls";
import * as grpc from "@grpc/grpc-js";
import { EchoClient, metadataOf } from "../../../lib/wire/grpc/echo-peer.ts";
import { foreignDaprd } from "../../harness/daprd.ts";
import { rawHttp, requestText } from "../../harness/raw-http.ts";
import { sentry } from "../../harness/sentry.ts";
import { Mesh, Peer } from "./mesh.ts";

const skip = foreignDaprd && "the binary may lack the SQLite resolver";

const friend = { appId: "friend", trustDomain: "public", namespace: "default", defaultAction: "deny" };
const friendsOnly = {
  defaultAction: "deny",
  trustDomain: "public",
  policies: [
    {
      ...friend,
      operations: [
        { name: "/orders/*", httpVerb: ["GET"], action: "allow" },
        { name: "/outrigger.test.Echo/Unary", httpVerb: ["*"], action: "allow" },
      ],
    },
  ],
};

test("calls over HTTP and proxied gRPC go through, and nothing on the internal port is readable", { skip }, async () => {
  await using mesh = await Mesh.start();
  const [caller, http, rpc] = await Promise.all([mesh.sidecar(), mesh.httpCallee(), mesh.grpcCallee()]);
  const response = await caller.fetch(`/v1.0/invoke/${http.appId}/method/orders/1`);
  assert.deepEqual([response.status, await response.text()], [200, "/orders/1"]);
  using client = new EchoClient(caller.grpcAddress);
  const { status, message } = await client.unary(Buffer.from("x"), metadataOf({ "dapr-app-id": rpc.appId }));
  assert.deepEqual([status.code, String(message)], [grpc.status.OK, "x"]);
  for (const sidecar of [caller, http, rpc]) assert.doesNotMatch(sidecar.program.output, /PRIVATE KEY/);
  using plain = new EchoClient(`127.0.0.1:${rpc.internalGrpcPort}`);
  const refused = await plain.unary(Buffer.alloc(0), metadataOf({ "dapr-callee-app-id": rpc.appId }));
  assert.equal(refused.status.code, grpc.status.UNAVAILABLE);
  assert.equal(mesh.echo.calls.length, 1);
});

test("who may call what is decided by the certificate, not by what the call claims", { skip }, async () => {
  await using mesh = await Mesh.start();
  const [one, other, http, rpc] = await Promise.all([
    mesh.sidecar({ appId: "friend" }),
    mesh.sidecar({ appId: "stranger" }),
    mesh.httpCallee(friendsOnly),
    mesh.grpcCallee(friendsOnly),
  ]);
  const claims = { "dapr-caller-app-id": "friend", "dapr-caller-namespace": "default" };
  const status = async (path: string, caller = one, method = "GET") =>
    (await caller.fetch(`/v1.0/invoke/${http.appId}/method/${path}`, { method, headers: claims })).status;
  assert.equal(await status("orders/1"), 200);
  assert.deepEqual([await status("orders/1", one, "POST"), await status("admin"), await status("orders/1", other)], [403, 403, 403]);
  // One path, many spellings: decided and dispatched on the same bytes. Sent raw, since clients clean paths themselves.
  const spelt = (path: string) => rawHttp(one.httpPort, requestText(`GET /v1.0/invoke/${http.appId}/method/${path}`));
  for (const path of [
    "orders%2F..%2Fadmin",
    "orders/1/../../admin",
    "orders//..//admin",
    "orders/%2e%2e/admin",
    "%6frders/1/2/../../../admin",
  ]) {
    assert.equal((await spelt(path)).status, 403, path);
  }
  assert.equal((await spelt("admin%2F..%2F%6frders//2")).status, 200);
  assert.deepEqual(
    mesh.shop.calls.filter(({ path }) => !path.startsWith("/dapr/")).map(({ path }) => path),
    ["/orders/1", "/orders/2"],
  );
  const codes: grpc.status[] = [];
  for (const caller of [one, other]) {
    using client = new EchoClient(caller.grpcAddress);
    codes.push((await client.unary(Buffer.alloc(0), metadataOf({ "dapr-app-id": rpc.appId, ...claims }))).status.code);
  }
  assert.deepEqual(codes, [grpc.status.OK, grpc.status.PERMISSION_DENIED]);
  assert.equal(mesh.echo.calls.length, 1);
});

test("the same app id in another trust domain or namespace is somebody else", { skip }, async () => {
  await using mesh = await Mesh.start();
  const callee = await mesh.httpCallee(friendsOnly);
  using right = await Peer.of(mesh.ca, { id: "friend", namespace: "default", trustDomain: "public" });
  using domain = await Peer.of(mesh.ca, { id: "friend", namespace: "default", trustDomain: "elsewhere" });
  using namespace = await Peer.of(mesh.ca, { id: "friend", namespace: "other", trustDomain: "public" });
  assert.equal(await right.call(callee, "orders/1"), 200);
  for (const wrong of [domain, namespace]) {
    await assert.rejects(wrong.call(callee, "orders/1"), /access control policy has denied access/);
  }
  assert.equal(mesh.shop.calls.filter(({ path }) => path === "/orders/1").length, 1);
});

test("a peer of another certificate authority and one without a certificate are refused, with the reason in the log", {
  skip,
}, async () => {
  await using mesh = await Mesh.start();
  await using foreign = await sentry();
  const callee = await mesh.httpCallee();
  // It trusts our mesh, so that only its own certificate can be what is wrong.
  using stranger = await Peer.of(foreign, { id: "friend", namespace: "default", trustDomain: "public" }, mesh.ca.anchors());
  await assert.rejects(stranger.call(callee, "orders/1"));
  await callee.program.line(/Refused a TLS connection from .* \(untrusted\)/);
  const socket = connect({
    host: "127.0.0.1",
    port: callee.internalGrpcPort,
    ca: mesh.ca.anchors(),
    checkServerIdentity: () => undefined,
    ALPNProtocols: ["h2"],
  });
  await new Promise<void>((resolve) =>
    socket
      .on("error", () => {})
      .once("close", () => resolve())
      .resume(),
  );
  await callee.program.line(/Refused a TLS connection from .* \(no_certificate\): .*connect with mutual TLS/);
  assert.deepEqual(
    mesh.shop.calls.filter(({ path }) => path === "/orders/1"),
    [],
  );
});

test("a caller under another certificate authority reaches nobody", { skip }, async () => {
  await using mesh = await Mesh.start();
  await using foreign = await sentry();
  const [caller, callee] = await Promise.all([mesh.sidecar({ ca: foreign }), mesh.httpCallee()]);
  const response = await caller.fetch(`/v1.0/invoke/${callee.appId}/method/orders/1`);
  assert.equal(response.status, 500);
  assert.match(await response.text(), /ERR_DIRECT_INVOKE/);
  assert.deepEqual(
    mesh.shop.calls.filter(({ path }) => path === "/orders/1"),
    [],
  );
});
