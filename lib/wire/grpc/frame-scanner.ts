// Follows the length prefixes of messages that pass by, so that size limits hold where nobody decodes. Keeps no bytes.

const prefixBytes = 5;

export class FrameScanner {
  readonly maxBytes: number;
  /** Bytes of the message that are still to come. */
  #payloadLeft = 0;
  /** Bytes of the prefix that are here, and the length they have told so far. */
  #prefixSeen = 0;
  #length = 0;
  /** Length of the message that was too large; 0: none was. */
  oversizeBytes = 0;

  /** `maxBytes` of one message as it is on the wire, which is before decompression. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Where in `chunk` a message begins whose length is over the limit (0 when it began earlier), or -1. */
  scan(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const skipped = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= skipped;
        at += skipped;
        continue;
      }
      if (this.#prefixSeen > 0) this.#length = this.#length * 256 + (chunk[at] as number);
      this.#prefixSeen++;
      at++;
      if (this.#prefixSeen < prefixBytes) continue;
      if (this.#length > this.maxBytes) {
        this.oversizeBytes = this.#length;
        return Math.max(0, at - prefixBytes);
      }
      this.#payloadLeft = this.#length;
      this.#prefixSeen = 0;
      this.#length = 0;
    }
    return -1;
  }
}
