import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { ApiError } from "../../../lib/kit/errors.ts";
import { HTTPExtension_Verb, type InvokeResponse } from "../../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { InvokeServiceRequestSchema } from "../../../lib/proto/gen/dapr/proto/runtime/v1/invoke_pb.ts";
import { ErrorInfoSchema } from "../../../lib/proto/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../lib/proto/gen/google/rpc/status_pb.ts";
import { silentLogger } from "../../../lib/telemetry/log.ts";
import { type GrpcCall, GrpcCode, GrpcStatusError, type Metadata, newMetadata } from "../../../lib/wire/grpc/types.ts";
import type { HttpRequest } from "../../contract/http.ts";
import type { AppRequest, AppResponse, InvokeRequest } from "../../contract/ports.ts";
import { createInvocationBlock } from "./invocation.ts";
import type { InvocationPorts } from "./ports.ts";
import { findTarget } from "./target.ts";

const never = new AbortController().signal;
const trace = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", flags: "01", tracestate: "" };

function blockWith(answer: (call: InvokeRequest) => AppResponse | Promise<AppResponse>, endpoints?: InvocationPorts["endpoints"]) {
  const calls: InvokeRequest[] = [];
  const block = createInvocationBlock({
    identity: { appId: "me", namespace: "default", hostAddress: "" },
    mesh: {
      invoke: async (call) => {
        calls.push(call);
        return answer(call);
      },
    },
    endpoints: endpoints ?? { named: () => null, forUrl: () => null },
    policies: { app: () => null },
    maxBodyBytes: 1024,
    log: silentLogger,
  });
  return { block, calls };
}

function reply(overrides: Partial<AppResponse> = {}): AppResponse {
  return { status: 200, grpc: null, headers: {}, trailers: {}, contentType: null, body: new Uint8Array(0), ...overrides };
}

function http(path: string, rawHeaders: string[] = [], body = "", method = "GET"): HttpRequest {
  const headers: Record<string, string> = {};
  for (let i = 0; i < rawHeaders.length; i += 2) headers[(rawHeaders[i] as string).toLowerCase()] = rawHeaders[i + 1] as string;
  return {
    method,
    path,
    rawQuery: "q=1",
    params: {},
    query: new URLSearchParams("q=1"),
    headers,
    rawHeaders,
    remoteAddress: "127.0.0.1",
    body: async () => Buffer.from(body),
    stream: Readable.from([body]),
    contentLength: body.length,
    signal: never,
    trace,
  };
}

const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });

test("the target: header before basic auth before path", () => {
  assert.deepEqual(findTarget("/v1.0/invoke/app/method/a/b%20c", {}), { target: "app", method: "a/b c" });
  assert.deepEqual(findTarget("/v1.0/invoke/app.ns/method/", {}), { target: "app.ns", method: "" });
  assert.deepEqual(findTarget("/v1.0/invoke/app/method", {}), { target: "app", method: "" });
  assert.deepEqual(findTarget("/x", { "dapr-app-id": "app" }), { target: "app", method: "x" });
  assert.deepEqual(findTarget("/v1.0/invoke/other/method/x", { "dapr-app-id": "app", ...basic("dapr-app-id:third") }), {
    target: "app",
    method: "v1.0/invoke/other/method/x",
  });
  assert.deepEqual(findTarget("/x", basic("Dapr-App-Id:app")), { target: "app", method: "x" });
  assert.equal(findTarget("/x", basic("user:password")), null);
  assert.equal(findTarget("/x", basic("dapr-app-id:a:b")), null);
  assert.deepEqual(findTarget("/v1.0/invoke/http:/host:80/method/x", {}), { target: "http://host:80", method: "x" });
  assert.deepEqual(findTarget("/v1.0/invoke/https%3A%2F%2Fhost%2Fbase/method/x", {}), { target: "https://host/base", method: "x" });
  for (const path of ["/", "/v1.0/invoke/app", "/v1.0/invoke//method/x", "/v1.0/invoke/method/x", "/v2/invoke/app/method/x"])
    assert.equal(findTarget(path, {}), null, path);
  assert.equal(findTarget("/v1.0/invoke/app/method/%ff", {})?.method, null);
});

test("a request passes with its end-to-end headers, all values, and without routing or credentials", async () => {
  const { block, calls } = blockWith(() =>
    reply({
      status: 418,
      headers: { "x-a": ["1", "2"], "content-length": ["99"], "grpc-x": ["g"], "x-bin": ["AA=="] },
      contentType: "text/x",
      body: Buffer.from("tea"),
    }),
  );
  const raw = [
    "Host",
    "h",
    "dapr-app-id",
    "app.ns",
    "X-B",
    "1",
    "x-b",
    "2",
    "Connection",
    "x-drop",
    "X-Drop",
    "1",
    "TE",
    "trailers",
    "dapr-api-token",
    "t",
  ];
  const answer = await block.fallback(http("/a/b", raw, "body", "PROPFIND"));
  const { request, ...call } = calls[0] as InvokeRequest;
  assert.deepEqual(call, { appId: "app", namespace: "ns", trace });
  assert.deepEqual({ ...request.headers }, { "x-b": ["1", "2"] });
  assert.deepEqual(
    [request.verb, request.method, request.query, String(request.body), request.contentLength],
    ["PROPFIND", "a/b", "q=1", "body", 4],
  );
  assert.equal(answer.status, 418);
  assert.deepEqual(
    { ...answer.headers },
    {
      "x-a": ["1", "2"],
      "dapr-grpc-x": "g",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "content-type": "text/x",
    },
  );
  assert.equal(String(answer.body), "tea");
});

test("what goes wrong is ERR_DIRECT_INVOKE in Dapr's words", async () => {
  const outcomes: [path: string, thrown: unknown, status: number, message: string][] = [
    [
      "/v1.0/invoke/app/method/test%23stream",
      null,
      500,
      'failed to invoke, id: app, err: rpc error: code = InvalidArgument desc = invalid method: method contains forbidden character: "test#stream"',
    ],
    ["/v1.0/invoke/a.b.c/method/x", null, 500, "failed to invoke, id: a.b.c, err: invalid app id a.b.c"],
    ["/v1.0/invoke/app/method/%ff", null, 500, "failed to invoke, id: app, err: invalid method: the path is not percent-encoded UTF-8"],
    ["/v1.0/invoke/app", null, 404, "failed getting app id either from the URL path or the header dapr-app-id"],
    [
      "/v1.0/invoke/app/method/x",
      new Error("no host found with the given ID"),
      500,
      "failed to invoke, id: app, err: no host found with the given ID",
    ],
    [
      "/v1.0/invoke/app/method/x",
      new GrpcStatusError(GrpcCode.PERMISSION_DENIED, "denied"),
      403,
      "failed to invoke, id: app, err: rpc error: code = PermissionDenied desc = denied",
    ],
  ];
  for (const [path, thrown, status, message] of outcomes) {
    const { block } = blockWith(() => {
      throw thrown;
    });
    await assert.rejects(block.fallback(http(path)), (error) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.code, error.http, error.message], ["ERR_DIRECT_INVOKE", status, message]);
      return true;
    });
  }
});

test("traversal is resolved before anyone sees the method", async () => {
  const { block, calls } = blockWith(() => reply());
  await block.fallback(http("/v1.0/invoke/app/method/admin%2F..%2Fpublic"));
  await block.fallback(http("/v1.0/invoke/app/method/public%2F..%2F..%2F..%2Fadmin"));
  assert.deepEqual(
    calls.map(({ request }) => request.method),
    ["public", "admin"],
  );
});

test("endpoints and URLs bypass the mesh", async () => {
  const seen: [string, AppRequest][] = [];
  const invoker = (target: string) => ({
    invoke: async (request: AppRequest) => {
      seen.push([target, request]);
      return reply();
    },
  });
  const { block, calls } = blockWith(() => reply(), { named: (name) => (name === "site" ? invoker(name) : null), forUrl: invoker });
  await block.fallback(http("/v1.0/invoke/site/method/hello"));
  await block.fallback(http("/v1.0/invoke/http:/localhost:1/method/hello"));
  await block.fallback(http("/v1.0/invoke/app/method/hello"));
  assert.deepEqual(
    seen.map(([target, { method, headers }]) => [target, method, headers["traceparent"]?.length]),
    [
      ["site", "hello", 1],
      ["http://localhost:1", "hello", 1],
    ],
  );
  assert.deepEqual(
    calls.map(({ appId }) => appId),
    ["app"],
  );
});

test("a gRPC app's status is mapped and shown as JSON; its success passes", async () => {
  const { block } = blockWith(({ request }) =>
    request.method === "ok"
      ? reply({ grpc: { code: 0, message: "", details: null }, body: Buffer.from("fine"), typeUrl: "my.Type", contentType: "x" })
      : reply({ status: 404, grpc: { code: GrpcCode.NOT_FOUND, message: "gone", details: null } }),
  );
  const failed = await block.fallback(http("/v1.0/invoke/app/method/x"));
  assert.deepEqual([failed.status, failed.body], [404, '{"code":5,"message":"gone"}']);
  const ok = await block.fallback(http("/v1.0/invoke/app/method/ok"));
  assert.deepEqual([ok.status, ok.headers?.["content-type"], String(ok.body)], [200, "application/x-protobuf", "fine"]);
});

test("an event stream is labelled as one and stays a stream", async () => {
  const body = Readable.from(["data: 1\n\n"]);
  const { block } = blockWith(() => reply({ body }));
  const answer = await block.fallback(http("/v1.0/invoke/app/method/x", ["Accept", "text/event-stream"]));
  assert.equal(answer.body, body);
  assert.deepEqual([answer.headers?.["content-type"], answer.headers?.["cache-control"]], ["text/event-stream", "no-cache"]);
});

async function invokeService(answer: AppResponse, metadata: Metadata = newMetadata()) {
  const { block, calls } = blockWith(() => answer);
  const call: GrpcCall = {
    path: "",
    metadata,
    peer: "",
    peerIdentity: null,
    signal: never,
    responseHeaders: newMetadata(),
    responseTrailers: newMetadata(),
  };
  const request = create(InvokeServiceRequestSchema, {
    id: "app",
    message: {
      method: "a/../b",
      data: { value: Buffer.from("in"), typeUrl: "in.Type" },
      contentType: "c",
      httpExtension: { verb: HTTPExtension_Verb.PUT, querystring: "q" },
    },
  });
  const method = block.grpc[0];
  assert.ok(method?.kind === "unary");
  const handle = method.handle as unknown as (request: unknown, call: GrpcCall) => Promise<InvokeResponse>;
  const result = await handle(request, call).catch((error: unknown) => error);
  return { result, call, sent: calls[0]?.request as AppRequest };
}

test("InvokeService: message in, message out, metadata both ways", async () => {
  const answer = reply({
    grpc: { code: 0, message: "", details: null },
    headers: { "x-h": ["1"] },
    trailers: { "x-t": ["2"] },
    contentType: "out",
    body: Buffer.from("out"),
    typeUrl: "out.Type",
  });
  const { result, call, sent } = await invokeService(
    answer,
    Object.assign(newMetadata(), { "x-m": ["1", "2"], "dapr-api-token": "secret" }),
  );
  const { headers, ...rest } = sent;
  assert.deepEqual(
    { ...rest, body: String(rest.body) },
    { verb: "PUT", method: "b", query: "q", contentType: "c", body: "in", contentLength: 2, typeUrl: "in.Type" },
  );
  assert.deepEqual([headers["x-m"], headers["dapr-api-token"], headers["content-type"]], [["1", "2"], undefined, ["application/grpc"]]);
  const { data, contentType } = result as InvokeResponse;
  assert.deepEqual([String(data?.value), data?.typeUrl, contentType], ["in".replace("in", "out"), "out.Type", "out"]);
  assert.deepEqual([call.responseHeaders["x-h"], call.responseTrailers["x-t"]], ["1", "2"]);
});

test("InvokeService on an HTTP app: status in a header, refusals with their body in the details", async () => {
  const body = Buffer.from(`no ${"x".repeat(100)}`);
  const { result, call } = await invokeService(reply({ status: 404, headers: { date: ["now"], "x-h": ["1"] }, body }));
  assert.ok(result instanceof GrpcStatusError);
  assert.deepEqual([result.code, result.message], [GrpcCode.NOT_FOUND, "Not Found"]);
  const info = anyUnpack(fromBinary(StatusSchema, result.statusDetails as Uint8Array).details[0] as never, ErrorInfoSchema);
  assert.deepEqual({ ...info?.metadata }, { "http.code": "404", "http.error_message": String(body).slice(0, 63) });
  assert.deepEqual(
    [call.responseHeaders["dapr-http-status"], call.responseHeaders["dapr-date"], call.responseHeaders["x-h"]],
    ["404", "now", "1"],
  );
});

test("InvokeService keeps an app's own status, and refuses an answer over the limit", async () => {
  const own = await invokeService(reply({ status: 500, grpc: { code: GrpcCode.UNKNOWN, message: "invalid method", details: null } }));
  assert.deepEqual([(own.result as GrpcStatusError).code, (own.result as GrpcStatusError).message], [GrpcCode.UNKNOWN, "invalid method"]);
  const { result } = await invokeService(reply({ body: Readable.from([Buffer.alloc(600), Buffer.alloc(600)]) }));
  assert.ok(result instanceof ApiError);
  assert.equal(result.grpc, GrpcCode.RESOURCE_EXHAUSTED);
});
