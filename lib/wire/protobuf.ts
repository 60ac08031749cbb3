// Protocol buffers by hand, for the few messages that every call between sidecars carries. Encoding builds one string whose
// characters are bytes: concatenation is cheap, and one copy at the end writes it all. Decoding takes one string of a
// message and cuts it. Everything that is no such message uses the generated code.

// biome-ignore lint/suspicious/noControlCharactersInRegex: the whole of ASCII is meant
const notAscii = /[^\x00-\x7f]/;

/** A number from 0 to 2^53-1 as a varint. */
export function varint(value: number): string {
  let rest = value;
  let bytes = "";
  while (rest >= 0x80) {
    bytes += String.fromCharCode((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return bytes + String.fromCharCode(rest);
}

/** UTF-8 of `value`. */
export function utf8(value: string): string {
  return notAscii.test(value) ? Buffer.from(value).toString("latin1") : value;
}

/** A length-delimited field; `tag` is its field number and wire type, `bytes` its content. */
export function field(tag: string, bytes: string): string {
  return tag + varint(bytes.length) + bytes;
}

/** The same for a string field; nothing for the empty string, which is the default. */
export function stringField(tag: string, value: string): string {
  return value === "" ? "" : field(tag, utf8(value));
}

/** Reads the fields of one message. Every method throws on bytes that are no protocol buffer. */
export class ProtoReader {
  readonly #bytes: Buffer;
  #at: number;
  #end: number;
  /** All of `#bytes` as a string, made with the first string field. */
  #text: string | null = null;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = 0;
    this.#end = bytes.length;
  }

  /** Bytes read. */
  get position(): number {
    return this.#at;
  }

  /** Tag of the next field (number × 8 + wire type), or 0 at the message's end. */
  tag(): number {
    return this.#at < this.#end ? this.varint() : 0;
  }

  /** Values beyond 2^53 lose their low bits. */
  varint(): number {
    const bytes = this.#bytes;
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 10; count++) {
      if (this.#at >= this.#end) throw truncated();
      const byte = bytes[this.#at++] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    throw new Error("invalid varint: more than 10 bytes");
  }

  /** Content of a length-delimited field, without a copy. */
  bytes(): Buffer {
    const end = this.#lengthEnd();
    const content = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return content;
  }

  string(): string {
    const end = this.#lengthEnd();
    const start = this.#at;
    this.#at = end;
    if (end === start) return "";
    this.#text ??= this.#bytes.toString("latin1");
    const value = this.#text.slice(start, end);
    return notAscii.test(value) ? this.#bytes.toString("utf8", start, end) : value;
  }

  /** Goes into a submessage, whose fields are read next; the result is for `leave`. */
  enter(): number {
    const end = this.#lengthEnd();
    const outer = this.#end;
    this.#end = end;
    return outer;
  }

  /** Goes back to the message around, behind the submessage. */
  leave(outer: number): void {
    this.#at = this.#end;
    this.#end = outer;
  }

  /** Passes over the value of a field that is not known. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.varint();
        return;
      case 1:
        this.#advance(8);
        return;
      case 2:
        this.#at = this.#lengthEnd();
        return;
      case 5:
        this.#advance(4);
        return;
      default:
        throw new Error(`invalid wire type ${tag & 7}`);
    }
  }

  #lengthEnd(): number {
    const length = this.varint();
    const end = this.#at + length;
    if (end > this.#end) throw truncated();
    return end;
  }

  #advance(count: number): void {
    this.#at += count;
    if (this.#at > this.#end) throw truncated();
  }
}

function truncated(): Error {
  return new Error("the message ends within a field");
}
