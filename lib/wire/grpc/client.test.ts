// Our client against the official server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { FakeClock } from "../../kit/fake-clock.ts";
import {
  type InternalInvokeRequestStream,
  InternalInvokeRequestStreamSchema,
  type InternalInvokeResponseStream,
  InternalInvokeResponseStreamSchema,
  ServiceInvocation,
} from "../../proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { Dapr } from "../../proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  type GetStateRequest,
  GetStateRequestSchema,
  type GetStateResponse,
  GetStateResponseSchema,
} from "../../proto/gen/dapr/proto/runtime/v1/state_pb.ts";
import {
  Health,
  type HealthCheckRequest,
  HealthCheckRequestSchema,
  type HealthCheckResponse,
  HealthCheckResponseSchema,
} from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { channel, officialServer, serve } from "./interop-peer.ts";
import { append } from "./metadata.ts";
import { GrpcCode, GrpcStatusError, newMetadata, unary } from "./types.ts";

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

test("unary: message, metadata out, headers and trailers in", async () => {
  let received = new grpc.Metadata();
  const getState: GetState = (call, callback) => {
    received = call.metadata;
    const headers = new grpc.Metadata();
    headers.set("x-head", "h");
    call.sendMetadata(headers);
    const trailers = new grpc.Metadata();
    trailers.set("x-tail-bin", Buffer.from([0, 1]));
    callback(null, create(GetStateResponseSchema, { data: Buffer.from(call.request.key) }), trailers);
  };
  await using server = await officialServer(Dapr, { getState });
  await using client = channel(server.port);
  const metadata = newMetadata();
  append(metadata, "many", "1");
  append(metadata, "many", "2");
  append(metadata, "grpc-trace-bin", "AAEC");
  const reply = await client.unary(Dapr.method.getState, key("käse"), { metadata, timeoutMs: 60_000 });
  assert.equal(Buffer.from(reply.message.data).toString(), "käse");
  assert.equal(reply.headers["x-head"], "h");
  assert.equal(reply.trailers["x-tail-bin"], "AAE=");
  assert.deepEqual(received.get("many").join(", "), "1, 2");
  assert.deepEqual(received.get("grpc-trace-bin"), [Buffer.from([0, 1, 2])]);
  assert.equal(received.get("user-agent")[0], "outrigger-test");
});

test("errors: code, message, details, trailers; with and without headers before", async () => {
  const getState: GetState = (call, callback) => {
    if (call.request.key === "late") call.sendMetadata(new grpc.Metadata());
    const metadata = new grpc.Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from("details"));
    metadata.set("x-why", "because");
    callback({ code: grpc.status.NOT_FOUND, details: "nüscht", metadata });
  };
  await using server = await officialServer(Dapr, { getState });
  await using client = channel(server.port);
  for (const when of ["early", "late"]) {
    await assert.rejects(client.unary(Dapr.method.getState, key(when)), (error: GrpcStatusError) => {
      assert.deepEqual(
        [error.code, error.message, Buffer.from(error.statusDetails ?? []).toString()],
        [GrpcCode.NOT_FOUND, "nüscht", "details"],
      );
      assert.equal(error.metadata["x-why"], "because");
      return true;
    });
  }
  await assert.rejects(client.unary(Dapr.method.shutdown, {} as never), status(GrpcCode.UNIMPLEMENTED));
});

test("the official server's gzip is read", async () => {
  await using server = await officialServer(Dapr, { getState: echo }, { "grpc.default_compression_algorithm": 2 });
  await using client = channel(server.port);
  const { message } = await client.unary(Dapr.method.getState, key("z".repeat(100_000)));
  assert.equal(message.data.length, 100_000);
});

test("limits both ways", async () => {
  const getState: GetState = (_call, callback) => callback(null, create(GetStateResponseSchema, { data: Buffer.alloc(5000) }));
  await using server = await officialServer(Dapr, { getState });
  await using client = channel(server.port, { maxReceiveBytes: 4000, maxSendBytes: 100 });
  await assert.rejects(
    client.unary(Dapr.method.getState, key("")),
    status(GrpcCode.RESOURCE_EXHAUSTED, /larger than max \(5003 vs\. 4000\)/),
  );
  await assert.rejects(client.unary(Dapr.method.getState, key("x".repeat(200))), status(GrpcCode.RESOURCE_EXHAUSTED, /trying to send/));
});

test("a deadline is told to the server and kept here", async () => {
  const clock = new FakeClock();
  const cancelled = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<grpc.Deadline>();
  const getState: GetState = (call) => {
    call.on("cancelled", () => cancelled.resolve());
    begun.resolve(call.getDeadline());
  };
  await using server = await officialServer(Dapr, { getState });
  await using client = channel(server.port, { clock });
  const answer = client.unary(Dapr.method.getState, key("k"), { timeoutMs: 60_000 });
  const left = Number(await begun.promise) - Date.now();
  assert.ok(left > 30_000 && left <= 60_000, String(left));
  const refused = assert.rejects(answer, status(GrpcCode.DEADLINE_EXCEEDED, /context deadline exceeded/));
  await clock.advance(60_000);
  await refused;
  await cancelled.promise;
});

test("an aborted signal cancels the call at the server, with the signal's own status if it has one", async () => {
  const cancelled = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const getState: GetState = (call) => {
    call.on("cancelled", () => cancelled.resolve());
    begun.resolve();
  };
  await using server = await officialServer(Dapr, { getState });
  await using client = channel(server.port);
  const controller = new AbortController();
  const answer = client.unary(Dapr.method.getState, key("k"), { signal: controller.signal });
  await begun.promise;
  controller.abort(new GrpcStatusError(GrpcCode.ABORTED, "mine"));
  await assert.rejects(answer, status(GrpcCode.ABORTED, /mine/));
  await cancelled.promise;
  await assert.rejects(client.unary(Dapr.method.getState, key("k"), { signal: AbortSignal.abort() }), status(GrpcCode.CANCELLED));
});

test("server streaming: messages, headers and trailers; an error at the end", async () => {
  const watch: grpc.handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse> = (call) => {
    const headers = new grpc.Metadata();
    headers.set("x-head", "h");
    call.sendMetadata(headers);
    for (let count = 0; count < 500; count++) call.write(create(HealthCheckResponseSchema, { status: 1 }));
    if (call.request.service === "fail") call.emit("error", { code: grpc.status.DATA_LOSS, details: "gone" });
    else call.end();
  };
  await using server = await officialServer(Health, { watch });
  await using client = channel(server.port);
  const good = client.serverStream(Health.method.watch, create(HealthCheckRequestSchema));
  let count = 0;
  for await (const message of good.messages) count += message.status;
  assert.equal(count, 500);
  assert.equal((await good.headers)["x-head"], "h");
  assert.deepEqual(Object.keys(await good.trailers), []);
  const bad = client.serverStream(Health.method.watch, create(HealthCheckRequestSchema, { service: "fail" }));
  await assert.rejects(
    async () => {
      for await (const _message of bad.messages);
    },
    status(GrpcCode.DATA_LOSS, /gone/),
  );
  await assert.rejects(bad.trailers, status(GrpcCode.DATA_LOSS));
});

type Duplex = grpc.ServerDuplexStream<InternalInvokeRequestStream, InternalInvokeResponseStream>;
const streamEcho = (call: Duplex) => {
  call.on("data", (message: InternalInvokeRequestStream) => {
    call.write(create(InternalInvokeResponseStreamSchema, message.payload ? { payload: message.payload } : {}));
  });
  call.on("end", () => call.end());
};

test("bidi: every message comes back, in order", async () => {
  await using server = await officialServer(ServiceInvocation, { callLocalStream: streamEcho });
  await using client = channel(server.port);
  const call = client.bidi(ServiceInvocation.method.callLocalStream);
  const sending = (async () => {
    for (let seq = 0n; seq < 500n; seq++)
      await call.write(create(InternalInvokeRequestStreamSchema, { payload: { data: Buffer.alloc(5000), seq } }));
    call.end();
  })();
  const seqs: bigint[] = [];
  for await (const message of call.messages) seqs.push(message.payload?.seq ?? -1n);
  await sending;
  assert.deepEqual(
    seqs,
    Array.from({ length: 500 }, (_unused, at) => BigInt(at)),
  );
});

test("leaving the loop early cancels the call; later writes are refused", async () => {
  const cancelled = Promise.withResolvers<void>();
  const callLocalStream = (call: Duplex) => {
    call.on("cancelled", () => cancelled.resolve());
    streamEcho(call);
  };
  await using server = await officialServer(ServiceInvocation, { callLocalStream });
  await using client = channel(server.port);
  const call = client.bidi(ServiceInvocation.method.callLocalStream);
  await call.write(create(InternalInvokeRequestStreamSchema, { payload: { seq: 7n } }));
  for await (const message of call.messages) {
    assert.equal(message.payload?.seq, 7n);
    break;
  }
  await cancelled.promise;
  await assert.rejects(call.write(create(InternalInvokeRequestStreamSchema)), status(GrpcCode.CANCELLED));
});

test("big metadata, both ways", async () => {
  await using server = await serve({
    methods: [
      unary(Dapr.method.getState, null, (_request, call) => {
        call.responseTrailers["x-big"] = call.metadata["x-big"] ?? "";
        return create(GetStateResponseSchema, {});
      }),
    ],
  });
  await using client = channel(server.port);
  const metadata = newMetadata();
  metadata["x-big"] = "x".repeat(30_000);
  const { trailers } = await client.unary(Dapr.method.getState, key("k"), { metadata });
  assert.equal(trailers["x-big"]?.length, 30_000);
  metadata["x-big"] = "x".repeat(100_000);
  await assert.rejects(client.unary(Dapr.method.getState, key("k"), { metadata }), status(GrpcCode.RESOURCE_EXHAUSTED, /64 KiB/));
  metadata["x-big"] = "fits";
  assert.equal((await client.unary(Dapr.method.getState, key("k"), { metadata })).trailers["x-big"], "fits");
});
