// Closed-loop gRPC load that costs less than any subject: HTTP/2 (RFC 9113) by hand, with what never changes written once. The same fields
// as a gRPC client sends, and unlike h2load's no content-length, which Go's daprd passes on to the app and then fails on. Answers are
// not decoded: a call is good when a message came and then trailers.
import type { Socket } from "node:net";
import type { GrpcWork } from "../works.ts";
import { loadSocket } from "./socket.ts";

export interface Shape {
  readonly connections: number;
  /** Calls in flight on each connection. */
  readonly streams: number;
}

const frame = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const headBytes = 9;
const endStream = 0x1;
const endHeaders = 0x4;
const ack = 0x1;
const initialWindow = 65_535;
const windowMax = 2 ** 31 - 1;
/** Of a message's prefix: less is no message. */
const messageMinBytes = 5;

/** Calls answered in `seconds`. Rejects with the first call that failed, or when a connection ends. */
export async function grpcLoad(
  work: GrpcWork,
  port: number,
  seconds: number,
  shape: Shape,
): Promise<{ requests: number; seconds: number }> {
  const begin = performance.now();
  const connections = Array.from({ length: shape.connections }, () => new Connection(work, port, shape.streams));
  const failed = Promise.race(connections.map(({ failed }) => failed));
  const timer = Promise.withResolvers<void>();
  const timeout = setTimeout(timer.resolve, seconds * 1000);
  try {
    await Promise.race([timer.promise, failed]);
    const requests = connections.reduce((sum, { answered }) => sum + answered, 0);
    if (requests === 0) throw new Error(`${work.name}: no call was answered in ${seconds} s`);
    return { requests, seconds: (performance.now() - begin) / 1000 };
  } finally {
    clearTimeout(timeout);
    for (const connection of connections) connection.close();
  }
}

class Connection {
  answered = 0;
  readonly #fail = Promise.withResolvers<never>();
  readonly failed: Promise<never> = this.#fail.promise;
  readonly #work: GrpcWork;
  readonly #socket: Socket;
  /** Bytes of messages that came, by stream. */
  readonly #received = new Map<number, number>();
  readonly #first: Buffer;
  readonly #later: Buffer;
  #out: Buffer[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #nextStream = 1;
  #window = initialWindow;
  /** Calls that wait for the server's window. */
  #waiting = 0;

  constructor(work: GrpcWork, port: number, streams: number) {
    this.#work = work;
    [this.#first, this.#later] = fieldBlocks(work, `127.0.0.1:${port}`);
    this.failed.catch(() => {});
    this.#socket = loadSocket(port, work.tls)
      .on("data", (chunk: Buffer) => this.#read(chunk))
      .on("error", (error) => this.#fail.reject(error))
      .on("close", () => this.#fail.reject(new Error(`${work.name}: the subject closed the connection`)));
    this.#out.push(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings(), windowUpdate(windowMax - initialWindow));
    for (let call = 0; call < streams; call++) this.#call();
    this.#flush();
  }

  close(): void {
    this.#socket.removeAllListeners("close").destroy();
  }

  #call(): void {
    const { body } = this.#work;
    if (this.#window < body.length) {
      this.#waiting++;
      return;
    }
    this.#window -= body.length;
    const stream = this.#nextStream;
    this.#nextStream += 2;
    const block = stream === 1 ? this.#first : this.#later;
    this.#received.set(stream, 0);
    this.#out.push(head(frame.headers, endHeaders, stream, block.length), block, head(frame.data, endStream, stream, body.length), body);
  }

  #flush(): void {
    if (this.#out.length === 0) return;
    this.#socket.write(Buffer.concat(this.#out));
    this.#out = [];
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= headBytes) {
      const length = bytes.readUIntBE(at, 3);
      if (bytes.length - at < headBytes + length) break;
      const payload = at + headBytes;
      this.#frame(bytes[at + 3] as number, bytes[at + 4] as number, bytes.readUInt32BE(at + 5) & windowMax, bytes, payload, length);
      at = payload + length;
    }
    this.#rest = bytes.subarray(at);
    this.#flush();
  }

  #frame(type: number, flags: number, stream: number, bytes: Buffer, at: number, length: number): void {
    switch (type) {
      case frame.data:
        this.#received.set(stream, (this.#received.get(stream) ?? 0) + length);
        if ((flags & endStream) !== 0) this.#wrong(`stream ${stream} ended without trailers`);
        return;
      case frame.headers:
        if ((flags & endStream) !== 0) this.#done(stream);
        return;
      case frame.settings:
        if ((flags & ack) === 0) this.#out.push(head(frame.settings, ack, 0, 0));
        return;
      case frame.ping:
        if ((flags & ack) === 0) this.#out.push(head(frame.ping, ack, 0, length), Buffer.from(bytes.subarray(at, at + length)));
        return;
      case frame.windowUpdate:
        if (stream === 0) this.#widen(bytes.readUInt32BE(at) & windowMax);
        return;
      case frame.reset:
        this.#wrong(`stream ${stream} was reset with code ${bytes.readUInt32BE(at)}`);
        return;
      case frame.goAway:
        this.#wrong(`the subject sent GOAWAY with code ${bytes.readUInt32BE(at + 4)}`);
    }
  }

  #done(stream: number): void {
    if ((this.#received.get(stream) ?? 0) < messageMinBytes) this.#wrong("a call was answered with a status and no message");
    this.#received.delete(stream);
    this.answered++;
    this.#call();
  }

  #widen(by: number): void {
    this.#window += by;
    for (let { length } = { length: this.#waiting }; length > 0; length--) {
      this.#waiting--;
      this.#call();
    }
  }

  #wrong(what: string): void {
    this.#fail.reject(new Error(`${this.#work.name}: ${what}`));
  }
}

/**
 * The fields of a call in HPACK (RFC 7541), plain and added to the table with the first call, then by their places in it, as clients do.
 */
function fieldBlocks(work: GrpcWork, authority: string): [first: Buffer, later: Buffer] {
  const fixed = Buffer.of(0x83, work.tls ? 0x87 : 0x86);
  const fields: readonly (readonly [known: number, name: string, value: string])[] = [
    [4, ":path", work.path],
    [1, ":authority", authority],
    [31, "content-type", "application/grpc"],
    [0, "te", "trailers"],
    [0, "user-agent", "outrigger-bench"],
    ...Object.entries(work.metadata).map(([name, value]) => [0, name, value] as const),
  ];
  const first = fields.map(([known, name, value]) =>
    Buffer.concat([Buffer.of(0x40 | known), known === 0 ? literal(name) : Buffer.alloc(0), literal(value)]),
  );
  // The newest field has the lowest place.
  const later = Buffer.from(fields.map((_, index) => 0x80 | (62 + fields.length - 1 - index)));
  return [Buffer.concat([fixed, ...first]), Buffer.concat([fixed, later])];
}

/** Not Huffman coded; shorter than 127 bytes. */
function literal(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length >= 127) throw new Error(`a field of ${bytes.length} bytes is too long for the bench`);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

function head(type: number, flags: number, stream: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes);
  bytes.writeUIntBE(length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  return bytes;
}

/** Streams never wait for us. */
function settings(): Buffer {
  const initialWindowSize = 4;
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(initialWindowSize, 0);
  payload.writeUInt32BE(windowMax, 2);
  return Buffer.concat([head(frame.settings, 0, 0, payload.length), payload]);
}

function windowUpdate(by: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(by, 0);
  return Buffer.concat([head(frame.windowUpdate, 0, 0, payload.length), payload]);
}
