// The HTTP channel to the app (http, https without verification, h2c) and to external endpoints: sends what
// http-message.ts built and hands bodies through without reading them. Redirects are the caller's to follow. undici's
// `dispatch` costs a third of its `request` and a fifth of node:http's client (31, 51, 140 µs CPU per request, measured).
import { buildConnector, type Dispatcher, H2CClient, Pool } from "undici";
import { ApiError, apiError, messageOf } from "../../lib/kit/errors.ts";
import { firstHeader, fromParsedHeaders } from "../contract/invoke-headers.ts";
import type { AppRequest, AppResponse, HeaderLists } from "../contract/ports.ts";
import type { ConcurrencyLimit } from "./concurrency.ts";
import { appErrors } from "./errors.ts";
import { HttpExchange, type RawResponse } from "./http-exchange.ts";
import { checkVerb, type FixedHeaders, requestHeaders, requestPath } from "./http-message.ts";

/** Connections to one target; more calls than this wait for one. */
const maxConnections = 1024;

export interface HttpChannelOptions {
  readonly protocol: "http" | "https" | "h2c";
  /** `scheme://host:port`, and a base path where the target has one. */
  readonly baseUrl: string;
  /** Of a response's head. */
  readonly maxHeaderBytes: number;
  /** Accept any certificate: right only for the app's own loopback port. */
  readonly insecure: boolean;
  /** Set on every request over what the caller sent: app token, endpoint headers. Names as on the wire. */
  readonly fixedHeaders: FixedHeaders;
  readonly limit: ConcurrencyLimit | null;
}

export interface HttpChannel {
  /** Rejects with ApiError, or with the signal's reason. The limit is held until the response's body has ended. */
  invoke(request: AppRequest, signal: AbortSignal): Promise<AppResponse>;
  /** GET without limit or fixed headers, for health probes: the status. */
  probe(path: string, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

interface Outgoing {
  readonly method: string;
  readonly path: string;
  readonly headers: string[];
  readonly body: AppRequest["body"];
}

export function createHttpChannel(options: HttpChannelOptions): HttpChannel {
  const { limit, fixedHeaders } = options;
  const url = new URL(options.baseUrl);
  const basePath = url.pathname.replace(/\/+$/, "");
  const dispatcher = createDispatcher(options, url.origin);
  const release = limit ? () => limit.release() : noop;

  const send = (outgoing: Outgoing, mayRetry: boolean, done: () => void, signal: AbortSignal): Promise<RawResponse> =>
    new Promise((resolve, reject) => {
      let retrying = false;
      const failed = (error: Error) => {
        retrying = mayRetry && !exchange.answered && isStaleConnection(error) && !signal.aborted;
        if (retrying) send(outgoing, false, done, signal).then(resolve, reject);
        else reject(error);
      };
      const finished = () => {
        if (!retrying) done();
      };
      const exchange = new HttpExchange(resolve, failed, finished, outgoing.method === "HEAD", signal);
      dispatcher.dispatch(outgoing, exchange);
    });

  return {
    async invoke(request, signal) {
      checkVerb(request.verb);
      const path = requestPath(basePath, request);
      const outgoing = { method: request.verb, path, headers: requestHeaders(request, fixedHeaders), body: request.body };
      // It may break while the call waits for its turn; undici tells when it reads.
      if (request.body !== null && !(request.body instanceof Uint8Array)) request.body.on("error", noop);
      const waiting = limit?.acquire(signal);
      if (waiting) await waiting;
      try {
        return toAppResponse(await send(outgoing, isRetried(outgoing), release, signal));
      } catch (error) {
        if (signal.aborted) throw error;
        throw describe(error, request, `${options.baseUrl}/${request.method}`);
      }
    },
    async probe(path, signal) {
      const raw = await send({ method: "GET", path: `${basePath}${path}`, headers: [], body: null }, true, noop, signal);
      // Read to its end, or the connection cannot be used again.
      if (!(raw.body instanceof Uint8Array)) raw.body.on("error", noop).resume();
      return raw.status;
    },
    close: () => dispatcher.destroy(),
  };
}

function noop(): void {}

/** undici's default timeouts would end long calls: a sidecar waits as long as its caller does. */
function createDispatcher(options: HttpChannelOptions, origin: string): Dispatcher {
  const common = { headersTimeout: 0, bodyTimeout: 0, maxHeaderSize: options.maxHeaderBytes };
  if (options.protocol === "h2c") return new H2CClient(origin, { ...common, maxConcurrentStreams: 100 });
  const connect = withoutConnectionField(buildConnector({ allowH2: false, rejectUnauthorized: !options.insecure }));
  return new Pool(origin, { ...common, connections: maxConnections, pipelining: 1, allowH2: false, connect });
}

const ownField = "\r\nconnection: keep-alive\r\n";

/** undici writes `connection: keep-alive` into every request. HTTP/1.1 needs it not, and Dapr's apps never see one. */
function withoutConnectionField(connect: buildConnector.connector): buildConnector.connector {
  return (target, callback) =>
    connect(target, (...result) => {
      const socket = result[1];
      if (socket) {
        const write = socket.write.bind(socket) as (chunk: unknown, ...rest: unknown[]) => boolean;
        // Heads are written as text, bodies as bytes. No field of a caller is named so: they are stripped before.
        socket.write = ((chunk: unknown, ...rest: unknown[]) =>
          write(typeof chunk === "string" ? chunk.replace(ownField, "\r\n") : chunk, ...rest)) as typeof socket.write;
      }
      callback(...result);
    });
}

const retriedVerbs: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** Go's client sends a bodiless safe request again when a kept connection turns out to be closed; apps count on it. */
function isRetried(outgoing: Outgoing): boolean {
  return outgoing.body === null && retriedVerbs.has(outgoing.method);
}

function isStaleConnection(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE";
}

function toAppResponse(raw: RawResponse): AppResponse {
  const headers = fromParsedHeaders(raw.headers);
  return {
    status: raw.status,
    grpc: null,
    headers,
    trailers: noTrailers,
    contentType: firstHeader(headers, "content-type") ?? null,
    body: raw.body,
  };
}

const noTrailers: HeaderLists = Object.freeze(Object.create(null) as HeaderLists);

/** The error of a call that got no answer; without the query, which may hold a secret. */
function describe(error: unknown, request: AppRequest, url: string): Error {
  // The request body's own failure: its reader knows best what happened.
  if (error instanceof ApiError) return error;
  const first = error instanceof AggregateError && error.message === "" ? error.errors[0] : error;
  const code = (first as NodeJS.ErrnoException | null)?.code ?? "";
  const row =
    code.startsWith("UND_ERR_CONNECT") || code === "ECONNREFUSED" || code === "ENOTFOUND" ? appErrors.unreachable : appErrors.brokenOff;
  const verb = request.verb.charAt(0) + request.verb.slice(1).toLowerCase();
  return apiError(row, [verb, url, messageOf(first)], { cause: error });
}
