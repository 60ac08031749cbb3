// Our server against the official client.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { FakeClock } from "../../kit/fake-clock.ts";
import { Dapr } from "../../proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  type GetStateRequest,
  GetStateRequestSchema,
  type GetStateResponse,
  GetStateResponseSchema,
} from "../../proto/gen/dapr/proto/runtime/v1/state_pb.ts";
import { ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../proto/gen/google/rpc/status_pb.ts";
import { Health, HealthCheckRequestSchema } from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { definitionOf, maxBytes, serve, withClient } from "./interop-peer.ts";
import { first, type GrpcCall, GrpcCode, type GrpcMethod, GrpcStatusError, unary } from "./types.ts";

type Outcome<T> = {
  readonly message?: T;
  readonly error?: grpc.ServiceError;
  readonly headers?: grpc.Metadata;
  readonly trailers?: grpc.Metadata;
};

interface Asked<T> {
  readonly outcome: Promise<Outcome<T>>;
  readonly call: grpc.ClientUnaryCall;
}

function ask<T>(
  client: grpc.Client,
  service: DescService,
  name: string,
  request: unknown,
  metadata = new grpc.Metadata(),
  options: grpc.CallOptions = {},
): Asked<T> {
  const method = definitionOf(service)[name] as grpc.MethodDefinition<unknown, T>;
  const { promise, resolve } = Promise.withResolvers<Outcome<T>>();
  const seen: { headers?: grpc.Metadata; trailers?: grpc.Metadata; error?: grpc.ServiceError; message?: T } = {};
  const call = client.makeUnaryRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    metadata,
    options,
    (error, message) => {
      if (error) seen.error = error;
      else if (message !== undefined) seen.message = message;
    },
  );
  call.on("metadata", (headers) => (seen.headers = headers));
  call.on("status", (status) => {
    seen.trailers = status.metadata;
    // The callback of a unary call comes before or after the status, in the same turn.
    setImmediate(() => resolve(seen));
  });
  return { outcome: promise, call };
}

const getState = (client: grpc.Client, key: string, metadata?: grpc.Metadata, options?: grpc.CallOptions) =>
  ask<GetStateResponse>(client, Dapr, "getState", create(GetStateRequestSchema, { key }), metadata, options);

function stateMethod(handle: (request: GetStateRequest, call: GrpcCall) => GetStateResponse | Promise<GetStateResponse>): GrpcMethod {
  return unary(Dapr.method.getState, null, handle);
}

const echo = stateMethod((request) => create(GetStateResponseSchema, { data: Buffer.from(request.key) }));
test("unary: message, metadata in, headers and trailers out", async () => {
  let received: GrpcCall | null = null;
  let peer = "";
  await using server = await serve({
    methods: [
      stateMethod(async (request, call) => {
        received = call;
        peer = call.peer;
        call.responseHeaders["x-head"] = ["a", "b"];
        call.responseHeaders["grpc-status"] = "13";
        call.responseTrailers["x-tail-bin"] = "AAE";
        return create(GetStateResponseSchema, { data: Buffer.from(request.key) });
      }),
    ],
  });
  await withClient(server, Dapr, async (client) => {
    const metadata = new grpc.Metadata();
    metadata.add("dapr-app-id", "one");
    metadata.add("dapr-app-id", "two");
    metadata.add("grpc-trace-bin", Buffer.from([0, 1, 2]));
    const { message, headers, trailers } = await getState(client, "käse", metadata).outcome;
    assert.equal(Buffer.from(message?.data ?? []).toString(), "käse");
    assert.deepEqual(headers?.get("x-head"), ["a, b"]);
    assert.deepEqual(trailers?.get("x-tail-bin"), [Buffer.from([0, 1])]);
  });
  const call = received as unknown as GrpcCall;
  assert.deepEqual([call.metadata["dapr-app-id"]].flat().join(","), "one,two");
  assert.equal(first(call.metadata, "grpc-trace-bin")?.replace(/=+$/, ""), "AAEC");
  assert.deepEqual(
    Object.keys(call.metadata).filter((key) => key.startsWith(":") || key === "te" || key === "content-type"),
    [],
  );
  assert.match(peer, /^127\.0\.0\.1:\d+$/);
});

test("errors carry code, message and details; unknown throws become UNKNOWN", async () => {
  const details = toBinary(
    StatusSchema,
    create(StatusSchema, {
      code: 9,
      message: "m",
      details: [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "R", domain: "dapr.io" }))],
    }),
  );
  await using server = await serve({
    methods: [
      stateMethod((request) => {
        if (request.key === "plain") throw new Error("boom");
        throw new GrpcStatusError(GrpcCode.FAILED_PRECONDITION, "naïve 100%\n", details);
      }),
    ],
  });
  await withClient(server, Dapr, async (client) => {
    const rich = (await getState(client, "rich").outcome).error;
    assert.equal(rich?.code, grpc.status.FAILED_PRECONDITION);
    assert.equal(rich?.details, "naïve 100%\n");
    const [bytes] = rich?.metadata.get("grpc-status-details-bin") ?? [];
    assert.equal(fromBinary(StatusSchema, bytes as Buffer).details.length, 1);
    const plain = (await getState(client, "plain").outcome).error;
    assert.deepEqual([plain?.code, plain?.details], [grpc.status.UNKNOWN, "boom"]);
  });
});

test("toStatus maps what handlers throw", async () => {
  await using server = await serve({
    methods: [stateMethod(() => Promise.reject(new TypeError("x")))],
    toStatus: (error) => new GrpcStatusError(GrpcCode.ABORTED, `mapped ${(error as Error).name}`),
  });
  await withClient(server, Dapr, async (client) => {
    assert.equal((await getState(client, "k").outcome).error?.details, "mapped TypeError");
  });
});

test("an interceptor refuses before the handler", async () => {
  let handled = 0;
  await using server = await serve({
    methods: [stateMethod(() => create(GetStateResponseSchema, { etag: String(++handled) }))],
    interceptors: [
      (call) => {
        if (first(call.metadata, "dapr-api-token") !== "s3cret") throw new GrpcStatusError(GrpcCode.UNAUTHENTICATED, "no");
      },
    ],
  });
  await withClient(server, Dapr, async (client) => {
    assert.equal((await getState(client, "k").outcome).error?.code, grpc.status.UNAUTHENTICATED);
    const metadata = new grpc.Metadata();
    metadata.set("dapr-api-token", "s3cret");
    assert.equal((await getState(client, "k", metadata).outcome).message?.etag, "1");
  });
});

test("the observer is told the code of every call", async () => {
  const seen: unknown[] = [];
  await using server = await serve({
    methods: [echo],
    observer: (call, method, code) => seen.push([call.path, method?.kind ?? null, code]),
  });
  await withClient(server, Dapr, async (client) => {
    await getState(client, "k").outcome;
    await ask(client, Dapr, "shutdown", {}).outcome;
  });
  assert.deepEqual(seen, [
    ["/dapr.proto.runtime.v1.Dapr/GetState", "unary", GrpcCode.OK],
    ["/dapr.proto.runtime.v1.Dapr/Shutdown", null, GrpcCode.UNIMPLEMENTED],
  ]);
});

test("limits: 4 MiB passes, one byte more is RESOURCE_EXHAUSTED both ways, and the connection lives on", async () => {
  const overhead =
    toBinary(GetStateRequestSchema, create(GetStateRequestSchema, { key: "x".repeat(maxBytes - 8) })).length - (maxBytes - 8);
  await using server = await serve({
    methods: [
      stateMethod((request) => {
        const size = Number(request.storeName || 0) || request.key.length;
        return create(GetStateResponseSchema, { data: Buffer.alloc(size) });
      }),
    ],
  });
  const options = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
  await withClient(
    server,
    Dapr,
    async (client) => {
      const fits = maxBytes - overhead;
      assert.equal((await getState(client, "x".repeat(fits)).outcome).message?.data.length, fits);
      const tooBig = (await getState(client, "x".repeat(fits + 1)).outcome).error;
      assert.equal(tooBig?.code, grpc.status.RESOURCE_EXHAUSTED);
      assert.equal(tooBig?.details, `grpc: received message larger than max (${maxBytes + 1} vs. ${maxBytes})`);
      const reply = await ask(client, Dapr, "getState", create(GetStateRequestSchema, { storeName: String(maxBytes) })).outcome;
      assert.match(reply.error?.details ?? "", /trying to send message larger than max \(\d+ vs\. 4194304\)/);
      assert.equal((await getState(client, "still here").outcome).error, undefined);
    },
    options,
  );
});

test("gzip requests are read; a bomb is refused", async () => {
  await using server = await serve({ methods: [echo], maxReceiveBytes: 100_000 });
  const options = { "grpc.default_compression_algorithm": 2 };
  await withClient(
    server,
    Dapr,
    async (client) => {
      assert.equal((await getState(client, "z".repeat(90_000)).outcome).message?.data.length, 90_000);
      assert.equal((await getState(client, "z".repeat(3_000_000)).outcome).error?.code, grpc.status.RESOURCE_EXHAUSTED);
    },
    options,
  );
});

test("a deadline ends the call here and aborts the signal", async () => {
  const clock = new FakeClock();
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<unknown>();
  await using server = await serve({
    clock,
    methods: [
      stateMethod((_request, call) => {
        begun.resolve();
        call.signal.addEventListener("abort", () => aborted.resolve(call.signal.reason));
        return new Promise(() => {});
      }),
    ],
  });
  await withClient(server, Dapr, async (client) => {
    const metadata = new grpc.Metadata();
    const { outcome } = getState(client, "k", metadata, { deadline: Date.now() + 3_600_000 });
    await begun.promise;
    await clock.advance(3_600_000);
    assert.equal((await outcome).error?.code, grpc.status.DEADLINE_EXCEEDED);
    assert.equal(((await aborted.promise) as GrpcStatusError).code, GrpcCode.DEADLINE_EXCEEDED);
  });
});

test("the caller's cancellation aborts the signal, also when it is looked at late", async () => {
  const begun = Promise.withResolvers<GrpcCall>();
  const codes = Promise.withResolvers<GrpcCode>();
  await using server = await serve({
    methods: [
      stateMethod((_request, call) => {
        begun.resolve(call);
        return new Promise(() => {});
      }),
    ],
    observer: (_call, _method, code) => codes.resolve(code),
  });
  await withClient(server, Dapr, async (client) => {
    const { call } = getState(client, "k");
    const served = await begun.promise;
    call.cancel();
    assert.equal(await codes.promise, GrpcCode.CANCELLED);
    assert.equal(served.signal.aborted, true);
    await server.dispatcher.drain();
    assert.equal(server.dispatcher.inFlight, 0);
  });
});

test("a thousand calls at a time", async () => {
  await using server = await serve({ methods: [stateMethod(async (request) => create(GetStateResponseSchema, { etag: request.key }))] });
  await withClient(server, Dapr, async (client) => {
    const replies = await Promise.all(Array.from({ length: 1000 }, (_unused, at) => getState(client, String(at)).outcome));
    assert.deepEqual(
      replies.map((reply) => reply.message?.etag),
      Array.from({ length: 1000 }, (_unused, at) => String(at)),
    );
    await server.dispatcher.drain();
  });
});

test("draining refuses new calls and waits for those in flight", async () => {
  const begun = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  await using server = await serve({
    methods: [
      stateMethod(async () => {
        begun.resolve();
        await finish.promise;
        return create(GetStateResponseSchema, {});
      }),
    ],
  });
  await withClient(server, Dapr, async (client) => {
    const running = getState(client, "k").outcome;
    await begun.promise;
    const drained = server.dispatcher.drain();
    assert.equal((await getState(client, "k").outcome).error?.code, grpc.status.UNAVAILABLE);
    finish.resolve();
    assert.equal((await running).error, undefined);
    await drained;
  });
});

test("a method in no table goes to the hook, interceptors first", async () => {
  const seen: unknown[] = [];
  await using server = await serve({
    methods: [echo],
    interceptors: [(call, method) => void seen.push([call.path, method])],
    unknown: (call) => {
      seen.push(call.path);
      call.forwardEnd({ "content-type": "application/grpc", "grpc-status": "7", "grpc-message": "proxied" }, GrpcCode.PERMISSION_DENIED);
    },
  });
  await withClient(server, Dapr, async (client) => {
    const { error } = await ask(client, Health, "check", create(HealthCheckRequestSchema)).outcome;
    assert.equal(error?.details, "proxied");
  });
  assert.deepEqual(seen, [["/grpc.health.v1.Health/Check", null], "/grpc.health.v1.Health/Check"]);
});

test("two methods of one path are a mistake of ours", async () => {
  await assert.rejects(serve({ methods: [echo, echo] }), /registered twice/);
});
