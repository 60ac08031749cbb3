// One call on the server: what its handler sees (GrpcCall) and how it ends. Invariants: 1. a call ends exactly once, by
// `succeed`, `fail`, `refuse` or the caller's leaving; 2. after that nothing is sent and `signal` is aborted unless it
// succeeded; 3. when the server ends first, the caller is told to stop sending (RST_STREAM NO_ERROR).
import { constants, type ServerHttp2Stream, type ServerStreamResponseOptions } from "node:http2";
import type { Clock, Timer } from "../../kit/clock.ts";
import { peerIdentityOf } from "../secure.ts";
import { letGo } from "./drained.ts";
import { metadataFromRaw, writeMetadata } from "./metadata.ts";
import { writeStatus } from "./status.ts";
import { type GrpcCall, GrpcCode, GrpcStatusError, type Metadata, newMetadata } from "./types.ts";

type Headers = Record<string, string | string[]>;

/** `sendDate` is read by node:http2 but missing from its types; gRPC replies carry no date. */
const withTrailers = { waitForTrailers: true, sendDate: false } as ServerStreamResponseOptions;
const withoutBody = { endStream: true, sendDate: false } as ServerStreamResponseOptions;

export class ServerCall implements GrpcCall {
  readonly stream: ServerHttp2Stream;
  readonly path: string;
  /** True once the call has ended. */
  done = false;
  /** What a handler threw that was no GrpcStatusError, for the log. */
  handlerError: unknown = null;
  onClosed: (() => void) | null = null;
  onDone: ((code: GrpcCode) => void) | null = null;
  /** Called when the call ends otherwise than by success. */
  onCancel: (() => void) | null = null;

  /** Names and values alternating, as they were received. */
  readonly rawHeaders: readonly string[];
  readonly #toStatus: (error: unknown) => GrpcStatusError;
  readonly #clock: Clock;
  #metadata: Metadata | null = null;
  #responseHeaders: Metadata | null = null;
  #responseTrailers: Metadata | null = null;
  #controller: AbortController | null = null;
  #cause: GrpcStatusError | null = null;
  #deadline: Timer | null = null;
  #deadlineAtMs: number | null = null;
  #status: GrpcStatusError | null = null;
  /** Trailers of another server, to be sent as they are. */
  #forwarded: Headers | null = null;

  constructor(
    stream: ServerHttp2Stream,
    path: string,
    rawHeaders: readonly string[],
    toStatus: (error: unknown) => GrpcStatusError,
    clock: Clock,
  ) {
    this.stream = stream;
    this.path = path;
    this.rawHeaders = rawHeaders;
    this.#toStatus = toStatus;
    this.#clock = clock;
    stream.on("aborted", () => this.#left());
    stream.on("error", ignore);
    stream.on("close", () => {
      this.#left();
      this.onClosed?.();
      this.#letGo();
    });
  }

  get metadata(): Metadata {
    this.#metadata ??= metadataFromRaw(this.rawHeaders);
    return this.#metadata;
  }

  get peer(): string {
    const socket = this.stream.session?.socket;
    if (socket === undefined) return "gone";
    if (socket.remoteAddress === undefined) return "unix";
    return socket.remoteFamily === "IPv6"
      ? `[${socket.remoteAddress}]:${socket.remotePort}`
      : `${socket.remoteAddress}:${socket.remotePort}`;
  }

  get peerIdentity(): string | null {
    return peerIdentityOf(this.stream.session?.socket);
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#cause !== null) this.#controller.abort(this.#cause);
    }
    return this.#controller.signal;
  }

  get responseHeaders(): Metadata {
    this.#responseHeaders ??= newMetadata();
    return this.#responseHeaders;
  }

  get responseTrailers(): Metadata {
    this.#responseTrailers ??= newMetadata();
    return this.#responseTrailers;
  }

  /** Sends the response headers unless they are out. */
  sendHeaders(): void {
    if (this.done || this.stream.headersSent || this.stream.destroyed) return;
    this.stream.on("wantTrailers", () => this.#sendTrailers());
    // A flat array spares node:http2 the work on an object.
    if (this.#responseHeaders === null) this.stream.respond([":status", "200", "content-type", "application/grpc"], withTrailers);
    else this.stream.respond(this.#headers(200), withTrailers);
  }

  /** Sends one message of a stream; false when the transport wants a pause. */
  send(frame: Buffer): boolean {
    this.sendHeaders();
    return this.done || this.stream.write(frame);
  }

  /** Ends the call with OK, after `frame` when there is one. */
  succeed(frame: Buffer | null): void {
    if (!this.beginSuccess()) return;
    if (frame === null) this.stream.end();
    else this.stream.end(frame);
  }

  /** The same but for ending the stream, which is the caller's next step; false when the call had ended before. */
  beginSuccess(): boolean {
    if (this.done) return false;
    this.sendHeaders();
    this.#end(null);
    return true;
  }

  /** Ends the call with the status of `error`. */
  fail(error: unknown): void {
    if (this.done) return;
    const status = this.#statusOf(error);
    this.#end(status);
    if (this.stream.headersSent) this.stream.end();
    else this.#respondTrailersOnly(200);
    this.#cancel(status);
  }

  /** Ends a call that is no proper gRPC request: HTTP-level status beside the gRPC status. */
  refuse(httpStatus: number, status: GrpcStatusError): void {
    if (this.done) return;
    this.#end(status);
    this.#respondTrailersOnly(httpStatus);
    this.#cancel(status);
  }

  /** Sends response headers of another server as they are; `raw` has no pseudo-headers. The caller then writes to `stream`. */
  forwardHeaders(raw: readonly string[]): void {
    if (this.done || this.stream.headersSent || this.stream.destroyed) return;
    this.stream.on("wantTrailers", () => this.#sendTrailers());
    this.stream.respond([":status", "200", ...raw], withTrailers);
  }

  /** Ends the call with the trailers of another server, which carry `code`; without headers before, they are the whole reply. */
  forwardEnd(trailers: Headers, code: GrpcCode): void {
    if (this.done) return;
    this.#forwarded = trailers;
    this.#end(null, code);
    if (this.stream.headersSent) this.stream.end();
    else this.#respondTrailersOnly(200);
  }

  /** Until the caller's deadline, never negative; null when it gave none. */
  get remainingMs(): number | null {
    return this.#deadlineAtMs === null ? null : Math.max(0, this.#deadlineAtMs - this.#clock.monotonic());
  }

  startDeadline(timeoutMs: number): void {
    this.#deadlineAtMs = this.#clock.monotonic() + timeoutMs;
    this.#deadline = this.#clock.after(timeoutMs, () =>
      this.fail(new GrpcStatusError(GrpcCode.DEADLINE_EXCEEDED, "context deadline exceeded")),
    );
  }

  #statusOf(error: unknown): GrpcStatusError {
    if (error instanceof GrpcStatusError) return error;
    this.handlerError = error;
    return this.#toStatus(error);
  }

  #end(status: GrpcStatusError | null, code: GrpcCode = status === null ? GrpcCode.OK : status.code): void {
    this.done = true;
    this.#status = status;
    this.#deadline?.cancel();
    this.onDone?.(code);
  }

  #cancel(cause: GrpcStatusError): void {
    this.#cause = cause;
    this.#controller?.abort(cause);
    this.onCancel?.();
  }

  /** Leaves nothing of the call to whoever still holds it (see `letGo`). */
  #letGo(): void {
    letGo(this.stream);
    this.onCancel = null;
    this.onClosed = null;
    this.onDone = null;
    this.#metadata = null;
    this.#controller = null;
  }

  #headers(httpStatus: number): Headers {
    const headers: Headers = { ":status": String(httpStatus), "content-type": "application/grpc" };
    if (this.#responseHeaders !== null) writeMetadata(this.#responseHeaders, headers);
    return headers;
  }

  #trailers(): Headers {
    if (this.#forwarded !== null) return this.#forwarded;
    const trailers: Headers = {};
    if (this.#responseTrailers !== null) writeMetadata(this.#responseTrailers, trailers);
    if (this.#status !== null) writeMetadata(this.#status.metadata, trailers);
    writeStatus(this.#status, trailers);
    return trailers;
  }

  #sendTrailers(): void {
    this.stream.sendTrailers(this.#trailers());
    this.#stopSender();
  }

  #respondTrailersOnly(httpStatus: number): void {
    if (this.stream.destroyed || this.stream.closed) return;
    this.stream.respond(Object.assign(this.#headers(httpStatus), this.#trailers()), withoutBody);
    this.#stopSender();
  }

  /** Invariant 3. Reads on, so that flow control of the connection does not suffer from what is under way. */
  #stopSender(): void {
    if (this.stream.readableEnded) return;
    this.stream.resume();
    // A reset in the same turn overtakes the headers that carry the status: the caller would see a call that just ended.
    setImmediate(() => {
      if (!this.stream.readableEnded && !this.stream.destroyed) this.stream.close(constants.NGHTTP2_NO_ERROR);
    });
  }

  #left(): void {
    if (this.done) return;
    const cause = new GrpcStatusError(GrpcCode.CANCELLED, "context canceled");
    this.#end(cause);
    this.#cancel(cause);
  }
}

function ignore(): void {}
