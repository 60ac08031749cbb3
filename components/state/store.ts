// The state kind: a small required interface, capabilities as optional methods (rule 8); the state block falls back
// where a method is absent. Semantics are inventory §5.1; conformance.ts is what every driver must pass.
import type { Driver } from "../driver.ts";

/** Feature names as the metadata API shows them. */
export type StateFeature = "ETAG" | "TRANSACTIONAL" | "QUERY_API" | "TTL" | "DELETE_WITH_PREFIX" | "PARTITION_KEY" | "KEYS_LIKE";

export type Concurrency = "first-write" | "last-write" | "";
export type Consistency = "eventual" | "strong" | "";
export type RequestMetadata = Readonly<Record<string, string>>;

export interface GetRequest {
  readonly key: string;
  readonly consistency: Consistency;
  readonly metadata: RequestMetadata;
}

export interface StateItem {
  readonly data: Uint8Array;
  readonly etag: string | null;
  /** E.g. `ttlExpireTime`, RFC 3339. */
  readonly metadata: RequestMetadata;
  readonly contentType: string | null;
}

export interface SetRequest {
  readonly key: string;
  /** The value's bytes: a JSON text for values that came as JSON, anything for values that came as bytes. */
  readonly value: Uint8Array;
  readonly etag: string | null;
  readonly concurrency: Concurrency;
  readonly consistency: Consistency;
  /** `ttlInSeconds` (-1: never expires), `contentType`, `partitionKey` and whatever the driver documents. */
  readonly metadata: RequestMetadata;
}

export interface DeleteRequest {
  readonly key: string;
  readonly etag: string | null;
  readonly concurrency: Concurrency;
  readonly consistency: Consistency;
  readonly metadata: RequestMetadata;
}

export type TransactionOperation =
  | { readonly operation: "upsert"; readonly request: SetRequest }
  | { readonly operation: "delete"; readonly request: DeleteRequest };

/** The outcome of one key of a bulk get; `item` is null when the key is missing. */
export interface BulkGetItem {
  readonly key: string;
  readonly item: StateItem | null;
  readonly error: string | null;
}

/** An etag problem: a mismatch is a conflict (409, Aborted), an invalid one a bad request (400, InvalidArgument). */
export class EtagError extends Error {
  override readonly name = "EtagError";
  readonly kind: "mismatch" | "invalid";

  constructor(kind: "mismatch" | "invalid", cause?: unknown) {
    // The words Dapr's users know from components-contrib.
    super(
      kind === "mismatch" ? "possible etag mismatch. error from state store" : "invalid etag value",
      cause === undefined ? undefined : { cause },
    );
    this.kind = kind;
  }
}

export interface StateStore extends Driver {
  readonly features: readonly StateFeature[];
  get(request: GetRequest, signal: AbortSignal): Promise<StateItem | null>;
  /** Acknowledged means durable. Rejects with EtagError on conflict. */
  set(request: SetRequest, signal: AbortSignal): Promise<void>;
  /** Deleting a missing key is no error, unless an etag was given (mismatch). */
  delete(request: DeleteRequest, signal: AbortSignal): Promise<void>;
  /** One item per request, in the order of the requests. */
  bulkGet?(requests: readonly GetRequest[], signal: AbortSignal): Promise<readonly BulkGetItem[]>;
  /** Not atomic; rejects with BulkStoreError when some keys failed. */
  bulkSet?(requests: readonly SetRequest[], signal: AbortSignal): Promise<void>;
  bulkDelete?(requests: readonly DeleteRequest[], signal: AbortSignal): Promise<void>;
  /** All or nothing, in order. */
  transact?(operations: readonly TransactionOperation[], metadata: RequestMetadata, signal: AbortSignal): Promise<void>;
  /** Absent or 0: no limit on operations per transaction. */
  readonly maxTransactionOperations?: number;
  /** Deletes the keys that start with `prefix` (which ends in `||`) and have no further `||` behind it; how many it were. */
  deleteWithPrefix?(prefix: string, signal: AbortSignal): Promise<number>;
  /** Keys that match a LIKE pattern (`%`, `_`, escape `\`), in the order they were written. */
  keysLike?(request: KeysLikeRequest, signal: AbortSignal): Promise<KeysLikePage>;
}

export interface KeysLikeRequest {
  readonly pattern: string;
  /** Null: all keys on one page. */
  readonly pageSize: number | null;
  /** Of the page before; null for the first. */
  readonly continuationToken: string | null;
}

export interface KeysLikePage {
  readonly keys: readonly string[];
  /** Null: this was the last page. */
  readonly continuationToken: string | null;
}

/** Some keys of a bulk write failed; the others were stored. */
export class BulkStoreError extends Error {
  override readonly name = "BulkStoreError";
  readonly failures: ReadonlyMap<string, Error>;

  constructor(failures: ReadonlyMap<string, Error>) {
    super([...failures].map(([key, error]) => `key ${key}: ${error.message}`).join("; "));
    this.failures = failures;
  }
}
