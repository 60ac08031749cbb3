// A received call on its way to another server, its bytes untouched: request and response are pumped with backpressure
// on both sides. Invariants: 1. nothing of the response is sent before the other server has answered, so that an attempt
// it did not see can be made again; 2. request bytes are kept for that until it has answered, up to a limit; 3. when the
// received call ends first (cancelled, deadline), the attempt is cancelled at once.
import type { ClientHttp2Stream, ServerHttp2Stream } from "node:http2";
import { isHopByHop } from "../http/headers.ts";
import { FrameScanner } from "./frame-scanner.ts";
import { RawCall, type RawEnd } from "./raw-call.ts";
import type { ServerCall } from "./server-call.ts";
import { GrpcCode, GrpcStatusError } from "./types.ts";

/** Request bytes that are remembered until the other server answers. */
const replayMaxBytes = 256 * 1024;

/** Why the caller has no answer yet. */
export interface Unanswered {
  readonly status: GrpcStatusError;
  /** The call can be made again: the server did not see it, and its bytes are all here. */
  readonly replayable: boolean;
}

export class ForwardedCall {
  readonly call: ServerCall;
  readonly #request: RequestBytes;
  readonly #responses: FrameScanner;
  #attempt: RawCall | null = null;

  /** `maxMessageBytes` is of one message on the wire, in either direction. */
  constructor(call: ServerCall, maxMessageBytes: number) {
    this.call = call;
    this.#request = new RequestBytes(call.stream, maxMessageBytes, (length) => this.#refuse(length, maxMessageBytes));
    this.#responses = new FrameScanner(maxMessageBytes);
    call.stream.on("drain", () => this.#attempt?.stream.resume());
    call.onCancel = () => this.#attempt?.cancel(gone());
  }

  /** Whether the caller has its answer, or has left. */
  get over(): boolean {
    return this.call.done;
  }

  /** Resolves with null when the caller has its answer, or has left. */
  run(stream: ClientHttp2Stream): Promise<Unanswered | null> {
    return new Promise((resolve) => {
      const attempt = new RawCall(stream, {
        onHeaders: (headers) => {
          this.#request.forget();
          this.call.forwardHeaders(endToEnd(headers));
        },
        onData: (chunk) => this.#respond(attempt, chunk),
        onEnd: (end) => {
          this.#request.detach();
          resolve(this.#conclude(end));
        },
      });
      this.#attempt = attempt;
      this.#request.attach(stream);
    });
  }

  #respond(attempt: RawCall, chunk: Buffer): void {
    if (this.call.done) return;
    const oversizeAt = this.#responses.scan(chunk);
    const within = oversizeAt < 0 ? chunk : chunk.subarray(0, oversizeAt);
    if (within.length > 0 && !this.call.stream.write(within)) attempt.stream.pause();
    if (oversizeAt >= 0) this.call.fail(tooLarge(this.#responses.oversizeBytes, this.#responses.maxBytes));
  }

  #refuse(lengthBytes: number, maxMessageBytes: number): void {
    this.call.fail(tooLarge(lengthBytes, maxMessageBytes));
  }

  #conclude(end: RawEnd): Unanswered | null {
    if (this.call.done) return null;
    if ("status" in end) return { status: end.status, replayable: end.unprocessed && this.#request.replayable };
    this.call.forwardEnd(trailersOf(end.trailers), end.code);
    return null;
  }
}

/** The request of one call across its attempts. */
class RequestBytes {
  readonly #source: ServerHttp2Stream;
  readonly #scanner: FrameScanner;
  readonly #onOversize: (lengthBytes: number) => void;
  #kept: Buffer[] | null = [];
  #keptBytes = 0;
  #sink: ClientHttp2Stream | null = null;
  #started = false;
  #ended = false;

  constructor(source: ServerHttp2Stream, maxMessageBytes: number, onOversize: (lengthBytes: number) => void) {
    this.#source = source;
    this.#scanner = new FrameScanner(maxMessageBytes);
    this.#onOversize = onOversize;
    // From the beginning: an empty request may end while the connection onward is still being dialled.
    source.on("end", () => {
      this.#ended = true;
      this.#sink?.end();
    });
  }

  get replayable(): boolean {
    return this.#kept !== null;
  }

  attach(sink: ClientHttp2Stream): void {
    this.#sink = sink;
    for (const chunk of this.#kept ?? []) sink.write(chunk);
    if (this.#ended) sink.end();
    sink.on("drain", () => {
      if (this.#sink === sink) this.#source.resume();
    });
    if (this.#started) this.#source.resume();
    else this.#start();
  }

  detach(): void {
    this.#sink = null;
    // After the end of the call whoever ended it reads on, for the sake of the connection's flow control.
    if (!this.#ended && this.#kept !== null) this.#source.pause();
  }

  /** The other server has the call: what is kept will not be sent again. */
  forget(): void {
    this.#kept = null;
  }

  #start(): void {
    this.#started = true;
    this.#source.on("data", (chunk: Buffer) => this.#pass(chunk));
  }

  #pass(chunk: Buffer): void {
    const sink = this.#sink;
    if (sink === null) return;
    if (this.#scanner.scan(chunk) >= 0) {
      this.#onOversize(this.#scanner.oversizeBytes);
      return;
    }
    if (this.#kept !== null) this.#keep(chunk, this.#kept);
    if (!sink.destroyed && !sink.write(chunk)) this.#source.pause();
  }

  #keep(chunk: Buffer, kept: Buffer[]): void {
    this.#keptBytes += chunk.length;
    if (this.#keptBytes > replayMaxBytes) this.#kept = null;
    else kept.push(chunk);
  }
}

/** Headers that are the message's, not the connection's; names and values alternating. */
export function endToEnd(raw: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] as string;
    if (name.charCodeAt(0) !== 0x3a && !isHopByHop(name)) kept.push(name, raw[at + 1] as string);
  }
  return kept;
}

/** node:http2 takes trailers as an object only. */
function trailersOf(raw: readonly string[]): Record<string, string | string[]> {
  const trailers = Object.create(null) as Record<string, string | string[]>;
  const kept = endToEnd(raw);
  for (let at = 0; at < kept.length; at += 2) {
    const name = kept[at] as string;
    const value = kept[at + 1] as string;
    const present = trailers[name];
    if (present === undefined) trailers[name] = value;
    else if (typeof present === "string") trailers[name] = [present, value];
    else present.push(value);
  }
  return trailers;
}

function tooLarge(lengthBytes: number, maxBytes: number): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.RESOURCE_EXHAUSTED, `grpc: received message larger than max (${lengthBytes} vs. ${maxBytes})`);
}

function gone(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.CANCELLED, "context canceled");
}
