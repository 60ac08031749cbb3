// Errors of service invocation.
import { ApiError, type ErrorRow, GrpcCode, messageOf } from "../../../lib/kit/errors.ts";
import { rpcErrorText } from "../../../lib/kit/status-map.ts";
import { GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import { BreakerRefusal, TimeoutFailure } from "../../contract/failure.ts";

export const invocationErrors = {
  failed: { code: "ERR_DIRECT_INVOKE", http: 500, grpc: GrpcCode.INTERNAL, message: "failed to invoke, id: {}, err: {}" },
  timedOut: { code: "ERR_DIRECT_INVOKE", http: 500, grpc: GrpcCode.DEADLINE_EXCEEDED, message: "failed to invoke, id: {}, err: {}" },
  refusedByBreaker: { code: "ERR_DIRECT_INVOKE", http: 500, grpc: GrpcCode.UNKNOWN, message: "failed to invoke, id: {}, err: {}" },
  denied: { code: "ERR_DIRECT_INVOKE", http: 403, grpc: GrpcCode.INTERNAL, message: "failed to invoke, id: {}, err: {}" },
  noAppId: {
    code: "ERR_DIRECT_INVOKE",
    http: 404,
    grpc: GrpcCode.NOT_FOUND,
    message: "failed getting app id either from the URL path or the header dapr-app-id",
  },
  malformedResponse: { code: "ERR_MALFORMED_RESPONSE", http: 500, grpc: GrpcCode.INTERNAL, message: "{}" },
} as const satisfies Record<string, ErrorRow>;

/** What the caller is told when a call got no answer. The text inside is what Dapr's users grep for. */
export function invokeFailed(target: string, cause: unknown): ApiError {
  return new ApiError(rowOf(cause), `failed to invoke, id: ${target}, err: ${textOf(cause)}`, { cause });
}

function rowOf(cause: unknown): ErrorRow {
  if (cause instanceof TimeoutFailure) return invocationErrors.timedOut;
  if (cause instanceof BreakerRefusal) return invocationErrors.refusedByBreaker;
  const isDenied = cause instanceof GrpcStatusError && cause.code === GrpcCode.PERMISSION_DENIED;
  return isDenied ? invocationErrors.denied : invocationErrors.failed;
}

function textOf(cause: unknown): string {
  if (cause instanceof GrpcStatusError) return rpcErrorText(cause.code, cause.message);
  // Of our own edge, about the caller's body; Dapr has no status there.
  if (cause instanceof ApiError && cause.code === "ERR_BODY_READ") return cause.message.replace(/^failed to read request body: /, "");
  if (cause instanceof ApiError) return rpcErrorText(cause.grpc, cause.message);
  return messageOf(cause);
}
