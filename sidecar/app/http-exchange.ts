// One HTTP exchange with the app, as undici's dispatch reports it. A response that is there at once, or is announced as
// small, is handed on as bytes; anything else becomes a stream whose slow reader stops the app's socket.
// Invariants: 1. `done` is called exactly once, when the app has no more to do for this call; after a failure that is
// after `reject`. 2. Once settled, no event changes the outcome. 3. A stream ends only after the last announced byte.
import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { streamBufferMaxBytes } from "../../lib/kit/limits.ts";

/** Responses announced up to this size are gathered: one write instead of a stream. */
export const gatherMaxBytes = 64 * 1024;

export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array | Readable;
}

const empty = Buffer.alloc(0);

export class HttpExchange implements Dispatcher.DispatchHandler {
  readonly #resolve: (response: RawResponse) => void;
  readonly #reject: (error: Error) => void;
  readonly #done: () => void;
  readonly #signal: AbortSignal;
  readonly #head: boolean;
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #headers: RawResponse["headers"] = {};
  #chunks: Buffer[] = [];
  #gather = false;
  #stream: ResponseStream | null = null;
  #settled = false;
  #finished = false;

  constructor(
    resolve: (response: RawResponse) => void,
    reject: (error: Error) => void,
    done: () => void,
    head: boolean,
    signal: AbortSignal,
  ) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#done = done;
    this.#head = head;
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Whether the app has begun to answer; if not, the request may be safe to send again. */
  get answered(): boolean {
    return this.#status !== 0;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal.aborted) controller.abort(asError(this.#signal.reason));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: RawResponse["headers"]): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
    const length = headers["content-length"];
    const bodiless = this.#head || status === 204 || status === 304;
    this.#gather = bodiless || (length !== undefined && Number(length) <= gatherMaxBytes);
    // What came in the same segment is parsed before this microtask runs: often that is the whole response.
    if (!this.#gather) queueMicrotask(this.#startStream);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stream === null) this.#chunks.push(chunk);
    else if (!this.#stream.push(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.#finish();
    if (this.#stream === null) this.#settle(joined(this.#chunks));
    else this.#stream.complete();
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#stream !== null) this.#stream.destroy(error);
    else if (this.#gather && this.#status !== 0 && isCutShort(error) && !this.#signal.aborted) this.#settle(joined(this.#chunks));
    else this.#fail(error);
    this.#finish();
  }

  readonly #startStream = (): void => {
    if (this.#settled) return;
    const controller = this.#controller as Dispatcher.DispatchController;
    const stream = new ResponseStream(controller, this.#finish);
    this.#stream = stream;
    for (const chunk of this.#chunks) if (!stream.push(chunk)) controller.pause();
    this.#chunks = [];
    this.#settle(stream);
  };

  readonly #onAbort = (): void => {
    const reason = asError(this.#signal.reason);
    if (this.#controller !== null) this.#controller.abort(reason);
    // Still queued for a connection: onRequestStart aborts it when its turn comes.
    else this.#fail(reason);
  };

  readonly #finish = (): void => {
    if (this.#finished) return;
    this.#finished = true;
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#done();
  };

  #fail(error: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#reject(error);
  }

  #settle(body: Uint8Array | Readable): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#resolve({ status: this.#status, headers: this.#headers, body });
  }
}

/** A body whose reader sets the pace. Destroying it ends the exchange with the app. */
class ResponseStream extends Readable {
  readonly #controller: Dispatcher.DispatchController;
  readonly #finish: () => void;
  #complete = false;

  constructor(controller: Dispatcher.DispatchController, finish: () => void) {
    super({ highWaterMark: streamBufferMaxBytes });
    this.#controller = controller;
    this.#finish = finish;
  }

  complete(): void {
    this.#complete = true;
    this.push(null);
  }

  override _read(): void {
    if (this.#controller.paused) this.#controller.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#complete) {
      this.#finish();
      if (!this.#controller.aborted) this.#controller.abort(error ?? new Error("the reader of the response went away"));
    }
    done(error);
  }
}

/** The app announced more than it sent and closed: Dapr takes what came as the answer, since apps with a wrong Content-Length exist. */
function isCutShort(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "UND_ERR_SOCKET" || code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH";
}

function joined(chunks: Buffer[]): Uint8Array {
  if (chunks.length === 0) return empty;
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
}

export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
