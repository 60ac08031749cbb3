// A received call on its way to another server, its bytes untouched: request and response are pumped with backpressure
// on both sides. Invariants: 1. nothing of the response is sent before the other server has answered, so that an attempt
// it did not see can be made again; 2. request bytes are kept for that until it has answered, up to a limit; 3. when the
// received call ends first (cancelled, deadline), the attempt is cancelled at once; 4. with `holdsFailures` an answer that is
// a failure and nothing else is held back too, so that whoever asked for it may try again.
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
  /** The server's own answer, held back: sends it to the caller. */
  readonly deliver?: () => void;
}

export class ForwardedCall {
  readonly call: ServerCall;
  readonly #request: RequestBytes;
  readonly #responses: FrameScanner;
  readonly #holdsFailures: boolean;
  #attempt: RawCall | null = null;
  /** Response headers that are not sent yet. */
  #held: string[] | null = null;
  #abandoned = false;
  /** Called when the other server has been sent the call, before it answers. */
  onOpened: (() => void) | null = null;

  /** `maxMessageBytes` is of one message on the wire, in either direction. */
  constructor(call: ServerCall, maxMessageBytes: number, holdsFailures = false) {
    this.call = call;
    this.#holdsFailures = holdsFailures;
    this.#request = new RequestBytes(call.stream, maxMessageBytes, (length) => this.#refuse(length, maxMessageBytes));
    this.#responses = new FrameScanner(maxMessageBytes);
    call.stream.on("drain", () => this.#attempt?.stream.resume());
    call.onCancel = () => this.#attempt?.cancel(gone());
  }

  /** Whether the caller has its answer, or has left; no attempt is to begin then, nor after `abandon`. */
  get over(): boolean {
    return this.call.done || this.#abandoned;
  }

  /** Whether another attempt would send the same, and the caller has nothing of an answer yet. */
  get repeatable(): boolean {
    return this.#request.replayable && !this.call.done;
  }

  /** Ends the attempt that runs or is about to; `revive` allows the next. */
  abandon(status: GrpcStatusError): void {
    this.#abandoned = true;
    this.#attempt?.cancel(status);
  }

  revive(): void {
    this.#abandoned = false;
  }

  /** Resolves with null when the caller has its answer, or has left. */
  run(stream: ClientHttp2Stream): Promise<Unanswered | null> {
    return new Promise((resolve) => {
      const attempt = new RawCall(stream, {
        onHeaders: (headers) => {
          this.#held = endToEnd(headers);
          if (!this.#holdsFailures) this.#release();
        },
        onData: (chunk) => this.#respond(attempt, chunk),
        onEnd: (end) => {
          this.#request.detach();
          resolve(this.#conclude(end));
        },
      });
      this.#attempt = attempt;
      this.#held = null;
      if (this.onOpened !== null) opened(stream, this.onOpened);
      this.#request.attach(stream);
    });
  }

  #release(): void {
    const headers = this.#held;
    if (headers === null) return;
    this.#held = null;
    this.#request.forget();
    this.call.forwardHeaders(headers);
  }

  #respond(attempt: RawCall, chunk: Buffer): void {
    if (this.call.done) return;
    this.#release();
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
    const { trailers, code } = end;
    const deliver = () => {
      this.#release();
      this.call.forwardEnd(trailersOf(trailers), code);
    };
    if (this.#holdsFailures && code !== GrpcCode.OK) {
      const status = new GrpcStatusError(codeIn(trailers) as GrpcCode, "the app answered with a failure");
      return { status, replayable: false, deliver };
    }
    deliver();
    return null;
  }
}

/** Calls back once the request is on its way: a stream has no number before. */
function opened(stream: ClientHttp2Stream, onOpened: () => void): void {
  if (stream.pending) stream.once("ready", onOpened);
  else onOpened();
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

/** The code as the server wrote it, which need not be one that gRPC knows. */
function codeIn(trailers: readonly string[]): number {
  const at = trailers.findIndex((text, index) => index % 2 === 0 && text === "grpc-status");
  return Number(trailers[at + 1]);
}

function tooLarge(lengthBytes: number, maxBytes: number): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.RESOURCE_EXHAUSTED, `grpc: received message larger than max (${lengthBytes} vs. ${maxBytes})`);
}

function gone(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.CANCELLED, "context canceled");
}
