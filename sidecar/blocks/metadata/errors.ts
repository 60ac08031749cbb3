// Errors of the metadata block. Dapr has none here: it stores without a limit.
import { type ErrorRow, GrpcCode } from "../../../lib/kit/errors.ts";

export const metadataErrors = {
  valueTooLong: {
    code: "ERR_BAD_REQUEST",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "invalid request: the metadata value of {} is longer than {} bytes; store data in a state store instead",
  },
  tooMany: {
    code: "ERR_BAD_REQUEST",
    http: 400,
    grpc: GrpcCode.RESOURCE_EXHAUSTED,
    message: "invalid request: this sidecar already has {} metadata keys; reuse a key",
  },
} as const satisfies Record<string, ErrorRow>;
