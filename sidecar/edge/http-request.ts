// The edge's HttpRequest: a thin view of node's request whose costly parts (query, trace, signal) are made on first use.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { type Readable, Transform } from "node:stream";
import { type ApiError, apiError, type ErrorRow, GrpcCode } from "../../lib/kit/errors.ts";
import { childOf, parseTraceparent, type TraceContext } from "../../lib/telemetry/trace-context.ts";
import type { HttpRequest } from "../contract/http.ts";

/** HTTP/2 requests come through node's compatibility API, which has the same members; `httpVersionMajor` tells them apart. */
export type NodeRequest = IncomingMessage;
export type NodeResponse = ServerResponse;

export const edgeErrors = {
  bodyRead: { code: "ERR_BODY_READ", http: 400, grpc: GrpcCode.INVALID_ARGUMENT, message: "failed to read request body: {}" },
} as const satisfies Record<string, ErrorRow>;

/** What is fixed for all requests of one server. */
export interface RequestSettings {
  /** 0: no limit. */
  readonly maxBodyBytes: number;
  /** Whether a request without traceparent starts a sampled trace. */
  readonly sampleRoot: () => boolean;
}

export class EdgeRequest implements HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly rawQuery: string;
  params: Readonly<Record<string, string>> = noParams;
  readonly headers: IncomingHttpHeaders;
  readonly #request: NodeRequest;
  readonly #response: NodeResponse;
  readonly #settings: RequestSettings;
  #query: URLSearchParams | null = null;
  #trace: TraceContext | null = null;
  #abort: AbortController | null = null;

  constructor(request: NodeRequest, response: NodeResponse, path: string, rawQuery: string, settings: RequestSettings) {
    this.method = request.method as string;
    this.path = path;
    this.rawQuery = rawQuery;
    this.headers = request.headers;
    this.#request = request;
    this.#response = response;
    this.#settings = settings;
  }

  get query(): URLSearchParams {
    return (this.#query ??= new URLSearchParams(this.rawQuery));
  }

  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders;
  }

  get remoteAddress(): string {
    return this.#request.socket.remoteAddress ?? "";
  }

  get contentLength(): number | null {
    const text = this.headers["content-length"];
    if (text !== undefined) return Number(text);
    return this.headers["transfer-encoding"] === undefined && this.#request.httpVersionMajor === 1 ? 0 : null;
  }

  get trace(): TraceContext {
    if (this.#trace === null) {
      const parent = parseTraceparent(single(this.headers["traceparent"]), single(this.headers["tracestate"]));
      this.#trace = childOf(parent, parent === null && this.#settings.sampleRoot());
    }
    return this.#trace;
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      const abort = new AbortController();
      this.#abort = abort;
      const response = this.#response;
      if (response.destroyed && !response.writableEnded) abort.abort(clientGone());
      response.once("close", () => {
        if (!response.writableFinished) abort.abort(clientGone());
      });
    }
    return this.#abort.signal;
  }

  get stream(): Readable {
    const limit = this.#settings.maxBodyBytes;
    const length = this.contentLength;
    if (limit <= 0 || (length !== null && length <= limit)) return this.#request;
    const limited = limitStream(limit);
    if (length !== null) {
      limited.destroy(tooLarge(limit));
      return limited;
    }
    this.#request.on("error", (error) => limited.destroy(error)).pipe(limited);
    this.#request.once("close", () => {
      if (!this.#request.readableEnded)
        limited.destroy(apiError(edgeErrors.bodyRead, ["unexpected EOF: the client closed the connection"]));
    });
    return limited;
  }

  body(): Promise<Buffer> {
    const limit = this.#settings.maxBodyBytes;
    const length = this.contentLength;
    if (length === 0) return emptyBody;
    if (limit > 0 && length !== null && length > limit) return Promise.reject(tooLarge(limit));
    return readAll(this.#request, limit);
  }
}

const noParams: Readonly<Record<string, string>> = Object.freeze(Object.create(null) as Record<string, string>);
const emptyBody = Promise.resolve(Buffer.alloc(0));

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}

function clientGone(): Error {
  const error = new Error("the client closed the connection before the answer was complete");
  error.name = "AbortError";
  return error;
}

function tooLarge(limitBytes: number): ApiError {
  return apiError(edgeErrors.bodyRead, [
    `stream too large: the body is over the limit of ${limitBytes} bytes; send less or raise --max-body-size`,
  ]);
}

function readAll(request: NodeRequest, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = () => {
      request.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose);
    };
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (limit > 0 && size > limit) {
        settle();
        reject(tooLarge(limit));
      } else chunks.push(chunk);
    };
    const onEnd = () => {
      settle();
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size));
    };
    const onError = (error: Error) => {
      settle();
      reject(apiError(edgeErrors.bodyRead, [error.message], { cause: error }));
    };
    const onClose = () => onError(new Error("unexpected EOF: the client closed the connection"));
    request.on("data", onData).once("end", onEnd).once("error", onError).once("close", onClose);
  });
}

function limitStream(limitBytes: number): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > limitBytes) done(tooLarge(limitBytes));
      else done(null, chunk);
    },
  });
}
