// One attempt of a client call on one stream: frames out, headers, messages and a final status in. It knows nothing of
// messages' types; client.ts and client-stream.ts put those around it.
import { type ClientHttp2Stream, constants, type Http2Session, type IncomingHttpHeaders } from "node:http2";
import { letGo } from "./drained.ts";
import { compressionOf, FrameDecoder, type PartTaker } from "./framing.ts";
import { metadataFromHeaders, metadataFromRaw } from "./metadata.ts";
import { grpcCodeOfForeignReply, readStatus, statusOfReset } from "./status.ts";
import { GrpcCode, GrpcStatusError, type Metadata, newMetadata } from "./types.ts";

export interface AttemptEvents {
  /** Response headers; not called for a reply that consists of a status alone. Null: nobody wants them. */
  readonly onHeaders: ((headers: Metadata) => void) | null;
  /** For long messages; none: all come by `onMessage`. */
  readonly parts?: PartTaker | null;
  /** A throw ends the call with that status. */
  onMessage(bytes: Uint8Array): void;
  /** Called exactly once, last. `unprocessed`: the server certainly did not see the call, so it may be tried again. */
  onEnd(status: GrpcStatusError | null, trailers: Metadata, unprocessed: boolean): void;
}

export class Attempt {
  readonly stream: ClientHttp2Stream;
  readonly #events: AttemptEvents;
  readonly #decoder: FrameDecoder;
  /** Kept here because a closed stream no longer knows it. */
  readonly #session: Http2Session | undefined;
  #ended = false;
  #answered = false;
  #unsent = false;
  /** The status of the trailers (null is OK); undefined until they are here. */
  #status: GrpcStatusError | null | undefined = undefined;
  #trailers: Metadata | null = null;
  #failure: NodeJS.ErrnoException | null = null;

  constructor(stream: ClientHttp2Stream, maxReceiveBytes: number, events: AttemptEvents) {
    this.stream = stream;
    this.#session = stream.session;
    this.#events = events;
    this.#decoder = new FrameDecoder(maxReceiveBytes, "identity", events.parts ?? null);
    stream.on("response", (headers, _flags, rawHeaders) => this.#response(headers, rawHeaders));
    stream.on("data", (chunk: Buffer) => this.#data(chunk));
    stream.on("trailers", (headers) => this.#final(headers));
    stream.on("end", () => this.#inputEnded());
    stream.on("error", (error) => {
      this.#failure = error;
    });
    stream.on("frameError", (_type, code) => this.#unframed(code));
    stream.on("close", () => {
      this.#closed();
      letGo(stream);
    });
  }

  readonly #emit = (message: Uint8Array): void => {
    if (!this.#ended) this.#events.onMessage(message);
  };

  get ended(): boolean {
    return this.#ended;
  }

  /** Ends the call from this side, with `status` towards the caller. */
  cancel(status: GrpcStatusError): void {
    if (this.#ended) return;
    // close() first ends the request side: the server would take half a request for a whole one and then see the reset.
    if (!this.stream.writableEnded) this.stream.end = () => this.stream;
    this.stream.close(constants.NGHTTP2_CANCEL);
    this.stream.resume();
    this.#end(status, newMetadata(), false);
  }

  /** node:http2 could not put the request into frames; the reset that follows says nothing more. */
  #unframed(code: number): void {
    if (code === constants.NGHTTP2_FRAME_SIZE_ERROR) this.cancel(headersTooLarge());
    else this.#unsent = true;
  }

  #response(headers: IncomingHttpHeaders, rawHeaders: readonly string[] | undefined): void {
    this.#answered = true;
    if (this.#ended) return;
    const status = Number(headers[":status"]);
    const contentType = headers["content-type"] ?? "";
    if (headers["grpc-status"] !== undefined) {
      this.#final(headers);
      return;
    }
    if (status !== 200 || !contentType.startsWith("application/grpc")) {
      this.cancel(foreignReply(status, contentType));
      return;
    }
    const compression = compressionOf(headers["grpc-encoding"]?.toString());
    if (compression === null) {
      const encoding = JSON.stringify(headers["grpc-encoding"]);
      this.cancel(new GrpcStatusError(GrpcCode.INTERNAL, `grpc: Decompressor is not installed for grpc-encoding ${encoding}`));
      return;
    }
    this.#decoder.compression = compression;
    this.#events.onHeaders?.(rawHeaders === undefined ? metadataFromHeaders(headers) : metadataFromRaw(rawHeaders));
  }

  #data(chunk: Buffer): void {
    if (this.#ended) return;
    try {
      this.#decoder.push(chunk, this.#emit);
    } catch (error) {
      this.cancel(error as GrpcStatusError);
    }
  }

  #final(headers: IncomingHttpHeaders): void {
    const metadata = metadataFromHeaders(headers);
    this.#status = readStatus(headers, () => metadata);
    this.#trailers = metadata;
  }

  /** The server has said everything; waiting for "close" as well would cost a turn of the loop. */
  #inputEnded(): void {
    if (this.#ended || this.#status === undefined) return;
    this.#conclude(this.#status);
  }

  #closed(): void {
    if (this.#ended) return;
    if (this.#status !== undefined) {
      this.#conclude(this.#status);
      return;
    }
    const rstCode = this.stream.rstCode;
    const unsent = this.#unsent || this.stream.id === undefined;
    const refused = rstCode === constants.NGHTTP2_REFUSED_STREAM;
    const status = this.#unsent ? connectionClosing() : statusOfLoss(this.#failure, rstCode, this.#session);
    this.#end(status, newMetadata(), !this.#answered && (unsent || refused));
  }

  #conclude(status: GrpcStatusError | null): void {
    let final = status;
    try {
      if (final === null) this.#decoder.end();
    } catch (error) {
      final = error as GrpcStatusError;
    }
    if (!this.stream.writableEnded) this.stream.close(constants.NGHTTP2_CANCEL);
    this.#end(final, this.#trailers ?? newMetadata(), false);
  }

  #end(status: GrpcStatusError | null, trailers: Metadata, unprocessed: boolean): void {
    this.#ended = true;
    this.#events.onEnd(status, trailers, unprocessed);
  }
}

/** The status of a call whose stream closed without one. */
export function statusOfLoss(failure: NodeJS.ErrnoException | null, rstCode: number, session: Http2Session | undefined): GrpcStatusError {
  const refused = rstCode === constants.NGHTTP2_REFUSED_STREAM;
  const reset = failure?.code === "ERR_HTTP2_STREAM_ERROR" || refused || (failure === null && rstCode !== constants.NGHTTP2_NO_ERROR);
  const connectionLost = session === undefined || session.destroyed;
  if (reset && (refused || !connectionLost)) return statusOfReset(rstCode);
  if (failure === null && !connectionLost)
    return new GrpcStatusError(GrpcCode.INTERNAL, "server closed the stream without sending trailers");
  return new GrpcStatusError(GrpcCode.UNAVAILABLE, `error reading from server: ${failure?.message ?? "EOF"}`);
}

function connectionClosing(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.UNAVAILABLE, "the connection was closing before the request could be sent");
}

export function headersTooLarge(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.RESOURCE_EXHAUSTED, "the call's metadata is larger than the 64 KiB that can be sent");
}

/** The status of a reply that is not gRPC. */
export function foreignReply(status: number, contentType: string): GrpcStatusError {
  const reasons = [];
  if (status !== 200) reasons.push(`unexpected HTTP status code received from server: ${status}`);
  if (!contentType.startsWith("application/grpc"))
    reasons.push(`transport: received unexpected content-type ${JSON.stringify(contentType)}`);
  return new GrpcStatusError(grpcCodeOfForeignReply(status), reasons.join("; "));
}
