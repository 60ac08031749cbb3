// A streaming client call as its caller holds it: usable at once, while the connection may still be on its way.
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { Clock, Timer } from "../../kit/clock.ts";
import { Attempt } from "./client-call.ts";
import type { ClientSession } from "./client-session.ts";
import { attemptsMax, connectionBroke, deadlineExceeded, openOn, statusOfAbort } from "./client-unary.ts";
import { drained } from "./drained.ts";
import { encodeFrame } from "./framing.ts";
import { MessageQueue } from "./message-queue.ts";
import { type ClientStream, GrpcCode, GrpcStatusError, type Metadata, newMetadata } from "./types.ts";

export interface StreamCodec {
  readonly encode: (message: unknown) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

export interface StreamPlan {
  readonly acquire: () => ClientSession | Promise<ClientSession>;
  readonly headers: OutgoingHttpHeaders;
  readonly codec: StreamCodec;
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
}

export class StreamingCall implements ClientStream<unknown, unknown> {
  readonly headers: Promise<Metadata>;
  readonly trailers: Promise<Metadata>;
  readonly messages: MessageQueue<unknown>;

  readonly #plan: StreamPlan;
  readonly #stream: Promise<ClientHttp2Stream>;
  #attempt: Attempt | null = null;
  #status: GrpcStatusError | null = null;
  #over = false;
  #deadline: Timer | null = null;
  readonly #headers = Promise.withResolvers<Metadata>();
  readonly #trailers = Promise.withResolvers<Metadata>();

  constructor(plan: StreamPlan) {
    this.#plan = plan;
    this.headers = this.#headers.promise;
    this.trailers = this.#trailers.promise;
    // Callers may look at neither; a failed call is told through `messages`.
    this.headers.catch(ignore);
    this.trailers.catch(ignore);
    this.messages = new MessageQueue({
      pause: () => this.#attempt?.stream.pause(),
      resume: () => this.#attempt?.stream.resume(),
      cancel: () => this.cancel(),
    });
    this.#watch();
    this.#stream = this.#open();
    this.#stream.catch((error) => this.#end(error, newMetadata()));
  }

  async write(message: unknown): Promise<void> {
    const frame = encodeFrame(this.#plan.codec.encode(message), this.#plan.maxSendBytes);
    const stream = await this.#stream;
    if (this.#over) throw this.#status ?? ended();
    if (!stream.write(frame)) await drained(stream);
    if (this.#over && this.#status !== null) throw this.#status;
  }

  end(): void {
    this.#stream.then((stream) => stream.end(), ignore);
  }

  cancel(reason?: unknown): void {
    const status = reason instanceof GrpcStatusError ? reason : new GrpcStatusError(GrpcCode.CANCELLED, "context canceled");
    if (this.#attempt !== null) this.#attempt.cancel(status);
    else this.#end(status, newMetadata());
  }

  #watch(): void {
    const { signal, timeoutMs, clock } = this.#plan;
    if (signal?.aborted) {
      this.#end(statusOfAbort(signal), newMetadata());
      return;
    }
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (timeoutMs !== undefined) this.#deadline = clock.after(timeoutMs, () => this.cancel(deadlineExceeded()));
  }

  readonly #onAbort = (): void => {
    if (this.#plan.signal !== undefined) this.cancel(statusOfAbort(this.#plan.signal));
  };

  async #acquire(): Promise<ClientHttp2Stream> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      if (this.#over) break;
      const acquired = this.#plan.acquire();
      const session = acquired instanceof Promise ? await acquired : acquired;
      const stream = openOn(session, this.#plan.headers);
      if (stream !== null) return stream;
    }
    throw this.#status ?? connectionBroke();
  }

  async #open(): Promise<ClientHttp2Stream> {
    const stream = await this.#acquire();
    this.#attempt = new Attempt(stream, this.#plan.maxReceiveBytes, {
      onHeaders: (headers) => this.#headers.resolve(headers),
      onMessage: (bytes) => this.messages.push(decodeReply(this.#plan.codec, bytes)),
      onEnd: (status, trailers) => this.#end(status, trailers),
    });
    if (this.#over) this.#attempt.cancel(this.#status ?? ended());
    return stream;
  }

  #end(status: GrpcStatusError | null, trailers: Metadata): void {
    if (this.#over) return;
    this.#over = true;
    this.#status = status;
    this.#deadline?.cancel();
    this.#plan.signal?.removeEventListener("abort", this.#onAbort);
    if (status === null) {
      this.#headers.resolve(newMetadata());
      this.messages.end();
      this.#trailers.resolve(trailers);
    } else {
      this.#headers.reject(status);
      this.messages.fail(status);
      this.#trailers.reject(status);
    }
  }
}

export function decodeReply(codec: StreamCodec, bytes: Uint8Array): unknown {
  try {
    return codec.decode(bytes);
  } catch (error) {
    throw new GrpcStatusError(GrpcCode.INTERNAL, `grpc: failed to unmarshal the received message: ${(error as Error).message}`);
  }
}

function ended(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.INTERNAL, "the call has ended; nothing can be sent on it");
}

function ignore(): void {}
