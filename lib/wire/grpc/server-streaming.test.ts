// Streams of our server against the official client.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import {
  type InternalInvokeRequestStream,
  InternalInvokeRequestStreamSchema,
  type InternalInvokeResponseStream,
  InternalInvokeResponseStreamSchema,
  ServiceInvocation,
} from "../../proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { Dapr } from "../../proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  Health,
  HealthCheckRequestSchema,
  type HealthCheckResponse,
  HealthCheckResponseSchema,
} from "../../proto/gen/grpc/health/v1/health_pb.ts";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { definitionOf, serve, withClient } from "./interop-peer.ts";
import { reflectionMethods } from "./reflection.ts";
import { bidiStreaming, GrpcCode, GrpcStatusError, serverStreaming } from "./types.ts";

const streamEcho = bidiStreaming(ServiceInvocation.method.callLocalStream, null, async function* (requests) {
  for await (const request of requests)
    yield create(InternalInvokeResponseStreamSchema, request.payload ? { payload: request.payload } : {});
});

test("server streaming: all messages under backpressure, then the status", async () => {
  let made = 0;
  await using server = await serve({
    methods: [
      serverStreaming(Health.method.watch, null, async function* (request) {
        for (; made < 2000; made++) yield create(HealthCheckResponseSchema, { status: 1 });
        if (request.service === "fail") throw new GrpcStatusError(GrpcCode.DATA_LOSS, "at the end");
      }),
    ],
  });
  await withClient(server, Health, async (client) => {
    const method = definitionOf(Health)["watch"] as grpc.MethodDefinition<unknown, HealthCheckResponse>;
    const stream = client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      create(HealthCheckRequestSchema, { service: "fail" }),
    );
    let count = 0;
    await assert.rejects(
      async () => {
        for await (const _message of stream) count++;
      },
      { code: grpc.status.DATA_LOSS, details: "at the end" },
    );
    assert.equal(count, 2000);
  });
});

test("server streaming: a slow reader holds the handler back", async () => {
  let made = 0;
  const chunk = Buffer.alloc(256 * 1024);
  const stopped = Promise.withResolvers<void>();
  await using server = await serve({
    methods: [
      bidiStreaming(ServiceInvocation.method.callLocalStream, null, async function* () {
        try {
          for (; made < 10_000; made++) yield create(InternalInvokeResponseStreamSchema, { payload: { data: chunk, seq: BigInt(made) } });
        } finally {
          stopped.resolve();
        }
      }),
    ],
  });
  await withClient(server, ServiceInvocation, async (client) => {
    const stream = bidi(client);
    await new Promise((resolve) => stream.once("readable", resolve));
    // The reader takes nothing more: the windows fill up and the handler must come to rest far from the end.
    let before = -1;
    while (before !== made) {
      before = made;
      for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(made < 1000, `${made} chunks were made without a reader`);
    stream.cancel();
    stream.on("error", () => {});
    stream.resume();
    await stopped.promise;
  });
});

function bidi(client: grpc.Client): grpc.ClientDuplexStream<InternalInvokeRequestStream, InternalInvokeResponseStream> {
  const method = definitionOf(ServiceInvocation)["callLocalStream"] as grpc.MethodDefinition<
    InternalInvokeRequestStream,
    InternalInvokeResponseStream
  >;
  return client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
}

test("bidi: every message comes back, in order", async () => {
  await using server = await serve({ methods: [streamEcho] });
  await withClient(server, ServiceInvocation, async (client) => {
    const stream = bidi(client);
    for (let seq = 0n; seq < 500n; seq++)
      stream.write(create(InternalInvokeRequestStreamSchema, { payload: { data: Buffer.alloc(1000), seq } }));
    stream.end();
    const seqs: bigint[] = [];
    for await (const message of stream) seqs.push((message as InternalInvokeResponseStream).payload?.seq ?? -1n);
    assert.deepEqual(
      seqs,
      Array.from({ length: 500 }, (_unused, at) => BigInt(at)),
    );
  });
});

test("bidi: a handler that ends early gives its status while the caller still sends", async () => {
  await using server = await serve({
    methods: [
      bidiStreaming(ServiceInvocation.method.callLocalStream, null, async function* (requests) {
        for await (const _request of requests) {
          yield create(InternalInvokeResponseStreamSchema, {});
          throw new GrpcStatusError(GrpcCode.OUT_OF_RANGE, "enough");
        }
      }),
    ],
  });
  await withClient(server, ServiceInvocation, async (client) => {
    const stream = bidi(client);
    stream.write(create(InternalInvokeRequestStreamSchema, {}));
    await assert.rejects(
      async () => {
        for await (const _message of stream);
      },
      { code: grpc.status.OUT_OF_RANGE },
    );
    await server.dispatcher.drain();
  });
});

test("reflection lists services and describes them with their imports", async () => {
  await using server = await serve({ methods: reflectionMethods([Dapr]) });
  await withClient(server, ServerReflection, async (client) => {
    const method = definitionOf(ServerReflection)["serverReflectionInfo"] as grpc.MethodDefinition<unknown, ServerReflectionResponse>;
    const stream = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
    stream.write(create(ServerReflectionRequestSchema, { messageRequest: { case: "listServices", value: "" } }));
    stream.write(
      create(ServerReflectionRequestSchema, { messageRequest: { case: "fileContainingSymbol", value: "dapr.proto.runtime.v1.Dapr" } }),
    );
    stream.write(create(ServerReflectionRequestSchema, { messageRequest: { case: "fileContainingSymbol", value: "no.Such" } }));
    stream.end();
    const answers: ServerReflectionResponse["messageResponse"][] = [];
    for await (const answer of stream) answers.push((answer as ServerReflectionResponse).messageResponse);
    const [list, file, missing] = answers;
    assert.ok(list?.case === "listServicesResponse" && file?.case === "fileDescriptorResponse" && missing?.case === "errorResponse");
    assert.deepEqual(
      list.value.service.map((service) => service.name),
      ["dapr.proto.runtime.v1.Dapr", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"],
    );
    assert.ok(file.value.fileDescriptorProto.length > 10);
    assert.equal(missing.value.errorCode, GrpcCode.NOT_FOUND);
  });
});
