// Bytes over a TCP connection, for requests that no HTTP client would send. What comes back is kept as it came.
import { connect, type Socket } from "node:net";

export interface RawReply {
  /** Of the first response; 0 when none came. */
  readonly status: number;
  readonly head: string;
  /** Of the first response, its chunks joined. */
  readonly body: string;
  /** Everything that came, as latin1. */
  readonly text: string;
  /** How many responses came. */
  readonly responses: number;
}

const withinMs = 10_000;

/** Sends `request` and resolves with what came until the server closed. Add `Connection: close`, or the answer waits for a timeout. */
export async function rawHttp(port: number, request: string | Uint8Array): Promise<RawReply> {
  const socket = await connectTo(port);
  const received: Buffer[] = [];
  const closed = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`the server kept the connection for ${withinMs} ms; it sent: ${Buffer.concat(received)}`)),
      withinMs,
    );
    socket.on("data", (chunk: Buffer) => received.push(chunk));
    // A reset after the answer is the server's way to refuse the rest of a request.
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
  socket.write(request);
  try {
    await closed;
  } finally {
    socket.destroy();
  }
  return parse(Buffer.concat(received).toString("latin1"));
}

/** An open connection to a loopback port. */
export function connectTo(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => resolve(socket.off("error", reject)));
    socket.once("error", reject);
  });
}

/** A request line and header lines, with Host and `Connection: close`. */
export function requestText(line: string, headers: readonly string[] = [], body = ""): string {
  return [`${line} HTTP/1.1`, "Host: localhost", "Connection: close", ...headers, "", body].join("\r\n");
}

function parse(text: string): RawReply {
  const end = text.indexOf("\r\n\r\n");
  const head = end < 0 ? text : text.slice(0, end);
  const rest = end < 0 ? "" : text.slice(end + 4);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  const body = /^transfer-encoding: *chunked/im.test(head) ? joinChunks(rest) : rest;
  return { status, head, body, text, responses: text.match(/HTTP\/1\.1 \d{3} /g)?.length ?? 0 };
}

function joinChunks(text: string): string {
  let body = "";
  for (let at = 0; at < text.length; ) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (lineEnd < 0 || !(size > 0)) break;
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
  return body;
}
