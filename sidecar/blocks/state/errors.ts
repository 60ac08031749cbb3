// The error table of the state API, and the google.rpc details that Dapr gives with some of its rows.
import { EtagError } from "../../../components/state/store.ts";
import { type ApiError, apiError, type ErrorDetail, type ErrorRow, GrpcCode, messageOf } from "../../../lib/kit/errors.ts";

export const stateErrors = {
  storeNotConfigured: {
    code: "ERR_STATE_STORE_NOT_CONFIGURED",
    http: 500,
    grpc: GrpcCode.FAILED_PRECONDITION,
    message: "state store {} is not configured",
  },
  storeNotFound: {
    code: "ERR_STATE_STORE_NOT_FOUND",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "state store {} is not found",
  },
  illegalKey: {
    code: "ERR_MALFORMED_REQUEST",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "input key/keyPrefix '{}' can't contain '||'",
  },
  malformedItems: { code: "ERR_MALFORMED_REQUEST", http: 400, grpc: GrpcCode.INVALID_ARGUMENT, message: "{}" },
  malformedBody: {
    code: "ERR_MALFORMED_REQUEST",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "failed deserializing HTTP body: {}",
  },
  emptyKey: { code: "ERR_STATE_SAVE", http: 400, grpc: GrpcCode.INVALID_ARGUMENT, message: "state key cannot be empty" },
  malformedValue: {
    code: "ERR_STATE_SAVE",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "the value of key {} has contentType application/json but is no JSON: {}",
  },
  get: { code: "ERR_STATE_GET", http: 500, grpc: GrpcCode.INTERNAL, message: "fail to get {} from state store {}: {}" },
  bulkGet: { code: "ERR_STATE_BULK_GET", http: 500, grpc: GrpcCode.UNKNOWN, message: "{}" },
  save: { code: "ERR_STATE_SAVE", http: 500, grpc: GrpcCode.INTERNAL, message: "failed saving state in state store {}: {}" },
  delete: { code: "ERR_STATE_DELETE", http: 500, grpc: GrpcCode.INTERNAL, message: "failed deleting state with key {}: {}" },
  bulkDelete: {
    code: "ERR_STATE_BULK_DELETE",
    http: 500,
    grpc: GrpcCode.INTERNAL,
    message: "failed deleting state in state store {}: {}",
  },
  operationNotSupported: {
    code: "ERR_NOT_SUPPORTED_STATE_OPERATION",
    http: 400,
    grpc: GrpcCode.UNIMPLEMENTED,
    message: "operation type {} not supported",
  },
  transactionsNotSupported: {
    code: "ERR_STATE_STORE_NOT_SUPPORTED",
    http: 500,
    grpc: GrpcCode.UNIMPLEMENTED,
    message: "state store {} doesn't support transactions",
  },
  tooManyOperations: {
    code: "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "the transaction contains {} operations, which is more than what the state store supports: {}",
  },
  transaction: {
    code: "ERR_STATE_TRANSACTION",
    http: 500,
    grpc: GrpcCode.INTERNAL,
    message: "error while executing state transaction: {}",
  },
  queryNotSupported: {
    code: "ERR_STATE_STORE_NOT_SUPPORTED",
    http: 500,
    grpc: GrpcCode.INTERNAL,
    message: "state store does not support querying",
  },
} as const satisfies Record<string, ErrorRow>;

function info(reason: string, metadata: Readonly<Record<string, string>> | null = null): ErrorDetail {
  return { kind: "ErrorInfo", reason, metadata };
}

function resource(storeName: string): ErrorDetail {
  return { kind: "ResourceInfo", type: "state", name: storeName, owner: "", description: "" };
}

/** `appId` null: over gRPC the detail carries no metadata. */
export function storeNotConfigured(storeName: string, appId: string | null): ApiError {
  const metadata = appId ? { appID: appId } : null;
  return apiError(stateErrors.storeNotConfigured, [storeName], { details: [info("DAPR_STATE_NOT_CONFIGURED", metadata)] });
}

export function storeNotFound(storeName: string, appId: string | null): ApiError {
  const metadata = appId ? { appID: appId } : null;
  return apiError(stateErrors.storeNotFound, [storeName], { details: [info("DAPR_STATE_NOT_FOUND", metadata)] });
}

export function illegalKey(storeName: string, key: string): ApiError {
  const description = `input key/keyPrefix '${key}' can't contain '||'`;
  const violation: ErrorDetail = { kind: "BadRequest", violations: [{ field: key, description }] };
  return apiError(stateErrors.illegalKey, [key], { details: [info("DAPR_STATE_ILLEGAL_KEY"), resource(storeName), violation] });
}

const storesHelp: ErrorDetail = {
  kind: "Help",
  links: [
    {
      url: "https://docs.dapr.io/reference/components-reference/supported-state-stores/",
      description: "Check the list of state stores and the features they support",
    },
  ],
};

export function transactionsNotSupported(storeName: string): ApiError {
  const details = [info("DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED"), resource(storeName), storesHelp];
  return apiError(stateErrors.transactionsNotSupported, [storeName], { details });
}

export function tooManyOperations(storeName: string, count: number, max: number): ApiError {
  const metadata = { currentOpsTransaction: String(count), maxOpsPerTransaction: String(max) };
  const details = [info("DAPR_STATE_TOO_MANY_TRANSACTIONS", metadata), resource(storeName)];
  return apiError(stateErrors.tooManyOperations, [count, max], { details });
}

export function queryNotSupported(storeName: string): ApiError {
  return apiError(stateErrors.queryNotSupported, [], { details: [info("DAPR_STATE_QUERYING_NOT_SUPPORTED"), resource(storeName)] });
}

/** What a store threw at a write, as `row`; `values` fill the row's placeholders before the store's own words. */
export function writeFailure(row: ErrorRow, values: readonly unknown[], error: unknown): ApiError {
  return apiError(rowOf(row, error), [...values, messageOf(error)], { cause: error });
}

function rowOf(row: ErrorRow, error: unknown): ErrorRow {
  if (!(error instanceof EtagError)) return row;
  return error.kind === "mismatch" ? { ...row, http: 409, grpc: GrpcCode.ABORTED } : { ...row, http: 400, grpc: GrpcCode.INVALID_ARGUMENT };
}
