// Attack 25 of lessons.md, TLS that silently verifies nothing (ADA-1). The mesh verifies even where Node is told not to, and where Dapr
// does not verify, the log says so. tools/unverified-tls.test.ts knows every place.
import assert from "node:assert/strict";
import { test } from "node:test";
import { app } from "../../harness/app.ts";
import { daprd, foreignDaprd } from "../../harness/daprd.ts";
import { sentry } from "../../harness/sentry.ts";
import { Mesh, Peer } from "../mtls/mesh.ts";

const careless = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
const skip = foreignDaprd && "the binary may lack the SQLite resolver, and is no Node program";

test("sidecars verify each other and sentry though the environment says not to", { skip }, async () => {
  await using mesh = await Mesh.start();
  await using foreign = await sentry();
  const callee = await mesh.sidecar({ app: mesh.shop, ready: "all", env: careless });
  using stranger = await Peer.of(foreign, { id: "friend", namespace: "default", trustDomain: "public" }, mesh.ca.anchors());
  await assert.rejects(stranger.call(callee, "orders/1"));
  await callee.program.line(/Refused a TLS connection from .* \(untrusted\)/);
  const caller = await mesh.sidecar({ ca: foreign, env: careless });
  assert.equal((await caller.fetch(`/v1.0/invoke/${callee.appId}/method/orders/1`)).status, 500);
  const fooled = await mesh.sidecar({ ready: "none", env: { ...careless, DAPR_TRUST_ANCHORS: foreign.anchors() } });
  await fooled.program.line(/Cannot fetch the initial identity, trying again: .*authentication handshake failed/);
  assert.deepEqual(
    mesh.shop.calls.filter(({ path }) => path === "/orders/1"),
    [],
  );
});

test("an app over TLS is not verified, as in Dapr, and the log says so; plain text needs no word", { skip: foreignDaprd }, async () => {
  await using shop = await app();
  await using secure = await daprd({ app: shop, flags: { "app-protocol": "https" } });
  await secure.program.line(/level=warning msg="The app's certificate is not verified: app protocol https encrypts/);
  await using plain = await daprd({ app: shop, ready: "all" });
  assert.doesNotMatch(plain.program.output, /is not verified/);
});
