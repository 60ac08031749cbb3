// The HTTP side of a block: what edge hands to a route and what the route gives back. Plain types only; the edge owns
// sockets, limits, encoding and the mapping of errors.
import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import type { TraceContext } from "../../lib/telemetry/trace-context.ts";

export interface HttpRequest {
  readonly method: string;
  /** The path after normalisation at the edge, still percent-encoded, without query. */
  readonly path: string;
  /** The raw query string, without `?`. */
  readonly rawQuery: string;
  /** Decoded path parameters of the route; a `*rest` parameter keeps its slashes. */
  readonly params: Readonly<Record<string, string>>;
  /** Parsed on first use. */
  readonly query: URLSearchParams;
  /** Lower-case names, duplicates joined as node:http does. */
  readonly headers: IncomingHttpHeaders;
  /** Names and values alternating, as received. */
  readonly rawHeaders: readonly string[];
  /** Address of the client, without port. */
  readonly remoteAddress: string;
  /** The whole body; rejects with ApiError when it is over max-body-size or breaks off. Read it once. */
  body(): Promise<Buffer>;
  /** The body as a stream, under the same limit. Use this or body(), not both. */
  readonly stream: Readable;
  /** Value of Content-Length; null for chunked and unknown length. */
  readonly contentLength: number | null;
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
  /** This request's span: a child of the caller's traceparent, or a new root. */
  readonly trace: TraceContext;
}

export type ReplyHeaders = Record<string, string | string[]>;

export interface Reply {
  readonly status: number;
  readonly headers?: ReplyHeaders;
  /** Without a content-type header a body is application/json. A stream is flushed chunk by chunk with backpressure. */
  readonly body?: string | Uint8Array | Readable | null;
}

export type ApiVersion = "v1.0" | "v1.0-alpha1" | "v1.0-alpha2" | "v1.0-beta1";

export interface Route {
  readonly methods: readonly string[];
  readonly version: ApiVersion;
  /** After `/<version>/`: literals, `:name` for one segment, `*name` last for the rest. */
  readonly path: string;
  /** Group of the API allow and deny lists, e.g. `state`; with `groupVersion` (v1, v1alpha1 …). */
  readonly group: string;
  readonly groupVersion: string;
  /** Name in API logs and metrics, e.g. `GetState`. */
  readonly name: string;
  readonly handle: (request: HttpRequest) => Promise<Reply> | Reply;
  /** Health routes: no API list filters them. */
  readonly alwaysAllowed?: boolean;
  /** Also served on the public port. */
  readonly public?: boolean;
  /** Kept out of API logs when omitHealthChecks is set. */
  readonly healthCheck?: boolean;
}

/** `Authorization`-free empty success. */
export const noContent: Reply = Object.freeze({ status: 204 });

export function json(value: unknown, status = 200, headers?: ReplyHeaders): Reply {
  const body = JSON.stringify(value);
  return headers === undefined ? { status, body } : { status, headers, body };
}

/** `metadata.<key>` query parameters, which state, pub/sub, secrets and configuration take as request metadata. The first of several counts. */
export function queryMetadata(query: URLSearchParams): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, value] of query) if (key.startsWith("metadata.")) metadata[key.slice("metadata.".length)] ??= value;
  return metadata;
}

/** Component metadata as `metadata.<key>` response headers; values that HTTP cannot carry are left out. */
export function metadataHeaders(metadata: Readonly<Record<string, string>>, into: ReplyHeaders = {}): ReplyHeaders {
  for (const key in metadata) {
    const value = metadata[key] as string;
    if (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(key) && !/[\r\n\0]/.test(value)) into[`metadata.${key}`] = value;
  }
  return into;
}
