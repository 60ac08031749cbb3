// One attempt of a call whose messages nobody here reads: bytes out, headers, bytes and raw trailers in. What is made of
// them is forward.ts's business. Invariant: `onEnd` is called exactly once, last.
import { type ClientHttp2Stream, constants, type Http2Session, type IncomingHttpHeaders } from "node:http2";
import { foreignReply, headersTooLarge, statusOfLoss } from "./client-call.ts";
import { readStatus } from "./status.ts";
import { GrpcCode, type GrpcStatusError, newMetadata } from "./types.ts";

/** How a call ended: with the server's trailers, names and values alternating, or without any. */
export type RawEnd =
  | { readonly trailers: readonly string[]; readonly code: GrpcCode }
  | {
      readonly status: GrpcStatusError;
      /** The server certainly did not see the call, so it may be tried again. */
      readonly unprocessed: boolean;
    };

export interface RawCallEvents {
  /** Response headers, names and values alternating; not called for a reply that consists of a status alone. */
  onHeaders(rawHeaders: readonly string[]): void;
  onData(chunk: Buffer): void;
  onEnd(end: RawEnd): void;
}

export class RawCall {
  readonly stream: ClientHttp2Stream;
  readonly #events: RawCallEvents;
  /** Kept here because a closed stream no longer knows it. */
  readonly #session: Http2Session | undefined;
  #ended = false;
  #answered = false;
  #final: { readonly trailers: readonly string[]; readonly code: GrpcCode } | null = null;
  #failure: NodeJS.ErrnoException | null = null;

  constructor(stream: ClientHttp2Stream, events: RawCallEvents) {
    this.stream = stream;
    this.#session = stream.session;
    this.#events = events;
    stream.on("response", (headers, _flags, rawHeaders) => this.#response(headers, rawHeaders ?? []));
    stream.on("data", (chunk: Buffer) => {
      if (!this.#ended) this.#events.onData(chunk);
    });
    // The types leave out the raw trailers that node:http2 passes last.
    stream.on("trailers", (headers, ...rest: unknown[]) => this.#keepFinal(headers, (rest[1] as string[] | undefined) ?? []));
    stream.on("end", () => {
      if (this.#final !== null) this.#conclude(this.#final);
    });
    stream.on("error", (error) => {
      this.#failure = error;
    });
    stream.on("frameError", () => this.cancel(headersTooLarge()));
    stream.on("close", () => this.#closed());
  }

  /** Ends the attempt from this side, with `status` towards `onEnd`. */
  cancel(status: GrpcStatusError): void {
    if (this.#ended) return;
    // close() first ends the request side: the server would take half a request for a whole one and then see the reset.
    if (!this.stream.writableEnded) this.stream.end = () => this.stream;
    this.stream.close(constants.NGHTTP2_CANCEL);
    this.stream.resume();
    this.#end({ status, unprocessed: false });
  }

  #response(headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
    this.#answered = true;
    if (this.#ended) return;
    if (headers["grpc-status"] !== undefined) {
      this.#keepFinal(headers, rawHeaders);
      return;
    }
    const status = Number(headers[":status"]);
    const contentType = headers["content-type"] ?? "";
    if (status !== 200 || !contentType.startsWith("application/grpc")) this.cancel(foreignReply(status, contentType));
    else this.#events.onHeaders(rawHeaders);
  }

  #keepFinal(headers: IncomingHttpHeaders, trailers: readonly string[]): void {
    const status = readStatus(headers, newMetadata);
    if (status !== undefined) this.#final = { trailers, code: status?.code ?? GrpcCode.OK };
  }

  #closed(): void {
    if (this.#ended) return;
    if (this.#final !== null) {
      this.#conclude(this.#final);
      return;
    }
    const rstCode = this.stream.rstCode;
    const unseen = this.stream.id === undefined || rstCode === constants.NGHTTP2_REFUSED_STREAM;
    this.#end({ status: statusOfLoss(this.#failure, rstCode, this.#session), unprocessed: unseen && !this.#answered });
  }

  #conclude(final: RawEnd): void {
    if (this.#ended) return;
    if (!this.stream.writableEnded) this.stream.close(constants.NGHTTP2_CANCEL);
    this.#end(final);
  }

  #end(end: RawEnd): void {
    this.#ended = true;
    this.#events.onEnd(end);
  }
}
