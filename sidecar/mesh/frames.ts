// Bodies as numbered frames between sidecars: the messages InternalInvokeRequestStream and -ResponseStream, which look alike (1: the
// request or response, 2: a StreamPayload of 1: data and 2: seq). Invariants: 1. `seq` counts from 0 without gaps; a gap breaks
// the body. 2. Only the first message carries metadata. body-receiver.ts is the other end.
import { streamFrameMaxBytes } from "../../lib/kit/limits.ts";
import type { RawStream } from "../../lib/wire/grpc/types.ts";
import { field, ProtoReader, varint } from "../../lib/wire/protobuf.ts";

/** Data up to this size is copied behind its frame's head; more goes out from where it is. */
const inlineMaxBytes = 4 * 1024;
/** Flag and length in front of a gRPC message. */
const prefixBytes = 5;

/** Sends one body: its pieces numbered, the encoded request or response in front of the first. */
export class FrameWriter {
  readonly #to: RawStream;
  #head: string | null;
  #seq = 0;

  constructor(to: RawStream, head: string) {
    this.#to = to;
    this.#head = head;
  }

  /** The head alone, for a body that may take its time. */
  open(): boolean {
    return this.#to.send(this.#frame(null), null);
  }

  /** All of a body, then the end. */
  async whole(body: Uint8Array): Promise<void> {
    let at = 0;
    for (; body.length - at > streamFrameMaxBytes; at += streamFrameMaxBytes) {
      if (!this.#send(body.subarray(at, at + streamFrameMaxBytes))) await this.#to.drained();
    }
    this.last(at === 0 ? body : body.subarray(at));
  }

  /** The last piece, which may be the only one and empty. */
  last(piece: Uint8Array): void {
    const data = piece.length === 0 ? null : piece;
    this.#to.end(this.#frame(data), isInline(data) ? null : data);
  }

  /** A part of any size; false when the transport wants a pause. */
  part(chunk: Uint8Array): boolean {
    let more = true;
    for (let at = 0; at < chunk.length; at += streamFrameMaxBytes) more = this.#send(chunk.subarray(at, at + streamFrameMaxBytes));
    return more;
  }

  end(): void {
    this.#to.end(null, null);
  }

  #send(piece: Uint8Array): boolean {
    return this.#to.send(this.#frame(piece), isInline(piece) ? null : piece);
  }

  /** The frame up to its data, or with it when that is small. */
  #frame(data: Uint8Array | null): Buffer {
    let message = this.#head === null ? "" : field("\x0a", this.#head);
    this.#head = null;
    const size = data === null ? 0 : data.length;
    if (data !== null) {
      const before = `${this.#seq === 0 ? "" : `\x10${varint(this.#seq)}`}\x0a${varint(size)}`;
      message += `\x12${varint(before.length + size)}${before}`;
      this.#seq++;
    }
    return isInline(data) ? grpcFrame(message, 0, data) : grpcFrame(message, size, null);
  }
}

/** One gRPC message: `message`, behind it `data`, and then `moreBytes` that the caller sends itself. */
export function grpcFrame(message: string, moreBytes = 0, data: Uint8Array | null = null): Buffer {
  const length = message.length + (data === null ? 0 : data.length);
  const frame = Buffer.allocUnsafe(prefixBytes + length);
  frame[0] = 0;
  frame.writeUInt32BE(length + moreBytes, 1);
  frame.write(message, prefixBytes, "latin1");
  if (data !== null) frame.set(data, prefixBytes + message.length);
  return frame;
}

function isInline(data: Uint8Array | null): boolean {
  return data === null || data.length <= inlineMaxBytes;
}

export interface ReceivedFrame {
  /** The encoded request or response; null when there is none. */
  head: Uint8Array | null;
  /** Null when there is no payload. */
  data: Uint8Array | null;
  seq: number;
}

export function decodeFrame(bytes: Uint8Array): ReceivedFrame {
  const frame: ReceivedFrame = { head: null, data: null, seq: 0 };
  const reader = new ProtoReader(bytes);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) frame.head = reader.bytes();
    else if (tag === 0x12) readPayload(reader, frame);
    else reader.skip(tag);
  }
  return frame;
}

function readPayload(reader: ProtoReader, frame: ReceivedFrame): void {
  frame.data = empty;
  const outer = reader.enter();
  readPayloadFields(reader, frame);
  reader.leave(outer);
}

/** The fields of a StreamPayload. */
export function readPayloadFields(reader: ProtoReader, frame: ReceivedFrame): void {
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) frame.data = reader.bytes();
    else if (tag === 0x10) frame.seq = reader.varint();
    else reader.skip(tag);
  }
}

const empty = new Uint8Array(0);
