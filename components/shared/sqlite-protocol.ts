// What the main thread and the worker that owns a SQLite file say to each other. Plain data only: it is cloned between
// threads. A request is a list of statements; logic that spans them is a number of rows or changes that a statement must have.
import type { SqliteFault } from "./sqlite-errors.ts";

export type SqlValue = null | number | bigint | string | Uint8Array;
/** Columns in the order of the SELECT or RETURNING clause. */
export type Row = readonly SqlValue[];

export interface Statement {
  readonly sql: string;
  readonly params?: readonly SqlValue[];
  /**
   * How many rows a statement with a result set must give, or how many rows another must change. With any other number the
   * whole request is undone and rejects with a SqliteError of kind `expectation` that carries the statement's index.
   */
  readonly expect?: number;
}

export interface StatementResult {
  readonly rows: readonly Row[];
  /** Rows changed; 0 for statements with a result set. */
  readonly changes: number;
}

/** Where the database is and how it is opened. */
export interface SqliteTarget {
  /** What SQLite opens: a `file:` URI, or `:memory:`. */
  readonly uri: string;
  /** Absolute path of the file; null when in memory. */
  readonly path: string | null;
  readonly readOnly: boolean;
  readonly writeAheadLog: boolean;
  /** Further pragmas of the connection string, e.g. `cache_size(1000)`. */
  readonly pragmas: readonly string[];
}

export interface WorkerRequest {
  readonly id: number;
  readonly write: boolean;
  readonly statements: readonly Statement[];
  /** Give up after waiting this long for another process's lock, milliseconds. */
  readonly busyTimeoutMs: number;
  /** Ring the bell of sqlite-wake.ts once the request is durable. */
  readonly wake: boolean;
}

/** To the worker. */
export type ToWorker =
  | { readonly kind: "requests"; readonly requests: readonly WorkerRequest[] }
  | { readonly kind: "cancel"; readonly ids: readonly number[] }
  | { readonly kind: "close" };

export interface WorkerReply {
  readonly id: number;
  readonly results: readonly StatementResult[] | null;
  readonly fault: SqliteFault | null;
}

/** From the worker. `opened` comes first and once; with a fault the worker ends. */
export type FromWorker =
  | { readonly kind: "opened"; readonly fault: SqliteFault | null }
  | { readonly kind: "replies"; readonly replies: readonly WorkerReply[] };

export interface WorkerStart {
  readonly target: SqliteTarget;
  readonly openTimeoutMs: number;
}
