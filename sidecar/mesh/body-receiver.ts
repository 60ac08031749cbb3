// The receiving end of a body in frames. Invariants: 1. A body that is announced as small, or is here at once, is handed on as
// bytes; the rest as a stream whose reader sets the pace. 2. It is handed on once. 3. A missing frame breaks it.
import { Readable } from "node:stream";
import type { PartTaker } from "../../lib/wire/grpc/framing.ts";
import type { ReceivedFrame } from "./frames.ts";
import { PartialPayload } from "./partial-payload.ts";

/** Announced bodies up to this size are handed on as bytes. */
const gatherMaxBytes = 64 * 1024;

/** The source of a body, as far as its reader steers it. */
export interface Flow {
  pause(): void;
  resume(): void;
  /** The reader does not want the rest. */
  cancel(): void;
}

/** Takes the frames of one body and hands it on, once. */
export class BodyReceiver implements PartTaker {
  readonly #flow: Flow;
  readonly #deliver: (body: Uint8Array | Readable) => void;
  readonly #gather: boolean;
  #expected = 0;
  #chunks: Uint8Array[] = [];
  #size = 0;
  #stream: FrameBody | null = null;
  #over = false;
  #partial: PartialPayload | null = null;

  /** `announced` is the body's length where one was given. */
  constructor(flow: Flow, announced: number | null, deliver: (body: Uint8Array | Readable) => void) {
    this.#flow = flow;
    this.#deliver = deliver;
    this.#gather = announced !== null && announced <= gatherMaxBytes;
    // What has already arrived is here after one turn of the event loop.
    if (!this.#gather) setImmediate(this.#startStream);
  }

  /** Throws when a frame is missing. */
  push({ data, seq }: ReceivedFrame): void {
    if (data === null) return;
    this.#count(seq);
    this.#take(data);
  }

  /** Whether a frame that begins with `start` is a payload alone, as all are but the first: then its data is handed on as it comes. */
  begin(start: Buffer, length: number): boolean {
    this.#partial = PartialPayload.of(start, length);
    return this.#partial !== null;
  }

  /** The bytes of such a frame. Throws when a frame is missing. */
  part(bytes: Buffer): void {
    const partial = this.#partial as PartialPayload;
    const data = partial.accept(bytes);
    if (data.length > 0) this.#take(data);
    if (partial.left === 0) this.#count(partial.seq());
  }

  #count(seq: number): void {
    if (seq !== this.#expected) throw new Error(`invalid sequence number received: ${seq} (expected: ${this.#expected})`);
    this.#expected++;
  }

  #take(data: Uint8Array): void {
    if (this.#over || data.length === 0) return;
    if (this.#stream !== null) {
      this.#stream.accept(data);
      return;
    }
    this.#chunks.push(data);
    this.#size += data.length;
    // More than was announced: not what we gather for.
    if (this.#gather && this.#size > gatherMaxBytes) this.#startStream();
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#stream !== null) this.#stream.complete();
    else this.#deliver(this.#chunks.length === 1 ? (this.#chunks[0] as Uint8Array) : Buffer.concat(this.#chunks, this.#size));
  }

  /** The rest will not come. False when nobody was told, since the body had not been handed on. */
  fail(error: unknown): boolean {
    if (this.#over) return true;
    this.#over = true;
    this.#stream?.break(error as Error);
    return this.#stream !== null;
  }

  readonly #startStream = (): void => {
    if (this.#over || this.#stream !== null) return;
    const stream = new FrameBody(this.#flow);
    this.#stream = stream;
    for (const chunk of this.#chunks) stream.accept(chunk);
    this.#chunks = [];
    this.#deliver(stream);
  };
}

/** A reader this far behind stops the source. */
const waitingMaxBytes = 128 * 1024;

class FrameBody extends Readable {
  readonly #flow: Flow;
  #ended = false;

  constructor(flow: Flow) {
    super({ highWaterMark: waitingMaxBytes });
    this.#flow = flow;
    // It may break before anyone reads; who reads is told then.
    this.on("error", ignore);
  }

  accept(data: Uint8Array): void {
    if (!this.#ended && !this.push(data)) this.#flow.pause();
  }

  complete(): void {
    this.#ended = true;
    this.push(null);
  }

  break(error: Error): void {
    this.#ended = true;
    this.destroy(error);
  }

  override _read(): void {
    this.#flow.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#flow.cancel();
    }
    done(error);
  }
}

function ignore(): void {}
