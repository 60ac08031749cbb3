// The part of the DNS message format (RFC 1035 §4) that multicast DNS service discovery needs: questions, and PTR, SRV,
// TXT, A and AAAA records. Pure. Names are text with a trailing dot; a dot inside a label is written `\.`.

export const RecordType = { A: 1, PTR: 12, TXT: 16, AAAA: 28, SRV: 33 } as const;
const classInternet = 1;
/** Top bit of the class: "flush what you know" in a record, "answer by unicast" in a question (RFC 6762 §10.2, §5.4). */
const topBit = 0x8000;

export interface Question {
  readonly name: string;
  readonly type: number;
}

export type DnsRecord = { readonly name: string; readonly ttlSeconds: number; readonly flush: boolean } & (
  | { readonly type: typeof RecordType.PTR; readonly target: string }
  | { readonly type: typeof RecordType.SRV; readonly target: string; readonly port: number }
  | { readonly type: typeof RecordType.TXT; readonly texts: readonly string[] }
  | { readonly type: typeof RecordType.A | typeof RecordType.AAAA; readonly address: string }
);

export interface DnsMessage {
  readonly isResponse: boolean;
  readonly questions: readonly Question[];
  /** Of all three sections; types that nobody here needs are left out. */
  readonly records: readonly DnsRecord[];
}

const headerBytes = 12;
const responseFlags = 0x8400;

export function encodeMessage(message: DnsMessage): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(message.isResponse ? responseFlags : 0, 2);
  header.writeUInt16BE(message.questions.length, 4);
  header.writeUInt16BE(message.records.length, 6);
  return Buffer.concat([header, ...message.questions.map(encodeQuestion), ...message.records.map(encodeRecord)]);
}

function encodeQuestion(question: Question): Buffer {
  return Buffer.concat([encodeName(question.name), uint16(question.type), uint16(classInternet)]);
}

function encodeRecord(record: DnsRecord): Buffer {
  const data = encodeData(record);
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(record.ttlSeconds);
  const klass = uint16(classInternet | (record.flush ? topBit : 0));
  return Buffer.concat([encodeName(record.name), uint16(record.type), klass, ttl, uint16(data.length), data]);
}

function encodeData(record: DnsRecord): Buffer {
  switch (record.type) {
    case RecordType.PTR:
      return encodeName(record.target);
    case RecordType.SRV:
      return Buffer.concat([uint16(0), uint16(0), uint16(record.port), encodeName(record.target)]);
    case RecordType.TXT:
      return Buffer.concat(record.texts.map(encodeText));
    case RecordType.A:
      return Buffer.from(record.address.split(".").map(Number));
    case RecordType.AAAA:
      return encodeIpv6(record.address);
  }
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

const labelMaxBytes = 63;
const textMaxBytes = 255;

/** Throws when a label is empty or longer than DNS allows. */
function encodeName(name: string): Buffer {
  const labels = name.replace(/\.$/, "").match(/(?:\\.|[^.\\])+/gs) ?? [];
  const parts = labels.map((label) => {
    const bytes = Buffer.from(label.replace(/\\(.)/gs, "$1"));
    if (bytes.length > labelMaxBytes) throw new Error(`'${label}' is longer than the ${labelMaxBytes} bytes that DNS allows in a name`);
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  });
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length > textMaxBytes) throw new Error(`'${text}' is longer than the ${textMaxBytes} bytes that DNS allows in a text`);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

function encodeIpv6(address: string): Buffer {
  const [head = "", tail] = address.split("::");
  const words = (text: string) => (text === "" ? [] : text.split(":").map((word) => Number.parseInt(word, 16)));
  const left = words(head);
  const right = tail === undefined ? [] : words(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => 0);
  return Buffer.concat([...left, ...zeros, ...right].map(uint16));
}

/** Null when `bytes` is no well-formed message: whatever else speaks on the multicast group is not our business. */
export function decodeMessage(bytes: Buffer): DnsMessage | null {
  try {
    return new Decoder(bytes).message();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

const nameMaxBytes = 255;

/** Reads forward; every step beyond the end is a RangeError. */
class Decoder {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  message(): DnsMessage {
    const flags = this.#bytes.readUInt16BE(2);
    const questionCount = this.#bytes.readUInt16BE(4);
    const recordCount = this.#bytes.readUInt16BE(6) + this.#bytes.readUInt16BE(8) + this.#bytes.readUInt16BE(10);
    this.#at = headerBytes;
    const questions: Question[] = [];
    for (let i = 0; i < questionCount; i++) {
      questions.push({ name: this.#name(), type: this.#uint16() });
      this.#at += 2;
    }
    const records: DnsRecord[] = [];
    for (let i = 0; i < recordCount; i++) {
      const record = this.#record();
      if (record !== null) records.push(record);
    }
    return { isResponse: (flags & 0x8000) !== 0, questions, records };
  }

  #record(): DnsRecord | null {
    const name = this.#name();
    const type = this.#uint16();
    const flush = (this.#uint16() & topBit) !== 0;
    const ttlSeconds = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    const length = this.#uint16();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError("record data beyond the end");
    const record = this.#data({ name, ttlSeconds, flush }, type, end);
    this.#at = end;
    return record;
  }

  #data(common: { name: string; ttlSeconds: number; flush: boolean }, type: number, end: number): DnsRecord | null {
    switch (type) {
      case RecordType.PTR:
        return { ...common, type, target: this.#name() };
      case RecordType.SRV: {
        this.#at += 4;
        return { ...common, type, port: this.#uint16(), target: this.#name() };
      }
      case RecordType.TXT:
        return { ...common, type, texts: this.#texts(end) };
      case RecordType.A:
        return end - this.#at === 4 ? { ...common, type, address: this.#bytes.subarray(this.#at, end).join(".") } : null;
      case RecordType.AAAA:
        return end - this.#at === 16 ? { ...common, type, address: this.#ipv6() } : null;
      default:
        return null;
    }
  }

  #texts(end: number): string[] {
    const texts: string[] = [];
    while (this.#at < end) {
      const length = this.#bytes.readUInt8(this.#at++);
      if (this.#at + length > end) throw new RangeError("text beyond the end of its record");
      texts.push(this.#bytes.toString("utf8", this.#at, this.#at + length));
      this.#at += length;
    }
    return texts;
  }

  #ipv6(): string {
    const words: string[] = [];
    for (let i = 0; i < 16; i += 2) words.push(this.#bytes.readUInt16BE(this.#at + i).toString(16));
    return words.join(":");
  }

  #uint16(): number {
    const value = this.#bytes.readUInt16BE(this.#at);
    this.#at += 2;
    return value;
  }

  /** Follows compression pointers backwards only, so that it ends. */
  #name(): string {
    let name = "";
    let at = this.#at;
    let after = -1;
    let size = 0;
    for (;;) {
      const length = this.#bytes.readUInt8(at);
      if (length === 0) break;
      if ((length & 0xc0) === 0xc0) {
        const target = this.#bytes.readUInt16BE(at) & 0x3fff;
        if (target >= at) throw new RangeError("compression pointer that does not point back");
        if (after < 0) after = at + 2;
        at = target;
        continue;
      }
      size += length + 1;
      const end = at + 1 + length;
      if (length > labelMaxBytes || size > nameMaxBytes || end > this.#bytes.length) throw new RangeError("malformed name");
      name += `${this.#bytes.toString("utf8", at + 1, end).replace(/[.\\]/g, "\\$&")}.`;
      at = end;
    }
    this.#at = after < 0 ? at + 1 : after;
    return name;
  }
}
