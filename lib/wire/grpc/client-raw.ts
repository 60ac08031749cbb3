// A client call in encoded messages, usable at once while the connection may still be on its way. What is sent before it
// is there waits here; there is one such caller, which stops after the first message (see `send`).
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { Clock, Timer } from "../../kit/clock.ts";
import { Attempt, type AttemptEvents } from "./client-call.ts";
import type { ClientSession } from "./client-session.ts";
import { attemptsMax, connectionBroke, deadlineExceeded, openOn, statusOfAbort } from "./client-unary.ts";
import { drained, endWithFrame, writeFrame } from "./drained.ts";
import type { PartTaker } from "./framing.ts";
import { GrpcCode, GrpcStatusError, type Metadata, type RawClientReceiver, type RawClientStream } from "./types.ts";

export interface RawPlan {
  readonly acquire: () => ClientSession | Promise<ClientSession>;
  readonly headers: OutgoingHttpHeaders;
  readonly maxReceiveBytes: number;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
}

interface Held {
  readonly frame: Buffer;
  readonly tail: Uint8Array | null;
}

export class RawCall implements RawClientStream, AttemptEvents {
  readonly onHeaders = null;
  readonly parts: PartTaker | null;
  readonly #plan: RawPlan;
  readonly #receiver: RawClientReceiver;
  #stream: ClientHttp2Stream | null = null;
  #attempt: Attempt | null = null;
  #held: Held[] = [];
  #endHeld = false;
  #opened: PromiseWithResolvers<void> | null = null;
  #over = false;
  #deadline: Timer | null = null;

  /** Calls the receiver no sooner than after this turn's microtasks. */
  constructor(plan: RawPlan, receiver: RawClientReceiver) {
    this.#plan = plan;
    this.#receiver = receiver;
    this.parts = receiver.parts;
    const { signal, timeoutMs, clock } = plan;
    if (signal?.aborted) {
      queueMicrotask(() => this.#conclude(statusOfAbort(signal)));
      return;
    }
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (timeoutMs !== undefined) this.#deadline = clock.after(timeoutMs, () => this.cancel(deadlineExceeded()));
    this.#open(1);
  }

  send(frame: Buffer, tail: Uint8Array | null): boolean {
    if (this.#over) return true;
    if (this.#stream !== null) return writeFrame(this.#stream, frame, tail);
    this.#held.push({ frame, tail });
    return false;
  }

  end(frame: Buffer | null, tail: Uint8Array | null): void {
    if (this.#over) return;
    if (this.#stream !== null) {
      endWithFrame(this.#stream, frame, tail);
      return;
    }
    if (frame !== null) this.#held.push({ frame, tail });
    this.#endHeld = true;
  }

  get over(): boolean {
    return this.#over;
  }

  drained(): Promise<void> {
    if (this.#over) return Promise.resolve();
    if (this.#stream !== null) return drained(this.#stream);
    this.#opened ??= Promise.withResolvers();
    return this.#opened.promise;
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  cancel(status: GrpcStatusError = new GrpcStatusError(GrpcCode.CANCELLED, "context canceled")): void {
    if (this.#attempt !== null) this.#attempt.cancel(status);
    else this.#conclude(status);
  }

  onMessage(bytes: Uint8Array): void {
    this.#receiver.onMessage(bytes);
  }

  onEnd(status: GrpcStatusError | null, _trailers: Metadata): void {
    this.#conclude(status);
  }

  readonly #onAbort = (): void => {
    if (this.#plan.signal !== undefined) this.cancel(statusOfAbort(this.#plan.signal));
  };

  #open(attempt: number): void {
    const session = this.#plan.acquire();
    if (session instanceof Promise) {
      session.then(
        (opened) => this.#run(opened, attempt),
        (error) => this.#conclude(error),
      );
    } else this.#run(session, attempt);
  }

  #run(session: ClientSession, attempt: number): void {
    if (this.#over) {
      session.release();
      return;
    }
    const stream = openOn(session, this.#plan.headers);
    if (stream === null) {
      if (attempt < attemptsMax) this.#open(attempt + 1);
      else queueMicrotask(() => this.#conclude(connectionBroke()));
      return;
    }
    this.#attempt = new Attempt(stream, this.#plan.maxReceiveBytes, this);
    this.#stream = stream;
    for (const { frame, tail } of this.#held) writeFrame(stream, frame, tail);
    this.#held = [];
    if (this.#endHeld) stream.end();
    this.#opened?.resolve();
  }

  #conclude(status: GrpcStatusError | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadline?.cancel();
    this.#plan.signal?.removeEventListener("abort", this.#onAbort);
    this.#opened?.resolve();
    this.#receiver.onEnd(status);
  }
}
