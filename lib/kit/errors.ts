// ApiError: an operating error that a caller of one of our APIs is told about. It carries everything both
// edges need (HTTP status and error code, gRPC code, rich details), so that mapping happens in one place,
// sidecar/edge/rescue.ts. Programmer errors are not ApiErrors: they assert and crash (lib/kit/assert.ts).

/** gRPC status codes by their canonical names (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */
export const GrpcCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type GrpcCode = (typeof GrpcCode)[keyof typeof GrpcCode];

/** The domain Dapr puts in every ErrorInfo. */
export const errorDomain = "dapr.io";

/** google.rpc error details in the shape the Dapr HTTP API shows them (snake_case fields, `@type`). */
export type ErrorDetail =
  | { readonly kind: "ErrorInfo"; readonly reason: string; readonly metadata: Readonly<Record<string, string>> | null }
  | { readonly kind: "ResourceInfo"; readonly type: string; readonly name: string; readonly owner: string; readonly description: string }
  | { readonly kind: "BadRequest"; readonly violations: readonly { readonly field: string; readonly description: string }[] }
  | { readonly kind: "Help"; readonly links: readonly { readonly url: string; readonly description: string }[] };

/**
 * One row of a block's error table (`errors.ts` of each block). `docs/reference/errors.md` lists every row with
 * its cause and its remedy; a test ties the two together.
 */
export interface ErrorRow {
  /** The `errorCode` of the JSON body, e.g. `ERR_STATE_GET`. */
  readonly code: string;
  readonly http: number;
  readonly grpc: GrpcCode;
  /** Message with `{}` placeholders, in the words Dapr's users grep for. */
  readonly message: string;
}

export interface ApiErrorOptions {
  readonly details?: readonly ErrorDetail[];
  /** Sent as `metadata.<key>` response headers where the route's contract says so. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

export class ApiError extends Error {
  readonly code: string;
  readonly http: number;
  readonly grpc: GrpcCode;
  readonly details: readonly ErrorDetail[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(row: ErrorRow, message: string, options: ApiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ApiError";
    this.code = row.code;
    this.http = row.http;
    this.grpc = row.grpc;
    this.details = options.details ?? noDetails;
    this.headers = options.headers ?? noHeaders;
  }
}

const noDetails: readonly ErrorDetail[] = Object.freeze([]);
const noHeaders: Readonly<Record<string, string>> = Object.freeze({});

/** Builds the error of `row`, its `{}` placeholders filled from `values` in order. */
export function apiError(row: ErrorRow, values: readonly unknown[] = [], options: ApiErrorOptions = {}): ApiError {
  let next = 0;
  const message = row.message.replace(/\{\}/g, () => String(values[next++] ?? ""));
  return new ApiError(row, message, options);
}

/** The text of anything thrown, never empty and never `[object Object]`. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message || thrown.name;
  if (typeof thrown === "string") return thrown;
  try {
    return JSON.stringify(thrown) ?? String(thrown);
  } catch {
    return String(thrown);
  }
}
