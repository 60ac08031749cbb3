import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { Health } from "../../lib/proto/gen/grpc/health/v1/health_pb.ts";
import { EchoApp, EchoClient, failureText, metadataOf } from "../../lib/wire/grpc/echo-peer.ts";
import { channel, freePort, serve } from "../../lib/wire/grpc/interop-peer.ts";
import { GrpcCode, GrpcStatusError } from "../../lib/wire/grpc/types.ts";
import type { Authorize } from "../contract/authorize.ts";
import type { App, AppChannel } from "../contract/ports.ts";
import type { ProxyPorts, Remotes } from "./ports.ts";
import { createProxy, namesTarget } from "./proxy.ts";

const messageMaxBytes = 4 * 1024 * 1024;

/** Addresses of apps by `namespace/app`, taken in turn. */
class Registry implements Remotes {
  readonly ports = new Map<string, number[]>();
  failures = 0;
  open = 0;

  async reach({ appId, namespace }: { appId: string; namespace: string }) {
    const known = this.ports.get(`${namespace}/${appId}`);
    const port = known?.[0];
    if (port === undefined) throw new Error(`couldn't find service: ${appId}`);
    const connection = channel(port);
    this.open++;
    return {
      channel: connection,
      done: () => {
        this.open--;
        void connection.close();
      },
      failed: () => {
        this.failures++;
        known?.shift();
      },
    };
  }
}

function appAt(port: number | null, protocol: AppChannel["protocol"] = "grpc"): App {
  const call = () => Promise.reject(new Error("not in this test"));
  const connection = port === null ? null : channel(port);
  const grpcPart = connection && {
    call,
    forward: (f: never, headers: readonly string[]) => connection.forward(f, [...headers, "dapr-api-token", "own"]),
  };
  const appChannel = { protocol, invoke: call, grpc: protocol === "http" ? null : grpcPart };
  return { channel: port === null ? null : (appChannel as AppChannel), healthy: true, onHealth: () => () => {} };
}

interface Sidecar {
  readonly outbound: EchoClient;
  readonly inbound: EchoClient;
  readonly internalPort: number;
}

const unprotected: ProxyPorts["policies"] = { app: () => null };

async function sidecar(
  t: TestContext,
  appId: string,
  app: App,
  remotes: Remotes,
  authorize: Authorize | null = null,
  policies = unprotected,
): Promise<Sidecar> {
  const identity = { appId, namespace: "default", hostAddress: "127.0.0.1" };
  const proxy = createProxy({ identity, app, remotes, policies, authorize, maxMessageBytes: messageMaxBytes });
  const open = await serve({ methods: [], unknown: proxy.outbound });
  const internal = await serve({ methods: [], unknown: proxy.inbound });
  const outbound = new EchoClient(`127.0.0.1:${open.port}`);
  const inbound = new EchoClient(`127.0.0.1:${internal.port}`);
  t.after(async () => {
    outbound[Symbol.dispose]();
    inbound[Symbol.dispose]();
    await open[Symbol.asyncDispose]();
    await internal[Symbol.asyncDispose]();
  });
  return { outbound, inbound, internalPort: internal.port };
}

async function pair(t: TestContext, authorize: Authorize | null = null) {
  const app = await EchoApp.start();
  t.after(() => app.kill());
  const registry = new Registry();
  const callee = await sidecar(t, "shop", appAt(app.port), registry, authorize);
  registry.ports.set("default/shop", [callee.internalPort]);
  const caller = await sidecar(t, "web", appAt(null), registry);
  return { app, registry, caller, callee };
}

const body = Buffer.from("body");

test("a call crosses both sidecars; its metadata says who calls whom, and carries no credential and no target", async (t) => {
  const { app, caller, registry } = await pair(t);
  const sent = metadataOf({
    "dapr-app-id": "shop",
    "dapr-api-token": "the caller's",
    "dapr-caller-app-id": "admin",
    "dapr-caller-namespace": "kube-system",
    "dapr-stream": "true",
    "x-kept": "yes",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate: "v=1",
  });
  const { message, status } = await caller.outbound.unary(body, sent);
  assert.equal(status.code, grpc.status.OK, status.details);
  assert.equal(message?.toString(), "body");
  const seen = app.calls[0]?.metadata as grpc.Metadata;
  const values = (name: string) => seen.get(name).map(String);
  assert.deepEqual(values("dapr-app-id"), []);
  assert.deepEqual(values("dapr-api-token"), ["own"]);
  assert.deepEqual(values("dapr-caller-app-id"), ["web"]);
  assert.deepEqual(values("dapr-caller-namespace"), ["default"]);
  assert.deepEqual(values("dapr-callee-app-id"), ["shop"]);
  assert.deepEqual(values("dapr-stream"), ["true"]);
  assert.deepEqual(values("x-kept"), ["yes"]);
  assert.deepEqual(values("tracestate"), ["v=1"]);
  assert.match(values("traceparent").join(), /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/);
  assert.equal(seen.get("grpc-trace-bin").length, 1);
  assert.equal(registry.open, 0);
});

test("a call without a trace gets none", async (t) => {
  const { app, caller } = await pair(t);
  await caller.outbound.unary(body, metadataOf({ "dapr-app-id": "shop" }));
  const seen = app.calls[0]?.metadata.getMap() ?? {};
  assert.deepEqual(
    Object.keys(seen).filter((name) => name.includes("trace")),
    [],
  );
});

test("the target: dapr-callee-app-id goes first, a namespace may follow, and what is none is told in Dapr's words", async (t) => {
  const { caller } = await pair(t);
  const cases: [Record<string, string>, number, RegExp][] = [
    [{ "dapr-callee-app-id": "shop", "dapr-app-id": "nobody" }, grpc.status.OK, /OK/],
    [{ "dapr-app-id": "shop.default" }, grpc.status.OK, /OK/],
    [{ "dapr-app-id": "shop.elsewhere" }, grpc.status.UNKNOWN, /^couldn't find service: shop$/],
    [{ "dapr-app-id": "a.b.c" }, grpc.status.UNKNOWN, /^invalid app id a\.b\.c$/],
    [{ "dapr-app-id": "" }, grpc.status.UNKNOWN, /^app id is empty$/],
    [{}, grpc.status.UNKNOWN, /^failed to proxy request: required metadata dapr-callee-app-id or dapr-app-id not found$/],
  ];
  for (const [target, code, details] of cases) {
    const { status } = await caller.outbound.unary(body, metadataOf(target));
    assert.equal(status.code, code, JSON.stringify(target));
    assert.match(status.details, details);
  }
});

test("the own app is called directly, without access control", async (t) => {
  const app = await EchoApp.start();
  t.after(() => app.kill());
  const deny: Authorize = () => {
    throw new GrpcStatusError(GrpcCode.PERMISSION_DENIED, "no");
  };
  const { outbound } = await sidecar(t, "shop", appAt(app.port), new Registry(), deny);
  const { status } = await outbound.unary(body, metadataOf({ "dapr-app-id": "shop" }));
  assert.equal(status.code, grpc.status.OK, status.details);
});

test("the internal port reaches the app behind it only, after access control on the very path", async (t) => {
  const asked: unknown[] = [];
  const { app, callee } = await pair(t, (call, operation, verb) => {
    asked.push([call.peerIdentity, operation, verb]);
    if (operation.endsWith("/Unary")) throw new GrpcStatusError(GrpcCode.PERMISSION_DENIED, "access control policy has denied access");
  });
  const shop = metadataOf({ "dapr-callee-app-id": "shop" });
  assert.equal((await callee.inbound.unary(body, shop)).status.code, grpc.status.PERMISSION_DENIED);
  assert.deepEqual(asked, [[null, "/outrigger.test.Echo/Unary", "NONE"]]);
  assert.equal(app.calls.length, 0);
  const { call, answer } = callee.inbound.collect(shop);
  call.end();
  assert.equal((await answer).status.code, grpc.status.OK);
  for (const target of ["web", "shop.elsewhere"]) {
    const { status } = await callee.inbound.unary(body, metadataOf({ "dapr-callee-app-id": target }));
    assert.equal(status.code, grpc.status.UNAVAILABLE);
    assert.match(status.details, /this is the sidecar of shop, not of/);
  }
});

test("a path that is not in its cleaned form reaches no app", async (t) => {
  const { app, callee } = await pair(t, () => {});
  const shop = metadataOf({ "dapr-callee-app-id": "shop" });
  const paths = [
    "/./Unary",
    "/../Unary",
    "/outrigger.test.Echo/..",
    "/a/../outrigger.test.Echo/Unary",
    "//outrigger.test.Echo/Unary",
    "/outrigger.test.Echo//Unary",
    "/outrigger.test.Echo/Unary?x",
    "/outrigger.test.Echo/Unary#x",
    "/outrigger.test.Echo/Unary/",
    "outrigger.test.Echo/Unary",
    "/",
  ];
  for (const path of paths) {
    const { status } = await callee.inbound.path(path, body, shop);
    // What HTTP/2 itself refuses ends as INTERNAL at the caller.
    assert.ok(
      [grpc.status.INVALID_ARGUMENT, grpc.status.UNIMPLEMENTED, grpc.status.INTERNAL].includes(status.code),
      `${path}: ${status.code} ${status.details}`,
    );
  }
  assert.deepEqual(app.calls, []);
});

test("an app that speaks HTTP, or none, is told", async (t) => {
  const registry = new Registry();
  const http = await sidecar(t, "shop", appAt(1, "http"), registry);
  const { status } = await http.inbound.unary(body, metadataOf({ "dapr-callee-app-id": "shop" }));
  assert.equal(status.code, grpc.status.FAILED_PRECONDITION);
  assert.match(status.details, /app shop is reached over http, .* --app-protocol grpc/);
  const none = await sidecar(t, "web", appAt(null), registry);
  const { status: missing } = await none.outbound.unary(body, metadataOf({ "dapr-app-id": "web" }));
  assert.equal(missing.code, grpc.status.INTERNAL);
  assert.equal(missing.details, "app channel is not initialized");
});

test("an address where nobody listens is forgotten, and the next one tried with the same bytes", async (t) => {
  const { app, caller, registry, callee } = await pair(t);
  registry.ports.set("default/shop", [await freePort(), callee.internalPort]);
  const { message, status } = await caller.outbound.unary(body, metadataOf({ "dapr-app-id": "shop" }));
  assert.equal(status.code, grpc.status.OK, status.details);
  assert.equal(message?.toString(), "body");
  assert.equal(registry.failures, 1);
  assert.equal(app.calls.length, 1);
  registry.ports.set("default/shop", [await freePort(), await freePort(), callee.internalPort]);
  const { status: lost } = await caller.outbound.unary(body, metadataOf({ "dapr-app-id": "shop" }));
  assert.equal(lost.code, grpc.status.UNAVAILABLE);
  assert.match(lost.details, /connection refused/);
});

test("UNAVAILABLE of the app itself is its answer: nothing is tried again or forgotten", async (t) => {
  const { app, caller, registry } = await pair(t);
  const { status } = await caller.outbound.unary(body, metadataOf({ "dapr-app-id": "shop", "fail-code": "14" }));
  assert.equal(status.code, grpc.status.UNAVAILABLE);
  assert.equal(status.details, failureText);
  assert.equal(app.calls.length, 1);
  assert.equal(registry.failures, 0);
});

test("a caller that leaves while the app is still being looked up leaves nothing behind", async (t) => {
  const asked = Promise.withResolvers<AbortSignal>();
  const remotes: Remotes = {
    reach: (_app, signal) => {
      asked.resolve(signal);
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  };
  const { outbound } = await sidecar(t, "web", appAt(null), remotes);
  const chat = outbound.chat(metadataOf({ "dapr-app-id": "shop" }));
  const signal = await asked.promise;
  const aborted = once(signal, "abort");
  chat.cancel();
  await aborted;
  assert.equal((signal.reason as GrpcStatusError).code, GrpcCode.CANCELLED);
});

test("only calls that name a target leave the sidecar's own services", () => {
  assert.equal(namesTarget({ ":path": `/${Health.typeName}/Check` }), false);
  assert.equal(namesTarget({ "dapr-app-id": "shop" }), true);
});
