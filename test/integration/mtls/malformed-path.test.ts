// Attack 4 of lessons.md, authorisation bypassed by a malformed :path (CVE-2026-33186, grpc-go), at the port where access control decides:
// a peer with a good certificate that may call one method only spells another in every way that a lenient server could read.
import assert from "node:assert/strict";
import { connect } from "node:http2";
import { test } from "node:test";
import { foreignDaprd } from "../../harness/daprd.ts";
import { Mesh, Peer } from "./mesh.ts";

const skip = foreignDaprd && "the binary may lack the SQLite resolver";

/** All methods but one. */
const allBut = (name: string) => ({
  defaultAction: "allow",
  trustDomain: "public",
  policies: [
    {
      appId: "friend",
      trustDomain: "public",
      namespace: "default",
      defaultAction: "allow",
      operations: [{ name, httpVerb: ["*"], action: "deny" }],
    },
  ],
});

const denied = "/outrigger.test.Echo/Unary";
const spellings = [
  denied,
  "outrigger.test.Echo/Unary",
  "//outrigger.test.Echo/Unary",
  "/outrigger.test.Echo//Unary",
  "/outrigger.test.Echo/Unary/",
  "/outrigger.test.Echo/./Unary",
  "/x/../outrigger.test.Echo/Unary",
  "/outrigger.test.Echo/Un%61ry",
  "/outrigger.test.Echo%2FUnary",
  "/outrigger.test.Echo/Unary?x",
  "/outrigger.test.Echo/Unary#x",
  "/OUTRIGGER.TEST.Echo/Unary",
  "http://elsewhere/outrigger.test.Echo/Unary",
  "*",
  "",
];

test("no spelling of a denied method reaches the app's method", { skip }, async () => {
  await using mesh = await Mesh.start();
  const callee = await mesh.grpcCallee(allBut(denied));
  using peer = await Peer.of(mesh.ca, { id: "friend", namespace: "default", trustDomain: "public" });
  const session = connect("https://callee", { createConnection: () => peer.socket(callee) });
  session.on("error", () => {});
  const status = (path: string) =>
    new Promise<string>((resolve) => {
      const headers = { "content-type": "application/grpc", te: "trailers", "dapr-callee-app-id": callee.appId };
      const stream = session.request({ ":method": "POST", ":path": path, ...headers });
      let found = "refused";
      const note = (fields: object) => (found = String((fields as Record<string, unknown>)["grpc-status"] ?? found));
      stream
        .on("response", note)
        .on("trailers", note)
        .on("error", () => {});
      stream.on("close", () => resolve(found));
      stream.resume();
      stream.end(Buffer.alloc(5));
    });
  for (const path of spellings) {
    assert.notEqual(await status(path), "0", path);
    assert.deepEqual(mesh.echo.calls, [], path);
  }
  assert.equal(await status(denied), "7");
  // The peer may call, only not that: without this the test would pass on a callee that refuses everybody.
  const other = status("/outrigger.test.Echo/Split");
  await mesh.echo.until("the other method was called", () => mesh.echo.calls.length === 1);
  assert.equal(mesh.echo.calls[0]?.path, "/outrigger.test.Echo/Split");
  await other;
  session.destroy();
});
