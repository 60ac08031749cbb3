// The five-byte framing of gRPC messages (PROTOCOL-HTTP2.md, "Length-Prefixed-Message"): an encoder, and a decoder that
// takes chunks as they come. A message is a view into its chunk: who keeps it beyond the call copies it.
import { gunzipSync } from "node:zlib";
import { GrpcCode, GrpcStatusError } from "./types.ts";

export type Compression = "identity" | "gzip";

const prefixBytes = 5;

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

/** Incremental decoder of one direction of one call. Every method throws GrpcStatusError, after which the decoder is spent. */
export class FrameDecoder {
  readonly #maxReceiveBytes: number;
  #compression: Compression;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Bytes without which there is no next message; more than the prefix once the length is known. */
  #neededBytes = prefixBytes;

  constructor(maxReceiveBytes: number, compression: Compression = "identity") {
    this.#maxReceiveBytes = maxReceiveBytes;
    this.#compression = compression;
  }

  /** A client learns the encoding with the response headers. */
  set compression(compression: Compression) {
    this.#compression = compression;
  }

  /** Calls `emit` for every message that `chunk` completes. */
  push(chunk: Buffer, emit: (message: Uint8Array) => void): void {
    const bytes = this.#join(chunk);
    if (bytes === null) return;
    let offset = 0;
    while (bytes.length - offset >= prefixBytes) {
      const flag = bytes[offset] as number;
      const length = bytes.readUInt32BE(offset + 1);
      this.#check(flag, length);
      const end = offset + prefixBytes + length;
      if (end > bytes.length) {
        this.#neededBytes = prefixBytes + length;
        break;
      }
      this.#neededBytes = prefixBytes;
      const payload = bytes.subarray(offset + prefixBytes, end);
      emit(flag === 0 ? payload : this.#inflate(payload));
      offset = end;
    }
    if (offset < bytes.length) this.#hold(offset === 0 ? bytes : bytes.subarray(offset));
  }

  /** To be called when the stream ends: a message that began must have ended. */
  end(): void {
    if (this.#heldBytes > 0) throw new GrpcStatusError(GrpcCode.INTERNAL, "unexpected EOF: the stream ended within a message");
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
