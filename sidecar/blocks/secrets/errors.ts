// The error table of the secrets API.
import { type ErrorRow, GrpcCode } from "../../../lib/kit/errors.ts";

export const secretErrors = {
  storesNotConfigured: {
    code: "ERR_SECRET_STORES_NOT_CONFIGURED",
    http: 500,
    grpc: GrpcCode.FAILED_PRECONDITION,
    message: "secret store is not configured",
  },
  storeNotFound: {
    code: "ERR_SECRET_STORE_NOT_FOUND",
    http: 401,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "failed finding secret store with key {}",
  },
  permissionDenied: {
    code: "ERR_PERMISSION_DENIED",
    http: 403,
    grpc: GrpcCode.PERMISSION_DENIED,
    message: "access denied by policy to get {} from {}",
  },
  get: {
    code: "ERR_SECRET_GET",
    http: 500,
    grpc: GrpcCode.INTERNAL,
    message: "failed getting secret with key {} from secret store {}: {}",
  },
  bulkGet: { code: "ERR_SECRET_GET", http: 500, grpc: GrpcCode.INTERNAL, message: "failed getting secrets from secret store {}: {}" },
} as const satisfies Record<string, ErrorRow>;
