// What the protocol between sidecars fails with; the words are Dapr's, since both ends may be.
import { ApiError, messageOf } from "../../lib/kit/errors.ts";
import { rpcErrorText } from "../../lib/kit/status-map.ts";
import { GrpcCode, GrpcStatusError } from "../../lib/wire/grpc/types.ts";

/** An error as it reads inside another one's message: statuses in gRPC's form, anything else by its message. */
export function errorText(error: unknown): string {
  if (error instanceof GrpcStatusError) return rpcErrorText(error.code, error.message);
  if (error instanceof ApiError) return rpcErrorText(error.grpc, error.message);
  return messageOf(error);
}

export function noAppChannel(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.INTERNAL, "app channel is not initialized");
}

export function badInvokeRequest(cause: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.INVALID_ARGUMENT, `parsing InternalInvokeRequest error: ${cause}`);
}

export function channelFailed(cause: unknown): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.INTERNAL, `error invoking app channel: ${errorText(cause)}`);
}

export function invalidMethod(cause: unknown): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.INVALID_ARGUMENT, `invalid method: ${messageOf(cause)}`);
}
