import assert from "node:assert/strict";
import { test } from "node:test";
import { type GrpcCall, GrpcCode, newMetadata } from "../../lib/wire/grpc/types.ts";
import { createAuthorize } from "./authorize.ts";
import type { Caller, Decide } from "./compile.ts";

function callOf(peerIdentity: string | null): GrpcCall {
  // Headers that claim an identity are no part of the decision.
  const metadata = Object.assign(newMetadata(), { "dapr-caller-app-id": "admin", "dapr-caller-namespace": "default" });
  const signal = new AbortController().signal;
  return { path: "/p/M", metadata, peer: "p", peerIdentity, signal, responseHeaders: newMetadata(), responseTrailers: newMetadata() };
}

const onlyAdmin: Decide = (caller) => ({ allowed: caller?.appId === "admin", by: "app" });

test("the certificate says who calls; a refusal names it, the operation and the verb", () => {
  const seen: (Caller | null)[] = [];
  const authorize = createAuthorize(onlyAdmin, (caller) => seen.push(caller));
  authorize(callOf("spiffe://public/ns/default/admin"), "order", "GET");
  assert.throws(() => authorize(callOf("spiffe://public/ns/default/shop"), "order", "GET"), {
    code: GrpcCode.PERMISSION_DENIED,
    message: "access control policy has denied access to id: spiffe://public/ns/default/shop operation: order verb: GET",
  });
  assert.throws(() => authorize(callOf(null), "order", "NONE"), {
    message: "access control policy has denied access to id:  operation: order verb: NONE",
  });
  assert.deepEqual(
    seen.map((caller) => caller?.appId ?? null),
    ["admin", "shop", null],
  );
});

test("a certificate of another form proves nothing", () => {
  const authorize = createAuthorize(() => ({ allowed: true, by: "global" }));
  for (const id of ["spiffe://public/admin", "spiffe://public/ns//admin", "https://public/ns/default/admin"]) {
    assert.throws(() => authorize(callOf(id), "order", "GET"), { code: GrpcCode.PERMISSION_DENIED, message: /^malformed SPIFFE ID/ });
  }
});
