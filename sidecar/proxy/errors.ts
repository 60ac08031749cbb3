// What a proxied call fails with before it has reached an app. The first four are Dapr's words and codes.
import { messageOf } from "../../lib/kit/errors.ts";
import { GrpcCode, GrpcStatusError } from "../../lib/wire/grpc/types.ts";

export function noTarget(): GrpcStatusError {
  return unknown("failed to proxy request: required metadata dapr-callee-app-id or dapr-app-id not found");
}

/** The target is no app id, or nobody knows it. */
export function unreachable(cause: unknown): GrpcStatusError {
  return cause instanceof GrpcStatusError ? cause : unknown(messageOf(cause));
}

export function invalidMethod(cause: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.INVALID_ARGUMENT, `invalid method: ${cause}`);
}

export function noAppChannel(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.INTERNAL, "app channel is not initialized");
}

/** Another sidecar followed a stale address, or wants us to call a third app in our name. */
export function wrongCallee(asked: string, appId: string): GrpcStatusError {
  return new GrpcStatusError(
    GrpcCode.UNAVAILABLE,
    `this is the sidecar of ${appId}, not of ${JSON.stringify(asked)}: the call is for the app behind the sidecar only`,
  );
}

export function appIsNotGrpc(appId: string, protocol: string): GrpcStatusError {
  return new GrpcStatusError(
    GrpcCode.FAILED_PRECONDITION,
    `app ${appId} is reached over ${protocol}, and a proxied gRPC call needs a gRPC app: start its sidecar with --app-protocol grpc or grpcs`,
  );
}

function unknown(message: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.UNKNOWN, message);
}
