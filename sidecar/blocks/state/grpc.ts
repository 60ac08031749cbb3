// The gRPC form of the state API (inventory §3.1). Its errors always carry an ErrorInfo: where HTTP has only the code, the code is the reason.
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import type {
  BulkGetItem,
  Concurrency,
  Consistency,
  DeleteRequest,
  RequestMetadata,
  SetRequest,
  TransactionOperation,
} from "../../../components/state/store.ts";
import { ApiError, apiError, messageOf } from "../../../lib/kit/errors.ts";
import {
  type StateItem,
  type StateOptions,
  StateOptions_StateConcurrency,
  StateOptions_StateConsistency,
} from "../../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  BulkStateItemSchema,
  type DeleteStateRequest,
  GetBulkStateResponseSchema,
  GetStateResponseSchema,
  type TransactionalStateOperation,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/state_pb.ts";
import { type GrpcMethod, unary } from "../../../lib/wire/grpc/types.ts";
import { stateErrors } from "./errors.ts";
import { parseJson } from "./json-value.ts";
import type { OpenStore, StateVerbs } from "./state.ts";

const stable = { group: "state", version: "v1" };
const alpha = { group: "state", version: "v1alpha1" };
const empty = create(EmptySchema);
const noBytes = new Uint8Array(0);

export function stateMethods(verbs: StateVerbs): GrpcMethod[] {
  const find = (name: string): OpenStore => verbs.find(name, null);
  return [
    unary(Dapr.method.getState, stable, (request, { signal }) =>
      explained(async () => {
        const { key, metadata } = request;
        const item = await verbs.get(find(request.storeName), { key, consistency: consistencyOf(request.consistency), metadata }, signal);
        if (item === null) return create(GetStateResponseSchema);
        return create(GetStateResponseSchema, { data: item.data, etag: item.etag ?? "", metadata: { ...item.metadata } });
      }),
    ),
    unary(Dapr.method.getBulkState, stable, (request, { signal }) =>
      explained(async () => {
        const items = await verbs.bulkGet(find(request.storeName), request.keys, request.parallelism, request.metadata, signal);
        return create(GetBulkStateResponseSchema, { items: items.map(bulkItem) });
      }),
    ),
    unary(Dapr.method.saveState, stable, (request, { signal }) =>
      explained(async () => {
        const store = find(request.storeName);
        await verbs.save(store, request.states.map(setRequest), signal);
        return empty;
      }),
    ),
    unary(Dapr.method.deleteState, stable, (request, { signal }) =>
      explained(async () => {
        await verbs.delete(find(request.storeName), deleteRequest(request), signal);
        return empty;
      }),
    ),
    unary(Dapr.method.deleteBulkState, stable, (request, { signal }) =>
      explained(async () => {
        await verbs.bulkDelete(find(request.storeName), request.states.map(deleteRequest), signal);
        return empty;
      }),
    ),
    unary(Dapr.method.executeStateTransaction, stable, (request, { signal }) =>
      explained(async () => {
        const store = find(request.storeName);
        verbs.requireTransactions(store);
        await verbs.transact(store, request.operations.map(operationOf), request.metadata, signal);
        return empty;
      }),
    ),
    unary(Dapr.method.queryStateAlpha1, alpha, (request) => explained(async () => verbs.query(find(request.storeName)))),
  ];
}

/** Runs the call; an error without details gets the ErrorInfo that gRPC clients look for. */
async function explained<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof ApiError) || error.details.length > 0) throw error;
    const details = [{ kind: "ErrorInfo", reason: error.code, metadata: null } as const];
    throw new ApiError(error, error.message, { details, cause: error.cause });
  }
}

function setRequest(item: StateItem): SetRequest {
  if (item.metadata["contentType"] === "application/json") requireJson(item);
  return plainSetRequest(item);
}

function plainSetRequest({ key, value, etag, options, metadata }: StateItem): SetRequest {
  return { key, value, etag: etag?.value ?? null, ...optionsOf(options), metadata };
}

function deleteRequest({ key, etag, options, metadata }: StateItem | DeleteStateRequest): DeleteRequest {
  return { key, etag: etag?.value ?? null, ...optionsOf(options), metadata };
}

function operationOf({ operationType, request }: TransactionalStateOperation): TransactionOperation {
  if (operationType !== "upsert" && operationType !== "delete") throw apiError(stateErrors.operationNotSupported, [operationType]);
  const item = request ?? noItem;
  return operationType === "upsert"
    ? { operation: operationType, request: plainSetRequest(item) }
    : { operation: operationType, request: deleteRequest(item) };
}

const noItem = { key: "", value: noBytes, etag: undefined, options: undefined, metadata: {} } as unknown as StateItem;

/** A value that says it is JSON must be: stores may keep it as such. */
function requireJson({ key, value }: StateItem): void {
  try {
    parseJson(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString());
  } catch (error) {
    throw apiError(stateErrors.malformedValue, [key, messageOf(error)]);
  }
}

function optionsOf(options: StateOptions | undefined): { readonly concurrency: Concurrency; readonly consistency: Consistency } {
  if (options === undefined) return noOptions;
  return { concurrency: concurrencyOf(options.concurrency), consistency: consistencyOf(options.consistency) };
}

const noOptions = { concurrency: "", consistency: "" } as const;

function concurrencyOf(concurrency: StateOptions_StateConcurrency): Concurrency {
  if (concurrency === StateOptions_StateConcurrency.CONCURRENCY_FIRST_WRITE) return "first-write";
  return concurrency === StateOptions_StateConcurrency.CONCURRENCY_LAST_WRITE ? "last-write" : "";
}

function consistencyOf(consistency: StateOptions_StateConsistency): Consistency {
  if (consistency === StateOptions_StateConsistency.CONSISTENCY_EVENTUAL) return "eventual";
  return consistency === StateOptions_StateConsistency.CONSISTENCY_STRONG ? "strong" : "";
}

function bulkItem({ key, item, error }: BulkGetItem) {
  const metadata: RequestMetadata = item?.metadata ?? {};
  return create(BulkStateItemSchema, {
    key,
    data: item?.data ?? noBytes,
    etag: item?.etag ?? "",
    metadata: { ...metadata },
    error: error ?? "",
  });
}
