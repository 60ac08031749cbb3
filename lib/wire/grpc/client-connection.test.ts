// The connections of our client: limits, loss, refusal, and servers that break.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerHttp2Session } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type * as grpc from "@grpc/grpc-js";
import { FakeClock } from "../../kit/fake-clock.ts";
import { InternalInvokeRequestStreamSchema, ServiceInvocation } from "../../proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { Dapr } from "../../proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  type GetStateRequest,
  GetStateRequestSchema,
  type GetStateResponse,
  GetStateResponseSchema,
} from "../../proto/gen/dapr/proto/runtime/v1/state_pb.ts";
import { channel, freePort, officialServer, rawHttp2, serve, tcp } from "./interop-peer.ts";
import { type GrpcChannel, GrpcCode, GrpcStatusError, unary } from "./types.ts";

type GetState = grpc.handleUnaryCall<GetStateRequest, GetStateResponse>;
const key = (text: string) => create(GetStateRequestSchema, { key: text });
const echo: GetState = (call, callback) => callback(null, create(GetStateResponseSchema, { data: Buffer.from(call.request.key) }));

const status =
  (code: GrpcCode, message = /(?:)/) =>
  (error: unknown) => {
    assert.ok(error instanceof GrpcStatusError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };

test("a stream to nobody fails in every one of its promises", async () => {
  await using client = channel(await freePort());
  const call = client.bidi(ServiceInvocation.method.callLocalStream);
  const refused = status(GrpcCode.UNAVAILABLE, /connection refused/);
  await assert.rejects(call.write(create(InternalInvokeRequestStreamSchema)), refused);
  await assert.rejects(call.headers, refused);
  await assert.rejects(call.messages[Symbol.asyncIterator]().next(), refused);
});

test("nobody listens: UNAVAILABLE, in the words people know; later the same channel connects", async () => {
  const port = await freePort();
  await using client = channel(port);
  await assert.rejects(
    client.unary(Dapr.method.getState, key("k")),
    status(GrpcCode.UNAVAILABLE, new RegExp(`Error while dialing: dial tcp 127\\.0\\.0\\.1:${port}: connect: connection refused`)),
  );
  await using server = await officialServer(Dapr, { getState: echo }, {}, port);
  assert.equal((await client.unary(Dapr.method.getState, key("k"))).message.data.length, 1);
  assert.equal(server.port, port);
});

test("a peer that is no HTTP/2 server, and one that says nothing, are UNAVAILABLE", async () => {
  const clock = new FakeClock();
  await using odd = await tcp((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await using oddClient = channel(odd.port, { clock });
  await assert.rejects(oddClient.unary(Dapr.method.getState, key("k")), status(GrpcCode.UNAVAILABLE));
  await using mute = await tcp(() => {});
  await using muteClient = channel(mute.port, { clock, connectTimeoutMs: 5000 });
  const refused = assert.rejects(muteClient.unary(Dapr.method.getState, key("k")), status(GrpcCode.UNAVAILABLE, /within 5000 ms/));
  await clock.untilWaiting();
  await clock.advance(5000);
  await refused;
});

test("a thousand calls at a time, on as many connections as the server's limit asks for", async () => {
  const sessions = new Set<unknown>();
  await using server = await serve({
    methods: [unary(Dapr.method.getState, null, async (request) => create(GetStateResponseSchema, { etag: request.key }))],
    http2: { maxConcurrentStreams: 100 },
  });
  server.http2.on("session", (session) => sessions.add(session));
  await using client = channel(server.port);
  const replies = await Promise.all(Array.from({ length: 1000 }, (_unused, at) => client.unary(Dapr.method.getState, key(String(at)))));
  assert.deepEqual(
    replies.map((reply) => reply.message.etag),
    Array.from({ length: 1000 }, (_unused, at) => String(at)),
  );
  assert.ok(sessions.size > 1 && sessions.size <= 16, `${sessions.size} connections`);
});

test("a connection killed midway: the calls on it are UNAVAILABLE, the next call dials anew", async () => {
  const sessions: ServerHttp2Session[] = [];
  const begun = Promise.withResolvers<void>();
  await using server = await serve({
    methods: [
      unary(Dapr.method.getState, null, (request) => {
        if (request.key === "fine") return create(GetStateResponseSchema, { etag: "1" });
        begun.resolve();
        return new Promise(() => {});
      }),
    ],
  });
  server.http2.on("session", (session) => void sessions.push(session as ServerHttp2Session));
  await using client = channel(server.port);
  const lost = client.unary(Dapr.method.getState, key("hang"));
  await begun.promise;
  sessions[0]?.socket.destroy();
  await assert.rejects(lost, status(GrpcCode.UNAVAILABLE));
  assert.equal((await client.unary(Dapr.method.getState, key("fine"))).message.etag, "1");
  assert.equal(sessions.length, 2);
});

test("a refused call is tried again, at most three times in all", async () => {
  let seen = 0;
  await using server = await rawHttp2((http2) =>
    http2.on("stream", (stream) => {
      seen++;
      stream.close(7);
    }),
  );
  await using client = channel(server.port);
  await assert.rejects(client.unary(Dapr.method.getState, key("k")), status(GrpcCode.UNAVAILABLE, /REFUSED_STREAM/));
  assert.equal(seen, 3);
});

test("after a GOAWAY calls in flight end well and new ones use a new connection", async () => {
  const finish = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const sessions: ServerHttp2Session[] = [];
  await using server = await serve({
    methods: [
      unary(Dapr.method.getState, null, async (request) => {
        begun.resolve();
        if (request.key === "slow") await finish.promise;
        return create(GetStateResponseSchema, { etag: request.key });
      }),
    ],
  });
  server.http2.on("session", (session) => void sessions.push(session as ServerHttp2Session));
  await using client = channel(server.port);
  const slow = client.unary(Dapr.method.getState, key("slow"));
  await begun.promise;
  sessions[0]?.close();
  for (let at = 0; at < 50; at++) assert.equal((await client.unary(Dapr.method.getState, key("new"))).message.etag, "new");
  finish.resolve();
  assert.equal((await slow).message.etag, "slow");
  assert.equal(sessions.length, 2);
});

test("replies that are no gRPC", async () => {
  const replies: [Record<string, string | number>, GrpcCode, RegExp][] = [
    [{ ":status": 502, "content-type": "text/html" }, GrpcCode.UNAVAILABLE, /status code received from server: 502/],
    [{ ":status": 404 }, GrpcCode.UNIMPLEMENTED, /404/],
    [{ ":status": 200, "content-type": "text/html" }, GrpcCode.UNKNOWN, /unexpected content-type "text\/html"/],
    [{ ":status": 200, "content-type": "application/grpc" }, GrpcCode.INTERNAL, /without sending trailers/],
    [{ ":status": 200, "content-type": "application/grpc", "grpc-encoding": "br" }, GrpcCode.INTERNAL, /Decompressor is not installed/],
  ];
  let next = 0;
  await using server = await rawHttp2((http2) =>
    http2.on("stream", (stream) => {
      const answer = stream as unknown as { respond(headers: unknown): void; end(text: string): void };
      answer.respond(replies[next]?.[0]);
      answer.end("");
    }),
  );
  await using client = channel(server.port);
  for (const [, code, message] of replies) {
    await assert.rejects(client.unary(Dapr.method.getState, key("k")), status(code, message));
    next++;
  }
});

test("pings find out that the other end is gone", async () => {
  const clock = new FakeClock();
  let answering = true;
  await using server = await rawHttp2((http2) => http2.on("stream", () => {}));
  await using relay = await tcp((socket) => {
    const upstream = connect(server.port, "127.0.0.1");
    socket.on("data", (data) => upstream.write(data));
    upstream.on("data", (data) => answering && socket.write(data));
    socket.on("close", () => upstream.destroy());
  });
  await using client = channel(relay.port, { clock, keepAlive: { intervalMs: 10_000, timeoutMs: 3000, withoutCalls: false } });
  const lost = assert.rejects(client.unary(Dapr.method.getState, key("k")), status(GrpcCode.UNAVAILABLE));
  // The dial's timer goes, the keepalive's comes.
  while (clock.waiting !== 1 || relay.connections === 0) await new Promise((resolve) => setImmediate(resolve));
  await once(server.http2, "stream");
  answering = false;
  await clock.advance(10_000);
  await clock.advance(3000);
  await lost;
});

test("close waits for the calls in flight and refuses new ones", async () => {
  const begun = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  await using server = await serve({
    methods: [
      unary(Dapr.method.getState, null, async () => {
        begun.resolve();
        await finish.promise;
        return create(GetStateResponseSchema, { etag: "1" });
      }),
    ],
  });
  const client: GrpcChannel = channel(server.port);
  const running = client.unary(Dapr.method.getState, key("k"));
  await begun.promise;
  const closed = client.close();
  await assert.rejects(client.unary(Dapr.method.getState, key("k")), status(GrpcCode.CANCELLED, /closing/));
  finish.resolve();
  assert.equal((await running).message.etag, "1");
  await closed;
});
