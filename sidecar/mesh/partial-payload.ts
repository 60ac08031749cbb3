// A payload frame whose data is handed on before all of it is here, so that nobody puts 64 KiB together only to take them apart.
import { ProtoReader } from "../../lib/wire/protobuf.ts";
import { type ReceivedFrame, readPayloadFields } from "./frames.ts";

/** Longest part of a payload that is not data: tags and lengths in front, `seq` in front or behind. */
const aroundMaxBytes = 32;

/** A frame of a payload whose data is not all here yet. */
export class PartialPayload {
  /** Bytes of the frame still to come. */
  left: number;
  #skip: number;
  #data: number;
  /** The fields around the data, as far as they are here. */
  #around: Buffer;

  private constructor(length: number, skip: number, data: number, around: Buffer) {
    this.left = length;
    this.#skip = skip;
    this.#data = data;
    this.#around = around;
  }

  /** Null when this is something else, or too little is here to tell. */
  static of(start: Buffer, length: number): PartialPayload | null {
    try {
      // The reader must not mind that the data is cut off: it gets to see what stands in front of it only.
      const reader = new ProtoReader(start.subarray(0, aroundMaxBytes));
      if (reader.tag() !== 0x12 || reader.varint() !== length - reader.position) return null;
      const from = reader.position;
      let tag = reader.tag();
      if (tag === 0x10) {
        reader.varint();
        tag = reader.tag();
      }
      const before = start.subarray(from, from + (tag === 0x0a ? reader.position - from - 1 : 0));
      if (tag !== 0x0a) return null;
      const data = reader.varint();
      const skip = reader.position;
      const behind = length - skip - data;
      return behind < 0 || behind > aroundMaxBytes ? null : new PartialPayload(length, skip, data, Buffer.from(before));
    } catch {
      return null;
    }
  }

  /** The data in the next bytes. */
  accept(bytes: Buffer): Buffer {
    this.left -= bytes.length;
    const from = Math.min(this.#skip, bytes.length);
    this.#skip -= from;
    const end = Math.min(from + this.#data, bytes.length);
    this.#data -= end - from;
    if (end < bytes.length) this.#around = Buffer.concat([this.#around, bytes.subarray(end)]);
    return bytes.subarray(from, end);
  }

  seq(): number {
    const frame: ReceivedFrame = { head: null, data: null, seq: 0 };
    readPayloadFields(new ProtoReader(this.#around), frame);
    return frame.seq;
  }
}
