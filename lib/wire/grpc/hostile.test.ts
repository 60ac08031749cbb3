// Our server against clients that are broken or mean: every call ends with a status and the connection serves on.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, connect, constants, type OutgoingHttpHeaders } from "node:http2";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { FakeClock } from "../../kit/fake-clock.ts";
import { Dapr } from "../../proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { GetStateRequestSchema, GetStateResponseSchema } from "../../proto/gen/dapr/proto/runtime/v1/state_pb.ts";
import { encodeFrame } from "./framing.ts";
import { maxBytes, type OurServer, serve } from "./interop-peer.ts";
import { unary } from "./types.ts";

const path = "/dapr.proto.runtime.v1.Dapr/GetState";
const headers = { ":method": "POST", ":path": path, te: "trailers", "content-type": "application/grpc" };
const good = encodeFrame(toBinary(GetStateRequestSchema, create(GetStateRequestSchema, { key: "k" })), maxBytes);

const methods = [unary(Dapr.method.getState, null, () => create(GetStateResponseSchema, { etag: "1" }))];

interface Answer {
  readonly http: number | undefined;
  readonly code: string | undefined;
  readonly message: string | undefined;
}

async function send(session: ClientHttp2Session, over: OutgoingHttpHeaders, body: Buffer | null): Promise<Answer> {
  const merged: OutgoingHttpHeaders = { ...headers, ...over };
  for (const key of Object.keys(merged)) if (merged[key] === undefined) delete merged[key];
  const stream = session.request(merged);
  const seen: Record<string, string | undefined> = {};
  let http: number | undefined;
  stream.on("response", (response) => {
    http = response[":status"];
    Object.assign(seen, response);
  });
  stream.on("trailers", (trailers) => Object.assign(seen, trailers));
  stream.on("error", () => {});
  stream.resume();
  if (body !== null) stream.end(body);
  // Not events.once, which rejects on "error".
  await new Promise((resolve) => stream.on("close", resolve));
  return { http, code: seen["grpc-status"], message: seen["grpc-message"] };
}

async function withSession(run: (session: ClientHttp2Session, server: OurServer) => Promise<void>, clock?: FakeClock): Promise<void> {
  await using server = await serve({ methods, ...(clock ? { http2: { clock } } : {}) });
  const session = connect(`http://127.0.0.1:${server.port}`);
  session.on("error", () => {});
  await once(session, "remoteSettings");
  await run(session, server);
  session.destroy();
}

const cases: [string, OutgoingHttpHeaders, Buffer | null, Answer][] = [
  ["no content type", { "content-type": undefined }, good, { http: 415, code: "3", message: 'invalid gRPC request content-type ""' }],
  [
    "another content type",
    { "content-type": "application/json" },
    good,
    { http: 415, code: "3", message: 'invalid gRPC request content-type "application/json"' },
  ],
  [
    "a content type that only begins alike",
    { "content-type": "application/grpc-web" },
    good,
    { http: 415, code: "3", message: 'invalid gRPC request content-type "application/grpc-web"' },
  ],
  ["a subtype", { "content-type": "application/grpc+proto" }, good, { http: 200, code: "0", message: undefined }],
  [
    "another verb",
    { ":method": "PUT" },
    good,
    { http: 405, code: "13", message: 'Received a HEADERS frame with :method "PUT" which should be POST' },
  ],
  ["a malformed timeout", { "grpc-timeout": "1 second" }, good, { http: 400, code: "13", message: 'malformed grpc-timeout: "1 second"' }],
  ["a path with one segment", { ":path": "/GetState" }, good, { http: 200, code: "12", message: 'malformed method name: "/GetState"' }],
  ["a path with more slashes", { ":path": `/${path}` }, good, { http: 200, code: "12", message: `malformed method name: "/${path}"` }],
  [
    "a path with a query",
    { ":path": `${path}?a` },
    good,
    { http: 200, code: "12", message: "unknown method GetState?a for service dapr.proto.runtime.v1.Dapr" },
  ],
  ["an unknown service", { ":path": "/a.B/C" }, good, { http: 200, code: "12", message: "unknown service a.B" }],
  ["a prototype for a path", { ":path": "/__proto__/constructor" }, good, { http: 200, code: "12", message: "unknown service __proto__" }],
  [
    "an unknown encoding",
    { "grpc-encoding": "br" },
    good,
    { http: 200, code: "12", message: 'grpc: Decompressor is not installed for grpc-encoding "br"' },
  ],
  [
    "no message",
    {},
    Buffer.alloc(0),
    { http: 200, code: "13", message: "cardinality violation: received no request message for non-client-streaming RPC" },
  ],
  [
    "two messages",
    {},
    Buffer.concat([good, good]),
    { http: 200, code: "13", message: "cardinality violation: received multiple request messages for non-client-streaming RPC" },
  ],
  [
    "half a message",
    {},
    good.subarray(0, good.length - 1),
    { http: 200, code: "13", message: "unexpected EOF: the stream ended within a message" },
  ],
  ["an odd flag", {}, Buffer.from([7, 0, 0, 0, 0]), { http: 200, code: "13", message: "grpc: received unexpected payload format 7" }],
  [
    "a length of four gigabytes",
    {},
    Buffer.from([0, 255, 255, 255, 255]),
    { http: 200, code: "8", message: "grpc: received message larger than max (4294967295 vs. 4194304)" },
  ],
];

for (const [name, over, body, expected] of cases) {
  test(`${name} gets its status, and the connection lives on`, async () => {
    await withSession(async (session, server) => {
      assert.deepEqual(await send(session, over, body), expected);
      assert.deepEqual(await send(session, {}, good), { http: 200, code: "0", message: undefined });
      await server.dispatcher.drain();
    });
  });
}

test("a path without leading slash does not even reach us: the stream is reset", async () => {
  await withSession(async (session) => {
    assert.deepEqual(await send(session, { ":path": path.slice(1) }, good), { http: undefined, code: undefined, message: undefined });
    assert.equal((await send(session, {}, good)).code, "0");
  });
});

test("bytes that are no message are INTERNAL", async () => {
  await withSession(async (session) => {
    const answer = await send(session, {}, encodeFrame(Buffer.from([0x0a, 0xff, 0xff, 0xff]), maxBytes));
    assert.equal(answer.code, "13");
    assert.match(answer.message ?? "", /^grpc: error unmarshalling request: /);
  });
});

test("a caller that never finishes is answered by its deadline and told to stop", async () => {
  await withSession(async (session, server) => {
    const answer = await send(session, { "grpc-timeout": "20m" }, null);
    assert.equal(answer.code, "4");
    await server.dispatcher.drain();
  });
});

test("a connection killed within a call ends that call only", async () => {
  await using server = await serve({ methods });
  const first = connect(`http://127.0.0.1:${server.port}`);
  first.on("error", () => {});
  const stream = first.request(headers);
  stream.on("error", () => {});
  stream.write(good.subarray(0, 3));
  await once(first, "remoteSettings");
  await new Promise((resolve) => first.ping(resolve));
  assert.equal(server.dispatcher.inFlight, 1);
  first.destroy();
  await server.dispatcher.drain();
  assert.equal(server.dispatcher.inFlight, 0);
});

test("a client that pings too often is sent away; one that pings now and then is not", async () => {
  const clock = new FakeClock();
  await withSession(async (session) => {
    const ping = () => new Promise<unknown>((resolve) => session.ping(resolve));
    for (let count = 0; count < 5; count++) {
      assert.equal(await ping(), null);
      await clock.advance(9_000);
    }
    const goaway = once(session, "goaway");
    for (let count = 0; count < 4; count++) session.ping(() => {});
    const [code, , data] = (await goaway) as [number, number, Buffer];
    assert.equal(code, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    assert.equal(Buffer.from(data).toString(), "too_many_pings");
  }, clock);
});

test("an idle connection gets a GOAWAY after its time", async () => {
  const clock = new FakeClock();
  await withSession(async (session) => {
    const goaway = once(session, "goaway");
    // A ping of the client between the steps shows that it lives; it is not a call.
    for (let at = 0; at < 18 && !session.closed; at++) {
      await new Promise((resolve) => session.ping(resolve));
      await clock.advance(10_000);
    }
    assert.equal((await goaway)[0], constants.NGHTTP2_NO_ERROR);
  }, clock);
});

test("headers beyond the limit are refused, and the next call on the connection is served", async () => {
  await using server = await serve({ methods, http2: { maxHeaderListBytes: 8192 } });
  const session = connect(`http://127.0.0.1:${server.port}`);
  assert.equal((await send(session, { "x-big": "x".repeat(7000) }, good)).code, "0");
  assert.equal((await send(session, { "x-big": "x".repeat(9000) }, good)).code, undefined);
  assert.equal((await send(session, {}, good)).code, "0");
  session.destroy();
});
