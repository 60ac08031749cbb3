// Access control on proven identities: sidecars with certificates of a real sentry, invocation and proxied calls, allow and deny.
// OUTRIGGER_PEER_DAPRD puts another daprd on either side, OUTRIGGER_SENTRY another sentry behind them.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { EchoApp, EchoClient, metadataOf, soon, statusOf } from "../../../lib/wire/grpc/echo-peer.ts";
import { configuration } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { type Daprd, type DaprdOptions, daprd } from "../../harness/daprd.ts";
import { type Sentry, sentry } from "../../harness/sentry.ts";

const peer = process.env.OUTRIGGER_PEER_DAPRD;
type Side = { readonly binary?: string };
const pairs: [string, Side, Side][] = [["ours to ours", {}, {}]];
if (peer !== undefined) pairs.push(["ours to the other", {}, { binary: peer }], ["the other to ours", { binary: peer }, {}]);

/** A sidecar of the mesh that `ca` signs for. */
function member(ca: Sentry, options: DaprdOptions, namespace = "default"): Promise<Daprd> {
  const anchors = readFileSync(join(ca.credentials, "ca.crt"), "utf8");
  return daprd({
    ...options,
    flags: { "enable-mtls": true, "sentry-address": ca.address, "control-plane-trust-domain": "localhost", ...options.flags },
    env: { DAPR_TRUST_ANCHORS: anchors, NAMESPACE: namespace, ...options.env },
  });
}

function policy(appId: string, operations: readonly object[], more: object = {}) {
  const policies = [{ appId, trustDomain: "public", namespace: "default", defaultAction: "deny", operations, ...more }];
  return configuration({ accessControl: { defaultAction: "deny", trustDomain: "public", policies } });
}

const admin = { "dapr-caller-app-id": "admin", "dapr-caller-namespace": "default" };

for (const [who, caller, callee] of pairs) {
  describe(who, () => {
    test("invocation: path, verb and caller decide", async () => {
      await using ca = await sentry();
      await using shop = await app({ http: { "*": () => ({}) } });
      const operations = [
        { name: "/public", httpVerb: ["GET"], action: "allow" },
        { name: "/any/**", httpVerb: ["*"], action: "allow" },
      ];
      await using to = await member(ca, { ...callee, app: shop, config: policy("web", operations), ready: "all" });
      await using web = await member(ca, { ...caller, appId: "web" });
      await using other = await member(ca, { ...caller, appId: "other" });
      const ask = async (from: Daprd, method: string, verb = "GET") => {
        const response = await from.fetch(`/v1.0/invoke/${to.appId}/method/${method}`, { method: verb, headers: admin });
        return { status: response.status, text: await response.text() };
      };
      assert.equal((await ask(web, "public")).status, 200);
      assert.equal((await ask(web, "Public")).status, 200);
      assert.equal((await ask(web, "admin%2F..%2Fpublic")).status, 200);
      assert.equal((await ask(web, "any/thing", "POST")).status, 200);
      for (const [from, method, verb] of [
        [web, "public", "POST"],
        [web, "secret", "GET"],
        [web, "public%2F..%2Fsecret", "GET"],
        [web, "secret%253Fpublic", "GET"],
        [other, "public", "GET"],
      ] as const) {
        const { status, text } = await ask(from, method, verb);
        assert.equal(status, 403, `${verb} ${method}`);
        const id = `spiffe://public/ns/default/${from.appId}`;
        assert.match(text, new RegExp(`access control policy has denied access to id: ${id} operation: .* verb: ${verb}`));
      }
      const reached = new Set(shop.calls.map(({ method, path }) => `${method} ${path.toLowerCase()}`));
      assert.deepEqual([...reached].filter((line) => !line.includes("dapr/")).sort(), ["GET /public", "POST /any/thing"]);
    });

    test("proxied calls: the full method and the caller decide", async () => {
      await using ca = await sentry();
      await using echo = await EchoApp.start();
      const operations = [
        { name: "/outrigger.test.Echo/Unary", action: "allow" },
        { name: "/outrigger.test.Echo/Chat", action: "allow" },
      ];
      const flags = { "app-protocol": "grpc" };
      await using to = await member(ca, { ...callee, app: echo.port, flags, config: policy("web", operations), ready: "all" });
      await using web = await member(ca, { ...caller, appId: "web" });
      await using other = await member(ca, { ...caller, appId: "other" });
      using client = new EchoClient(web.grpcAddress);
      using stranger = new EchoClient(other.grpcAddress);
      const target = metadataOf({ "dapr-app-id": to.appId });
      const allowed = await client.unary(Buffer.from("x"), target);
      assert.equal(allowed.status.code, grpc.status.OK, allowed.status.details);
      assert.deepEqual(echo.calls[0]?.metadata.get("dapr-caller-app-id"), ["web"]);
      const chat = client.chat(target);
      const over = statusOf(chat);
      chat.resume();
      chat.write(Buffer.alloc(100_000));
      chat.end();
      assert.equal((await over).code, grpc.status.OK);
      const split = statusOf(client.split("1x1", target));
      assert.equal((await split).code, grpc.status.PERMISSION_DENIED);
      const denied = await stranger.unary(Buffer.from("x"), metadataOf({ "dapr-app-id": to.appId, ...admin }), soon());
      assert.equal(denied.status.code, grpc.status.PERMISSION_DENIED);
      assert.equal(
        denied.status.details,
        "access control policy has denied access to id: spiffe://public/ns/default/other operation: /outrigger.test.Echo/Unary verb: NONE",
      );
      assert.equal(echo.calls.length, 2);
    });
  });
}

test("a caller of another trust domain or namespace is not the one that the policy names", async () => {
  await using ca = await sentry();
  await using shop = await app({ http: { "*": () => ({}) } });
  const allowAll = [{ name: "/**", httpVerb: ["*"], action: "allow" }];
  await using to = await member(ca, { app: shop, config: policy("web", allowAll), ready: "all" });
  await using elsewhere = await member(ca, { app: shop, config: policy("web", allowAll, { trustDomain: "elsewhere" }), ready: "all" });
  await using web = await member(ca, { appId: "web" });
  assert.equal((await web.fetch(`/v1.0/invoke/${to.appId}/method/x`)).status, 200);
  assert.equal((await web.fetch(`/v1.0/invoke/${elsewhere.appId}/method/x`)).status, 403);
  await using away = await member(ca, { appId: "web" }, "away");
  const fromAway = await away.fetch(`/v1.0/invoke/${to.appId}.default/method/x`);
  assert.equal(fromAway.status, 403);
  assert.match(await fromAway.text(), /id: spiffe:\/\/public\/ns\/away\/web/);
});
