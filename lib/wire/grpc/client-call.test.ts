// How an attempt ends when its request could not be put into frames.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { type ClientHttp2Stream, constants } from "node:http2";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type * as grpc from "@grpc/grpc-js";
import { Dapr } from "../../proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  type GetStateRequest,
  GetStateRequestSchema,
  type GetStateResponse,
  GetStateResponseSchema,
} from "../../proto/gen/dapr/proto/runtime/v1/state_pb.ts";
import { Attempt } from "./client-call.ts";
import { channel, officialServer } from "./interop-peer.ts";
import { GrpcCode, GrpcStatusError, newMetadata } from "./types.ts";

test("metadata too large for node:http2 is the caller's fault, and the connection lives on", async () => {
  const answer: grpc.handleUnaryCall<GetStateRequest, GetStateResponse> = (_call, callback) =>
    callback(null, create(GetStateResponseSchema));
  await using server = await officialServer(Dapr, { getState: answer });
  await using client = channel(server.port);
  const metadata = newMetadata();
  metadata["x-large"] = ["y".repeat(70_000)];
  await assert.rejects(client.unary(Dapr.method.getState, create(GetStateRequestSchema), { metadata }), (error: unknown) => {
    assert.ok(error instanceof GrpcStatusError);
    assert.equal(error.code, GrpcCode.RESOURCE_EXHAUSTED);
    assert.match(error.message, /larger than the 64 KiB/);
    return true;
  });
  await client.unary(Dapr.method.getState, create(GetStateRequestSchema));
});

test("a request that a closing connection could not send was not seen by the server", () => {
  // The fault cannot be brought about from outside: the frame is refused between two turns of the library.
  const stream = Object.assign(new EventEmitter(), { id: 3, rstCode: constants.NGHTTP2_REFUSED_STREAM, session: undefined });
  const ends: { code: number | undefined; unprocessed: boolean }[] = [];
  new Attempt(stream as unknown as ClientHttp2Stream, 4096, {
    onHeaders: null,
    onMessage: () => {},
    onEnd: (status, _trailers, unprocessed) => ends.push({ code: status?.code, unprocessed }),
  });
  stream.emit("frameError", 1, constants.NGHTTP2_INTERNAL_ERROR, 3);
  assert.equal(ends.length, 0);
  stream.rstCode = constants.NGHTTP2_INTERNAL_ERROR;
  stream.emit("close");
  assert.deepEqual(ends, [{ code: GrpcCode.UNAVAILABLE, unprocessed: true }]);
});
