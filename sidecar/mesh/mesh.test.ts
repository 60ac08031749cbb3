import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import type { NameResolver } from "../../components/nameresolution/resolver.ts";
import { type Clock, systemClock } from "../../lib/kit/clock.ts";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import type { TraceContext } from "../../lib/telemetry/trace-context.ts";
import { connectGrpc } from "../../lib/wire/grpc/client.ts";
import { createGrpcDispatcher } from "../../lib/wire/grpc/server.ts";
import { GrpcCode, type GrpcMethod, GrpcStatusError } from "../../lib/wire/grpc/types.ts";
import type { App, AppRequest, AppResponse, RetryRunner } from "../contract/ports.ts";
import { readBody } from "../contract/read-body.ts";
import { createMesh, type MeshPorts, type RunningMesh } from "./mesh.ts";

const never = new AbortController().signal;
const trace: TraceContext = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", flags: "01", tracestate: "" };
type Handler = (request: AppRequest, signal: AbortSignal) => Promise<AppResponse> | AppResponse;

function appWith(handler: Handler | null): App {
  const channel = handler && { protocol: "http" as const, grpc: null, invoke: async (r: AppRequest, s: AbortSignal) => handler(r, s) };
  return { channel, healthy: true, onHealth: () => () => {} };
}

const threeTries: RetryRunner = async (operation, isTransient) => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await operation(attempt);
    } catch (error) {
      if (!isTransient(error, attempt) || attempt > 3) throw error;
    }
  }
};

class Registry implements NameResolver {
  readonly addresses = new Map<string, string[]>();
  readonly invalidated: string[] = [];
  async init() {}
  async close() {}
  async register() {}
  async resolve({ appId, namespace }: { appId: string; namespace: string }) {
    return this.addresses.get(`${namespace}/${appId}`) ?? [];
  }
  invalidate(_request: unknown, address: string) {
    this.invalidated.push(address);
  }
}

async function serve(t: TestContext, methods: readonly GrpcMethod[]): Promise<string> {
  const server: Http2Server = createServer();
  createGrpcDispatcher({ methods, maxReceiveBytes: 4 << 20, maxSendBytes: 4 << 20, log: silentLogger }).attach(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function meshOf(
  t: TestContext,
  appId: string,
  registry: Registry,
  handler: Handler | null,
  overrides: Partial<MeshPorts> = {},
): RunningMesh {
  const mesh = createMesh({
    identity: { appId, namespace: "default", hostAddress: "10.0.0.1" },
    hostName: "host",
    app: appWith(handler),
    resolver: registry,
    internalPort: 0,
    connect: ({ address }) => {
      const at = address.lastIndexOf(":");
      const target = { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
      return connectGrpc({ target, maxReceiveBytes: 4 << 20, maxSendBytes: 4 << 20, userAgent: "test", log: silentLogger });
    },
    retries: threeTries,
    hasPolicy: () => false,
    authorize: null,
    maxBodyBytes: 4 << 20,
    clock: systemClock,
    ...overrides,
  });
  t.after(() => mesh.close());
  return mesh;
}

/** A caller's mesh, and a callee's whose app answers with `handler`. */
async function pair(t: TestContext, handler: Handler | null, clock: Clock = systemClock) {
  const registry = new Registry();
  const callee = meshOf(t, "callee", registry, handler);
  registry.addresses.set("default/callee", [await serve(t, callee.methods)]);
  const caller = meshOf(t, "caller", registry, handler, { clock });
  const invoke = (request: Partial<AppRequest>, signal = never, appId = "callee") => {
    const defaults = { verb: "GET", method: "x", query: "", headers: {}, contentType: null, body: null, contentLength: null };
    return caller.mesh.invoke({ appId, namespace: "default", trace, request: { ...defaults, ...request } }, signal);
  };
  return { registry, invoke };
}

function reply(overrides: Partial<AppResponse> = {}): AppResponse {
  return { status: 200, grpc: null, headers: {}, trailers: {}, contentType: null, body: new Uint8Array(0), ...overrides };
}

async function textOf(response: AppResponse): Promise<string> {
  return Buffer.from(await readBody(response.body, 0)).toString();
}

test("a request crosses whole: verb, method, query, headers, body; who calls is set here, not by the caller", async (t) => {
  let seen: AppRequest | null = null;
  const { invoke } = await pair(t, (request) => {
    seen = request;
    return reply({ status: 201, headers: { "x-multi": ["1", "2"] }, contentType: "text/plain", body: Buffer.from("hello") });
  });
  const response = await invoke({
    verb: "PUT",
    method: "a/b c",
    query: "q=1",
    contentType: "application/json",
    headers: { accept: ["a", "b"], "dapr-caller-app-id": ["forged"], "dapr-api-token": ["secret"], "x-forwarded-for": ["1.2.3.4"] },
    body: Buffer.from("{}"),
    contentLength: 2,
  });
  const { headers, ...request } = seen as unknown as AppRequest;
  assert.equal(Buffer.from(request.body as Uint8Array).toString(), "{}");
  assert.deepEqual(
    { ...request, body: null, typeUrl: "" },
    { verb: "PUT", method: "a/b c", query: "q=1", contentType: "application/json", contentLength: null, body: null, typeUrl: "" },
  );
  const { traceparent, ...rest } = headers;
  assert.match(traceparent?.[0] ?? "", /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/);
  assert.deepEqual(
    { ...rest },
    {
      accept: ["a", "b"],
      "x-forwarded-for": ["1.2.3.4", "10.0.0.1"],
      "x-forwarded-host": ["host"],
      forwarded: ["for=10.0.0.1;by=10.0.0.1;host=host"],
      "destination-app-id": ["callee"],
      "dapr-caller-namespace": ["default"],
      "dapr-caller-app-id": ["caller"],
      "dapr-callee-app-id": ["callee"],
    },
  );
  assert.deepEqual(
    [response.status, response.contentType, response.grpc, response.headers["x-multi"]],
    [201, "text/plain", null, ["1", "2"]],
  );
  assert.equal(await textOf(response), "hello");
});

test("the own app is called without leaving the process, in the own namespace only", async (t) => {
  const { invoke } = await pair(t, (request) => reply({ body: Buffer.from(`${request.headers["destination-app-id"]}`) }));
  assert.equal(await textOf(await invoke({}, never, "caller")), "undefined");
  const { invoke: withoutApp } = await pair(t, null);
  await assert.rejects(withoutApp({}, never, "caller"), /cannot invoke local endpoint: app channel not initialized/);
  await assert.rejects(withoutApp({}), (error) => error instanceof GrpcStatusError && error.message === "app channel is not initialized");
});

test("bodies of any size and kind arrive byte for byte, both ways", async (t) => {
  const { invoke } = await pair(t, (request) => reply({ body: request.body ?? new Uint8Array(0) }));
  for (const size of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
    const bytes = Buffer.alloc(size, "ab");
    const whole = await invoke({ verb: "POST", body: bytes, contentLength: size });
    assert.ok(bytes.equals(await readBody(whole.body, 0)), `whole body of ${size} bytes`);
    const chunks = Readable.from([bytes.subarray(0, 10), bytes.subarray(10)]);
    const streamed = await invoke({ verb: "POST", body: chunks });
    assert.ok(bytes.equals(await readBody(streamed.body, 0)), `streamed body of ${size} bytes`);
  }
});

test("a gRPC app's status, details and trailers come back as they were", async (t) => {
  const details = new Uint8Array(Buffer.from("0805120b6e6f7420666f756e64210a", "hex").subarray(0, 0));
  const { invoke } = await pair(t, () =>
    reply({ status: 404, grpc: { code: GrpcCode.NOT_FOUND, message: "no such thing", details }, trailers: { "x-trailer": ["1"] } }),
  );
  const response = await invoke({});
  assert.deepEqual(response.grpc, { code: GrpcCode.NOT_FOUND, message: "no such thing", details: null });
  assert.deepEqual([response.status, response.trailers["x-trailer"]], [404, ["1"]]);
});

test("100 MB stream through in bounded memory, and a slow reader holds the sender back", async (t) => {
  const total = 100 * 1024 * 1024;
  let produced = 0;
  const source = () => {
    produced = 0;
    const chunk = Buffer.alloc(64 * 1024);
    return new Readable({
      read() {
        produced += chunk.length;
        this.push(produced > total ? null : chunk);
      },
    });
  };
  const { invoke } = await pair(t, async (request) => {
    if (request.verb === "GET") return reply({ body: source() });
    let size = 0;
    for await (const chunk of request.body as Readable) size += (chunk as Buffer).length;
    return reply({ body: Buffer.from(String(size)) });
  });
  const before = process.memoryUsage().rss;
  assert.equal(await textOf(await invoke({ verb: "POST", body: source() })), String(total));
  const response = await invoke({});
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(produced < 24 * 1024 * 1024, `${produced} bytes produced while nobody read`);
  let size = 0;
  for await (const chunk of response.body as Readable) size += (chunk as Buffer).length;
  assert.equal(size, total);
  const grown = (process.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(grown < 150, `resident memory grew by ${grown} MB`);
});

test("a response streams: its first piece is here while the app still works", async (t) => {
  const body = new Readable({ read() {} });
  body.push("data: 1\n\n");
  const { invoke } = await pair(t, () => reply({ body }));
  const response = await invoke({ headers: { accept: ["text/event-stream"] } });
  const chunks = (response.body as Readable)[Symbol.asyncIterator]();
  assert.equal(String((await chunks.next()).value), "data: 1\n\n");
  body.push("data: 2\n\n");
  assert.equal(String((await chunks.next()).value), "data: 2\n\n");
  body.push(null);
  assert.ok((await chunks.next()).done);
});

test("the caller leaving reaches the app; the app dying reaches the caller", async (t) => {
  const appSignal = Promise.withResolvers<AbortSignal>();
  const { invoke } = await pair(t, (request, signal) => {
    if (request.method === "die") {
      const body = new Readable({ read() {} });
      body.push("half");
      setImmediate(() => body.destroy(new Error("app died")));
      return reply({ body });
    }
    appSignal.resolve(signal);
    return new Promise(() => {});
  });
  const abort = new AbortController();
  const call = assert.rejects(invoke({ method: "wait" }, abort.signal));
  const signal = await appSignal.promise;
  const aborted = once(signal, "abort");
  abort.abort(new Error("caller left"));
  await Promise.all([call, aborted]);
  await assert.rejects(async () => textOf(await invoke({ method: "die" })));
});

test("a request body that breaks off breaks the app's request", async (t) => {
  const outcome = Promise.withResolvers<string>();
  const { invoke } = await pair(t, async (request) => {
    await readBody(request.body, 0).then(
      () => outcome.resolve("complete"),
      () => outcome.resolve("broken"),
    );
    return reply();
  });
  const body = new Readable({ read() {} });
  body.push("half");
  setImmediate(() => body.destroy(new Error("client gone")));
  await assert.rejects(invoke({ verb: "POST", body }), /client gone/);
  assert.equal(await outcome.promise, "broken");
});

test("a callee that is not there: address forgotten, tried again, told with the count", async (t) => {
  const { invoke, registry } = await pair(t, () => reply());
  registry.addresses.set("default/callee", ["127.0.0.1:1"]);
  await assert.rejects(invoke({ verb: "POST", body: Buffer.from("x"), contentLength: 1 }), (error) => {
    assert.match(
      String(error),
      /failed to invoke target callee after 3 retries\. Error: rpc error: code = Unavailable desc = .*connection refused/,
    );
    return true;
  });
  assert.equal(registry.invalidated.length, 4);
  registry.invalidated.length = 0;
  await assert.rejects(invoke({ verb: "POST", body: Readable.from([Buffer.from("x")]) }), GrpcStatusError);
  assert.equal(registry.invalidated.length, 1);
});

test("a sized stream is sent again from its start", async (t) => {
  const { invoke, registry } = await pair(t, async (request) => reply({ body: await readBody(request.body, 0) }));
  const alive = registry.addresses.get("default/callee") as string[];
  let asked = 0;
  registry.resolve = async () => (asked++ === 0 ? ["127.0.0.1:1"] : alive);
  const chunks = [Buffer.alloc(100_000, "a"), Buffer.alloc(100_000, "b")];
  const response = await invoke({ verb: "POST", body: Readable.from(chunks), contentLength: 200_000 });
  assert.ok(Buffer.concat(chunks).equals(await readBody(response.body, 0)));
});

test("an empty answer of the resolver is asked again for half a second, then told", async (t) => {
  const clock = new FakeClock();
  const { invoke } = await pair(t, () => reply(), clock);
  const failed = assert.rejects(invoke({}, never, "nobody"), /resolver returned empty address for app id default\/nobody/);
  for (let i = 0; i < 5; i++) {
    await clock.untilWaiting();
    await clock.advance(100);
  }
  await failed;
});

test("an unwell app, a bad method and an event stream that fails: Dapr's words", async (t) => {
  const { invoke } = await pair(t, (request) => {
    if (request.method === "unwell") throw new Error("app is not in a healthy state");
    return reply({ status: 404 });
  });
  const message = (expected: string) => (error: unknown) => error instanceof GrpcStatusError && error.message === expected;
  await assert.rejects(invoke({ method: "unwell" }), message("error invoking app channel: app is not in a healthy state"));
  await assert.rejects(invoke({ method: "a#b" }), message('invalid method: method contains forbidden character: "a#b"'));
  const sse = { accept: [" Text/Event-Stream "] };
  await assert.rejects(invoke({ headers: sse }), message("error invoking app channel: no response received from stream"));
});
