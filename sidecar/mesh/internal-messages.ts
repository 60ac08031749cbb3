// AppRequest and AppResponse as the messages between sidecars, and back. Bodies are not in them: they travel as frames
// (frames.ts), except in the unary CallLocal. Names of HTTP origin are written as Go writes them, because a Go sidecar
// looks them up that way.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { httpStatusOf } from "../../lib/kit/status-map.ts";
import {
  HTTPExtension_Verb,
  HTTPExtensionSchema,
  InvokeRequestSchema,
  InvokeResponseSchema,
} from "../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { APIVersion } from "../../lib/proto/gen/dapr/proto/internals/v1/apiversion_pb.ts";
import {
  type InternalInvokeRequest,
  InternalInvokeRequestSchema,
  type InternalInvokeResponse,
  InternalInvokeResponseSchema,
  type ListStringValue,
  ListStringValueSchema,
} from "../../lib/proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { StatusSchema as InternalStatusSchema } from "../../lib/proto/gen/dapr/proto/internals/v1/status_pb.ts";
import { StatusSchema as RpcStatusSchema } from "../../lib/proto/gen/google/rpc/status_pb.ts";
import { canonicalName, lowerName } from "../../lib/wire/http/headers.ts";
import { firstHeader, isGrpcOrigin, newHeaders } from "../contract/invoke-headers.ts";
import type { AppRequest, AppResponse, HeaderLists } from "../contract/ports.ts";
import { replacedNames } from "./forwarded.ts";

type Lists = Record<string, ListStringValue>;

function toLists(headers: HeaderLists, canonical: boolean, skip: ReadonlySet<string> | null = null): Lists {
  const into = Object.create(null) as Lists;
  for (const name in headers) {
    if (skip?.has(name)) continue;
    into[canonical ? canonicalName(name) : name] = create(ListStringValueSchema, { values: headers[name] as string[] });
  }
  return into;
}

/** Never forwarded: credentials of the caller, and the target of its connection. */
const dropped: ReadonlySet<string> = new Set(["dapr-api-token", "host"]);

function fromLists(lists: Lists): HeaderLists {
  const headers = newHeaders();
  for (const key in lists) {
    const name = lowerName(key);
    const values = (lists[key] as ListStringValue).values;
    if (values.length === 0 || dropped.has(name)) continue;
    headers[name] = headers[name] === undefined ? values : [...(headers[name] as readonly string[]), ...values];
  }
  return headers;
}

/** `added` goes under exactly the names given: those of Dapr's own fields, which no caller may set. */
export function toInternalRequest(request: AppRequest, added: HeaderLists, data: Uint8Array | null): InternalInvokeRequest {
  const metadata = toLists(request.headers, !isGrpcOrigin(request.headers), replacedNames);
  for (const name in added) metadata[name] = create(ListStringValueSchema, { values: added[name] as string[] });
  const message = create(InvokeRequestSchema, { method: request.method, contentType: request.contentType ?? "" });
  if (request.verb !== "") message.httpExtension = create(HTTPExtensionSchema, { verb: verbOf(request.verb), querystring: request.query });
  if (data !== null || request.typeUrl) message.data = create(AnySchema, { typeUrl: request.typeUrl ?? "", ...(data && { value: data }) });
  return create(InternalInvokeRequestSchema, { ver: APIVersion.V1, metadata, message });
}

const verbs: ReadonlyMap<string, HTTPExtension_Verb> = new Map(Object.entries(HTTPExtension_Verb));
const verbNames: ReadonlyMap<number, string> = new Map(Object.entries(HTTPExtension_Verb).map(([name, verb]) => [verb, name]));

/** A verb that the protocol has no number for travels as POST, as with Dapr. */
function verbOf(verb: string): HTTPExtension_Verb {
  return verbs.get(verb) ?? HTTPExtension_Verb.POST;
}

/** The request without its body; null when it has no message. `method` is the normalised one. */
export function fromInternalRequest(received: InternalInvokeRequest, method: string): Omit<AppRequest, "body"> | null {
  const message = received.message;
  if (!message) return null;
  const headers = fromLists(received.metadata);
  const length = firstHeader(headers, "content-length");
  const typeUrl = message.data?.typeUrl ?? "";
  return {
    verb: message.httpExtension ? (verbNames.get(message.httpExtension.verb) ?? "NONE") : "",
    method,
    query: message.httpExtension?.querystring ?? "",
    headers,
    contentType: message.contentType || null,
    contentLength: length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : null,
    typeUrl,
  };
}

export function toInternalResponse(response: AppResponse, data: Uint8Array | null): InternalInvokeResponse {
  const status = create(InternalStatusSchema, { code: response.grpc ? response.grpc.code : response.status });
  if (response.grpc) {
    status.message = response.grpc.message;
    status.details = detailsOf(response.grpc.details);
  }
  const message = create(InvokeResponseSchema, { contentType: response.contentType ?? "" });
  if (data !== null || response.typeUrl)
    message.data = create(AnySchema, { typeUrl: response.typeUrl ?? "", ...(data && { value: data }) });
  return create(InternalInvokeResponseSchema, {
    status,
    headers: toLists(response.headers, response.grpc === null),
    trailers: toLists(response.trailers, false),
    message,
  });
}

function detailsOf(bytes: Uint8Array | null): Any[] {
  if (bytes === null) return [];
  try {
    return fromBinary(RpcStatusSchema, bytes).details;
  } catch {
    // Details that do not parse must not cost the caller the status itself.
    return [];
  }
}

/** Codes below this are gRPC codes: the callee speaks gRPC. */
const firstHttpStatus = 100;

export function fromInternalResponse(received: InternalInvokeResponse, body: AppResponse["body"]): AppResponse {
  const { code = 0, message = "", details = [] } = received.status ?? {};
  const isHttp = code >= firstHttpStatus;
  const typeUrl = received.message?.data?.typeUrl ?? "";
  const rpcStatus = details.length > 0 ? toBinary(RpcStatusSchema, create(RpcStatusSchema, { code, message, details })) : null;
  return {
    status: isHttp ? code : httpStatusOf(code),
    grpc: isHttp ? null : { code, message, details: rpcStatus },
    headers: fromLists(received.headers),
    trailers: fromLists(received.trailers),
    contentType: received.message?.contentType || null,
    body,
    typeUrl,
  };
}
