// Service invocation over HTTP: any verb, any body, streamed both ways; the app's status and end-to-end headers pass.
import { Readable } from "node:stream";
import { create, createRegistry, fromBinary, toJsonString } from "@bufbuild/protobuf";
import { apiError, GrpcCode, messageOf } from "../../../lib/kit/errors.ts";
import { StatusSchema as InternalStatusSchema } from "../../../lib/proto/gen/dapr/proto/internals/v1/status_pb.ts";
import { BadRequestSchema, ErrorInfoSchema, HelpSchema, ResourceInfoSchema } from "../../../lib/proto/gen/google/rpc/error_details_pb.ts";
import { StatusSchema as RpcStatusSchema } from "../../../lib/proto/gen/google/rpc/status_pb.ts";
import { formatTraceparent } from "../../../lib/telemetry/trace-context.ts";
import type { HttpRequest, Reply, ReplyHeaders } from "../../contract/http.ts";
import { fromRawHeaders, httpName } from "../../contract/invoke-headers.ts";
import type { AppRequest, AppResponse } from "../../contract/ports.ts";
import { invocationErrors, invokeFailed } from "./errors.ts";
import type { Invoke } from "./invocation.ts";
import { findTarget } from "./target.ts";

/** Bodies announced up to this size are read at once: cheaper than a stream, and a retry can send them again. */
const readWholeMaxBytes = 64 * 1024;

export function createHttpHandler(invoke: Invoke): (request: HttpRequest) => Promise<Reply> {
  return async (request) => {
    const found = findTarget(request.path, request.headers);
    if (found === null) throw apiError(invocationErrors.noAppId);
    if (found.method === null) throw invokeFailed(found.target, new Error("invalid method: the path is not percent-encoded UTF-8"));
    const { target, method } = found;
    const toSend = await toAppRequest(request, method).catch((error: unknown) => {
      throw invokeFailed(target, error);
    });
    return toReply(request, await invoke(target, toSend, request.trace, request.signal));
  };
}

async function toAppRequest(request: HttpRequest, method: string): Promise<AppRequest> {
  const { headers } = request;
  return {
    verb: request.method,
    method,
    query: request.rawQuery,
    headers: fromRawHeaders(request.rawHeaders, headers.connection),
    contentType: headers["content-type"] ?? null,
    body: await bodyOf(request),
    contentLength: request.contentLength,
  };
}

async function bodyOf(request: HttpRequest): Promise<AppRequest["body"]> {
  const length = request.contentLength;
  if (length === 0 || (length === null && isBodiless(request))) return null;
  if (length !== null && length <= readWholeMaxBytes) return request.body();
  const { stream } = request;
  // The client may leave before anyone reads; who reads is told then.
  stream.on("error", ignore);
  return stream;
}

function ignore(): void {}

/** HTTP/2 announces no length and no chunks: these verbs have no body unless they say so. */
function isBodiless(request: HttpRequest): boolean {
  return (request.method === "GET" || request.method === "HEAD") && request.headers["transfer-encoding"] === undefined;
}

function toReply(request: HttpRequest, response: AppResponse): Reply {
  const headers = replyHeaders(request, response);
  const { grpc } = response;
  if (grpc !== null && grpc.code !== GrpcCode.OK) {
    if (response.body instanceof Readable) response.body.destroy();
    return { status: response.status, headers, body: statusJson(grpc) };
  }
  if (isEventStream(request) && response.status >= 200 && response.status < 400) {
    headers["content-type"] = "text/event-stream";
    headers["cache-control"] = "no-cache";
    headers["connection"] = "keep-alive";
  }
  const { body } = response;
  if (body instanceof Readable) return { status: response.status, headers, body };
  if (body.length === 0) return { status: response.status, headers };
  // Dapr labels an untyped refusal as JSON, which is the edge's default; for the rest Go's server guesses.
  if (response.status >= 200 && response.status < 400) headers["content-type"] ??= guessType(body);
  return { status: response.status, headers, body };
}

function replyHeaders(request: HttpRequest, response: AppResponse): ReplyHeaders {
  const headers = Object.create(null) as ReplyHeaders;
  for (const name in response.headers) {
    const passed = httpName(name);
    if (passed === null) continue;
    const values = response.headers[name] as readonly string[];
    headers[passed] = values.length === 1 ? (values[0] as string) : [...values];
  }
  headers["traceparent"] ??= formatTraceparent(request.trace);
  const contentType = response.typeUrl ? "application/x-protobuf" : response.contentType;
  if (contentType) headers["content-type"] = contentType;
  // Where there is no body the length is information about the resource; elsewhere the edge counts for itself.
  const length = response.headers["content-length"]?.[0];
  if (length !== undefined && (request.method === "HEAD" || response.status === 304)) headers["content-length"] = length;
  return headers;
}

function isEventStream(request: HttpRequest): boolean {
  return request.headers.accept?.trim().toLowerCase() === "text/event-stream";
}

/** A body without a type, as Go's server labels it. */
function guessType(body: Uint8Array): string {
  const head = body.subarray(0, 512);
  const isText = head.every((byte) => byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0c || byte === 0x0d || byte === 0x1b);
  return isText ? "text/plain; charset=utf-8" : "application/octet-stream";
}

const detailTypes = createRegistry(BadRequestSchema, ErrorInfoSchema, HelpSchema, ResourceInfoSchema);

/** The status of a gRPC app as an HTTP caller sees it. */
function statusJson(grpc: NonNullable<AppResponse["grpc"]>): string {
  const status = create(InternalStatusSchema, { code: grpc.code, message: grpc.message });
  try {
    if (grpc.details) status.details = fromBinary(RpcStatusSchema, grpc.details).details;
    return toJsonString(InternalStatusSchema, status, { registry: detailTypes });
  } catch (error) {
    throw apiError(invocationErrors.malformedResponse, [messageOf(error)], { cause: error });
  }
}
