// The five-byte framing of gRPC messages (PROTOCOL-HTTP2.md, "Length-Prefixed-Message"): an encoder, and a decoder that
// takes chunks as they come. A message is a view into its chunk: who keeps it beyond the call copies it.
import { gunzipSync } from "node:zlib";
import { GrpcCode, GrpcStatusError } from "./types.ts";

export type Compression = "identity" | "gzip";

const prefixBytes = 5;
/** Announced messages up to this size get their memory at once; for more the bytes must come first. */
const assemblyMaxBytes = 128 * 1024;

/** What `grpc-encoding` names, or null when we cannot decode it. */
export function compressionOf(header: string | undefined): Compression | null {
  if (header === undefined || header === "" || header === "identity") return "identity";
  return header === "gzip" ? "gzip" : null;
}

/** One uncompressed frame. Throws RESOURCE_EXHAUSTED when the message is over `maxSendBytes`. */
export function encodeFrame(message: Uint8Array, maxSendBytes: number): Buffer {
  const length = message.length;
  if (length > maxSendBytes) {
    throw new GrpcStatusError(GrpcCode.RESOURCE_EXHAUSTED, `grpc: trying to send message larger than max (${length} vs. ${maxSendBytes})`);
  }
  const frame = Buffer.allocUnsafe(prefixBytes + length);
  frame[0] = 0;
  frame.writeUInt32BE(length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/** Takes long messages as they come, so that nobody has to put them together. */
export interface PartTaker {
  /** Whether to take the message of `length` bytes that begins with `start`, which is not all of it: then `part` gets all its bytes, these first. */
  begin(start: Buffer, length: number): boolean;
  part(bytes: Buffer): void;
}

/** Incremental decoder of one direction of one call. Every method throws GrpcStatusError, after which the decoder is spent. */
export class FrameDecoder {
  readonly #maxReceiveBytes: number;
  #compression: Compression;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Bytes without which there is no next message; more than the prefix once the length is known. */
  #neededBytes = prefixBytes;
  /** Where a message of moderate size is put together as it comes, so that the chunks it came in are free at once. */
  #assembly: Buffer | null = null;
  #assembled = 0;
  readonly #parts: PartTaker | null;
  /** Bytes of the message in parts that are still to come. */
  #partsLeft = 0;

  constructor(maxReceiveBytes: number, compression: Compression = "identity", parts: PartTaker | null = null) {
    this.#maxReceiveBytes = maxReceiveBytes;
    this.#compression = compression;
    this.#parts = parts;
  }

  /** A client learns the encoding with the response headers. */
  set compression(compression: Compression) {
    this.#compression = compression;
  }

  /** Calls `emit` for every message that `chunk` completes. */
  push(chunk: Buffer, emit: (message: Uint8Array) => void): void {
    if (this.#partsLeft > 0) {
      const taken = this.#part(chunk, this.#partsLeft);
      if (taken < chunk.length) this.#read(chunk.subarray(taken), emit);
      return;
    }
    if (this.#assembly === null) {
      const bytes = this.#join(chunk);
      if (bytes !== null) this.#read(bytes, emit);
      return;
    }
    const assembly = this.#assembly;
    const taken = chunk.copy(assembly, this.#assembled);
    this.#assembled += taken;
    if (this.#assembled < assembly.length) return;
    this.#assembly = null;
    this.#read(assembly, emit);
    if (taken < chunk.length) this.#read(chunk.subarray(taken), emit);
  }

  /** To be called when the stream ends: a message that began must have ended. */
  end(): void {
    if (this.#heldBytes === 0 && this.#assembly === null && this.#partsLeft === 0) return;
    throw new GrpcStatusError(GrpcCode.INTERNAL, "unexpected EOF: the stream ended within a message");
  }

  #read(bytes: Buffer, emit: (message: Uint8Array) => void): void {
    let offset = 0;
    while (bytes.length - offset >= prefixBytes) {
      const flag = bytes[offset] as number;
      const length = bytes.readUInt32BE(offset + 1);
      this.#check(flag, length);
      const end = offset + prefixBytes + length;
      if (end > bytes.length) {
        const start = bytes.subarray(offset + prefixBytes);
        if (flag === 0 && this.#parts?.begin(start, length)) {
          this.#neededBytes = prefixBytes;
          this.#part(start, length);
          return;
        }
        this.#neededBytes = prefixBytes + length;
        break;
      }
      this.#neededBytes = prefixBytes;
      const payload = bytes.subarray(offset + prefixBytes, end);
      emit(flag === 0 ? payload : this.#inflate(payload));
      offset = end;
    }
    if (offset < bytes.length) this.#keep(offset === 0 ? bytes : bytes.subarray(offset));
  }

  #part(chunk: Buffer, left: number): number {
    const taken = Math.min(chunk.length, left);
    this.#partsLeft = left - taken;
    this.#parts?.part(taken === chunk.length ? chunk : chunk.subarray(0, taken));
    return taken;
  }

  #keep(rest: Buffer): void {
    const needed = this.#neededBytes;
    if (needed === prefixBytes || needed > assemblyMaxBytes) {
      this.#hold(rest);
      return;
    }
    this.#neededBytes = prefixBytes;
    this.#assembly = Buffer.allocUnsafeSlow(needed);
    this.#assembled = rest.copy(this.#assembly);
  }

  /** What is held together with `chunk`, or null while that is too little to go on. */
  #join(chunk: Buffer): Buffer | null {
    if (this.#heldBytes === 0) return chunk;
    this.#hold(chunk);
    if (this.#heldBytes < this.#neededBytes) return null;
    const joined = Buffer.concat(this.#held, this.#heldBytes);
    this.#held = [];
    this.#heldBytes = 0;
    return joined;
  }

  #hold(chunk: Buffer): void {
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
  }

  #check(flag: number, length: number): void {
    if (flag > 1) throw new GrpcStatusError(GrpcCode.INTERNAL, `grpc: received unexpected payload format ${flag}`);
    if (length > this.#maxReceiveBytes) throw tooLarge(`grpc: received message larger than max (${length} vs. ${this.#maxReceiveBytes})`);
    if (flag === 1 && this.#compression === "identity") {
      throw new GrpcStatusError(GrpcCode.INTERNAL, "grpc: compressed flag set with identity or empty encoding");
    }
  }

  #inflate(payload: Buffer): Uint8Array {
    try {
      return gunzipSync(payload, { maxOutputLength: Math.max(1, this.#maxReceiveBytes) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
        throw tooLarge(`grpc: received message after decompression larger than max ${this.#maxReceiveBytes}`);
      }
      throw new GrpcStatusError(GrpcCode.INTERNAL, `grpc: failed to decompress the message: ${(error as Error).message}`);
    }
  }
}

function tooLarge(message: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.RESOURCE_EXHAUSTED, message);
}
