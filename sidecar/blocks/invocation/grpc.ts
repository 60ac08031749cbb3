// InvokeService, deprecated in favour of proxying but spoken by every SDK: headers and codes map as Dapr maps them.
import { STATUS_CODES } from "node:http";
import { create, toBinary } from "@bufbuild/protobuf";
import { AnySchema, anyPack } from "@bufbuild/protobuf/wkt";
import { errorDomain } from "../../../lib/kit/errors.ts";
import { errorInfoMessageMaxChars } from "../../../lib/kit/limits.ts";
import { grpcCodeOf } from "../../../lib/kit/status-map.ts";
import {
  HTTPExtension_Verb,
  InvokeRequestSchema,
  type InvokeResponse,
  InvokeResponseSchema,
} from "../../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import type { InvokeServiceRequest } from "../../../lib/proto/gen/dapr/proto/runtime/v1/invoke_pb.ts";
import { ErrorInfoSchema } from "../../../lib/proto/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../lib/proto/gen/google/rpc/status_pb.ts";
import { childOf } from "../../../lib/telemetry/trace-context.ts";
import { type GrpcCall, GrpcCode, type GrpcMethod, GrpcStatusError, unary } from "../../../lib/wire/grpc/types.ts";
import { fromMetadata, setTrace, toMetadata, traceOf } from "../../contract/invoke-headers.ts";
import type { AppRequest, AppResponse } from "../../contract/ports.ts";
import { readBody } from "../../contract/read-body.ts";
import type { Invoke } from "./invocation.ts";
import type { InvocationPorts } from "./ports.ts";

export function createGrpcMethods(invoke: Invoke, { maxBodyBytes, log }: InvocationPorts): readonly GrpcMethod[] {
  const deprecated = once(() =>
    log.warn("[DEPRECATION NOTICE] InvokeService is deprecated and will be removed in the future, please use proxy mode instead."),
  );
  const deprecatedHttp = once(() =>
    log.warn("[DEPRECATION NOTICE] Invocation path of gRPC -> HTTP is deprecated and will be removed in the future."),
  );
  return [
    unary(Dapr.method.invokeService, { group: "invoke", version: "v1" }, async (received, call) => {
      deprecated();
      const request = toAppRequest(received, call);
      const trace = childOf(traceOf(request.headers), false);
      setTrace(request.headers, trace);
      const response = await invoke(received.id, request, trace, call.signal);
      if (response.grpc === null) deprecatedHttp();
      return answer(response, await readBody(response.body, maxBodyBytes), call);
    }),
  ];
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    action();
  };
}

const verbNames: ReadonlyMap<number, string> = new Map(Object.entries(HTTPExtension_Verb).map(([name, verb]) => [verb, name]));
const emptyMessage = create(InvokeRequestSchema);

function toAppRequest(received: InvokeServiceRequest, call: GrpcCall): AppRequest {
  const { method, contentType, data, httpExtension } = received.message ?? emptyMessage;
  const headers = fromMetadata(call.metadata);
  delete headers["dapr-api-token"];
  // Marks the origin for the hops to come (see isGrpcOrigin).
  headers["content-type"] = ["application/grpc"];
  const value = data?.value ?? null;
  const typeUrl = data?.typeUrl ?? "";
  return {
    verb: httpExtension ? (verbNames.get(httpExtension.verb) ?? "NONE") : "",
    method,
    query: httpExtension?.querystring ?? "",
    headers,
    contentType: contentType || null,
    body: value !== null && value.length > 0 ? value : null,
    contentLength: value?.length ?? 0,
    typeUrl,
  };
}

function answer(response: AppResponse, value: Uint8Array, call: GrpcCall): InvokeResponse {
  Object.assign(call.responseHeaders, toMetadata(response.headers, true));
  if (response.grpc === null) {
    call.responseHeaders["dapr-http-status"] = String(response.status);
    const code = grpcCodeOf(response.status);
    if (code !== GrpcCode.OK) throw httpFailure(code, response.status, value);
  } else {
    Object.assign(call.responseTrailers, toMetadata(response.trailers, false));
    const { code, message, details } = response.grpc;
    if (code !== GrpcCode.OK) throw new GrpcStatusError(code as GrpcCode, message, details);
  }
  const contentType = response.contentType ?? "";
  return create(InvokeResponseSchema, { contentType, data: create(AnySchema, { value, typeUrl: response.typeUrl ?? "" }) });
}

/** An HTTP app's refusal as a gRPC status; its body goes into the details, cut to what ErrorInfo may carry. */
function httpFailure(code: GrpcCode, httpStatus: number, body: Uint8Array): GrpcStatusError {
  const reason = STATUS_CODES[httpStatus] ?? "";
  const text = Buffer.from(body.subarray(0, errorInfoMessageMaxChars)).toString();
  const info = create(ErrorInfoSchema, {
    reason,
    domain: errorDomain,
    metadata: { "http.code": String(httpStatus), "http.error_message": text },
  });
  const status = create(StatusSchema, { code, message: reason, details: [anyPack(ErrorInfoSchema, info)] });
  return new GrpcStatusError(code, reason, toBinary(StatusSchema, status));
}
