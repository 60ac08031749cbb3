// One unary call of a client: deadline, cancellation and the further attempts that are safe.
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { Clock, Timer } from "../../kit/clock.ts";
import { Attempt } from "./client-call.ts";
import type { ClientSession } from "./client-session.ts";
import { GrpcCode, GrpcStatusError, type Metadata, newMetadata } from "./types.ts";

/** Each further one only when the server certainly did not see the one before. */
export const attemptsMax = 3;

export interface UnaryPlan {
  /** A connection with room for a call: at once where there is one. */
  readonly acquire: () => ClientSession | Promise<ClientSession>;
  readonly headers: OutgoingHttpHeaders;
  readonly frame: Buffer;
  readonly maxReceiveBytes: number;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  readonly resolve: (bytes: Uint8Array, headers: Metadata, trailers: Metadata) => void;
  readonly reject: (error: unknown) => void;
}

export class UnaryCall {
  readonly #plan: UnaryPlan;
  #attempt: Attempt | null = null;
  #attempts = 0;
  #over = false;
  #deadline: Timer | null = null;
  #headers: Metadata | null = null;
  #message: Uint8Array | null = null;

  constructor(plan: UnaryPlan) {
    this.#plan = plan;
  }

  start(): void {
    const { signal, timeoutMs, clock } = this.#plan;
    if (signal?.aborted) {
      this.#plan.reject(statusOfAbort(signal));
      return;
    }
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (timeoutMs !== undefined) this.#deadline = clock.after(timeoutMs, () => this.#stop(deadlineExceeded()));
    this.#try();
  }

  #try(): void {
    this.#attempts++;
    const session = this.#plan.acquire();
    if (session instanceof Promise) {
      session.then(
        (opened) => this.#run(opened),
        (error) => this.#fail(error),
      );
    } else {
      this.#run(session);
    }
  }

  #run(session: ClientSession): void {
    if (this.#over) {
      session.release();
      return;
    }
    const stream = openOn(session, this.#plan.headers);
    if (stream === null) {
      this.onEnd(connectionBroke(), newMetadata(), true);
      return;
    }
    this.#attempt = new Attempt(stream, this.#plan.maxReceiveBytes, this);
    stream.end(this.#plan.frame);
  }

  onHeaders(headers: Metadata): void {
    this.#headers = headers;
  }

  onMessage(bytes: Uint8Array): void {
    if (this.#message !== null) {
      throw new GrpcStatusError(
        GrpcCode.INTERNAL,
        "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message",
      );
    }
    this.#message = bytes;
  }

  onEnd(status: GrpcStatusError | null, trailers: Metadata, unprocessed: boolean): void {
    if (this.#over) return;
    if (unprocessed && this.#attempts < attemptsMax) {
      this.#try();
      return;
    }
    if (status !== null) {
      this.#fail(status);
      return;
    }
    if (this.#message === null) {
      this.#fail(
        new GrpcStatusError(GrpcCode.INTERNAL, "cardinality violation: received no response message from non-server-streaming RPC"),
      );
      return;
    }
    this.#settle();
    this.#plan.resolve(this.#message, this.#headers ?? newMetadata(), trailers);
  }

  readonly #onAbort = (): void => {
    const { signal } = this.#plan;
    if (signal !== undefined) this.#stop(statusOfAbort(signal));
  };

  #stop(status: GrpcStatusError): void {
    if (this.#over) return;
    this.#fail(status);
    this.#attempt?.cancel(status);
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#settle();
    this.#plan.reject(error);
  }

  #settle(): void {
    this.#over = true;
    this.#deadline?.cancel();
    this.#plan.signal?.removeEventListener("abort", this.#onAbort);
  }
}

/** A stream for a call, or null when the session broke in the meantime. */
export function openOn(session: ClientSession, headers: OutgoingHttpHeaders | readonly string[]): ClientHttp2Stream | null {
  try {
    return session.open(headers);
  } catch {
    session.release();
    return null;
  }
}

export function connectionBroke(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.UNAVAILABLE, "error reading from server: the connection broke before the call was sent");
}

export function deadlineExceeded(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.DEADLINE_EXCEEDED, "context deadline exceeded");
}

/** The signal's own status when it was aborted with one; DEADLINE_EXCEEDED for AbortSignal.timeout; otherwise CANCELLED. */
export function statusOfAbort(signal: AbortSignal): GrpcStatusError {
  if (signal.reason instanceof GrpcStatusError) return signal.reason;
  if ((signal.reason as Error | undefined)?.name === "TimeoutError") return deadlineExceeded();
  return new GrpcStatusError(GrpcCode.CANCELLED, "context canceled");
}
