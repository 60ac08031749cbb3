// How gRPC codes and HTTP statuses translate into each other on Dapr's invocation paths (inventory §3, "easily missed").
// The maps are asymmetric by contract: 400 becomes Internal, FailedPrecondition becomes 400.
import { GrpcCode } from "./errors.ts";

const httpByCode: readonly number[] = [200, 408, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

/** 500 for a number that is no gRPC code. */
export function httpStatusOf(code: number): number {
  return httpByCode[code] ?? 500;
}

const codeByHttp: ReadonlyMap<number, GrpcCode> = new Map([
  [408, GrpcCode.CANCELLED],
  [500, GrpcCode.UNKNOWN],
  [400, GrpcCode.INTERNAL],
  [504, GrpcCode.DEADLINE_EXCEEDED],
  [404, GrpcCode.NOT_FOUND],
  [409, GrpcCode.ALREADY_EXISTS],
  [403, GrpcCode.PERMISSION_DENIED],
  [401, GrpcCode.UNAUTHENTICATED],
  [429, GrpcCode.RESOURCE_EXHAUSTED],
  [501, GrpcCode.UNIMPLEMENTED],
  [503, GrpcCode.UNAVAILABLE],
]);

export function grpcCodeOf(httpStatus: number): GrpcCode {
  if (httpStatus >= 200 && httpStatus < 300) return GrpcCode.OK;
  return codeByHttp.get(httpStatus) ?? GrpcCode.UNKNOWN;
}

const goNames = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

/** The text under which Dapr's users know a gRPC status inside another error's message. */
export function rpcErrorText(code: number, message: string): string {
  return `rpc error: code = ${goNames[code] ?? `Code(${code})`} desc = ${message}`;
}
