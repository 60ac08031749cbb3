// Bodies as numbered frames between sidecars. Invariants: 1. `seq` counts from 0 without gaps; a gap breaks the body.
// 2. Only the first message carries metadata. 3. What is here at once is handed on as bytes, the rest as a stream that
// pulls one message at a time.
import { Readable } from "node:stream";
import { create } from "@bufbuild/protobuf";
import { streamFrameMaxBytes } from "../../lib/kit/limits.ts";
import { type StreamPayload, StreamPayloadSchema } from "../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";

/** Numbers the pieces of one body. */
export class FrameWriter {
  #seq = 0n;

  frame(data: Uint8Array): StreamPayload {
    return create(StreamPayloadSchema, { data, seq: this.#seq++ });
  }
}

/** Pieces no larger than a frame. */
export function* pieces(data: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < data.length; at += streamFrameMaxBytes) yield data.subarray(at, at + streamFrameMaxBytes);
}

export interface FrameSource {
  /** The payload of the next message, undefined when it has none; null at the end. Rejects when the call failed. */
  next(): Promise<StreamPayload | undefined | null>;
  /** The reader does not want the rest. */
  cancel(): void;
}

/** Checks the numbering of one body. */
export class FrameReader {
  #expected = 0n;

  accept(payload: StreamPayload): Uint8Array {
    if (payload.seq !== this.#expected) throw new Error(`invalid sequence number received: ${payload.seq} (expected: ${this.#expected})`);
    this.#expected++;
    return payload.data;
  }
}

/** The body whose first payload came with the metadata. `announced` is its length where one was given. */
export async function receiveBody(
  first: StreamPayload | undefined,
  source: FrameSource,
  announced: number | null,
  gatherMaxBytes: number,
): Promise<Uint8Array | Readable> {
  const reader = new FrameReader();
  const head = first ? reader.accept(first) : empty;
  if (announced !== null && announced <= gatherMaxBytes) return gather(head, reader, source, announced, gatherMaxBytes);
  const next = source.next();
  const settled = await Promise.race([next, turn()]);
  if (settled === null) return head;
  return new FrameBody(head, next, reader, source);
}

const empty = new Uint8Array(0);
const notYet = Symbol("not yet");

/** One turn of the event loop: what has already arrived is seen by then. */
function turn(): Promise<typeof notYet> {
  return new Promise((resolve) => setImmediate(resolve, notYet));
}

async function gather(
  head: Uint8Array,
  reader: FrameReader,
  source: FrameSource,
  announced: number,
  maxBytes: number,
): Promise<Uint8Array | Readable> {
  const chunks = [head];
  let size = head.length;
  for (;;) {
    const next = source.next();
    const payload = await next;
    if (payload === null) return chunks.length === 1 ? head : Buffer.concat(chunks, size);
    const data = payload ? reader.accept(payload) : empty;
    chunks.push(data);
    size += data.length;
    // More than was announced: not what we gather for.
    if (size > Math.max(announced, maxBytes)) return new FrameBody(Buffer.concat(chunks, size), source.next(), reader, source);
  }
}

class FrameBody extends Readable {
  readonly #reader: FrameReader;
  readonly #source: FrameSource;
  #head: Uint8Array | null;
  #pending: Promise<StreamPayload | undefined | null> | null;
  #ended = false;

  constructor(head: Uint8Array, pending: Promise<StreamPayload | undefined | null>, reader: FrameReader, source: FrameSource) {
    super({ highWaterMark: streamFrameMaxBytes });
    this.#head = head.length > 0 ? head : null;
    this.#pending = pending;
    this.#reader = reader;
    this.#source = source;
    // Told to the reader by _read; until then it must not count as unhandled.
    pending.catch(() => {});
  }

  override _read(): void {
    if (this.#head !== null) {
      const head = this.#head;
      this.#head = null;
      this.push(head);
      return;
    }
    this.#pull().catch((error) => this.destroy(error));
  }

  async #pull(): Promise<void> {
    for (;;) {
      const pending = this.#pending ?? this.#source.next();
      this.#pending = null;
      const payload = await pending;
      if (payload === null) {
        this.#ended = true;
        this.push(null);
        return;
      }
      const data = payload ? this.#reader.accept(payload) : empty;
      if (data.length > 0) {
        this.push(data);
        return;
      }
    }
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#ended) this.#source.cancel();
    done(error);
  }
}
