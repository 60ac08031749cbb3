// Writing a Reply to the wire: one write for a body at hand, backpressure for a stream, and a body that breaks off breaks
// the connection, so that the client never takes half an answer for a whole one.
import { Readable } from "node:stream";
import type { Reply, ReplyHeaders } from "../contract/http.ts";
import type { NodeRequest, NodeResponse } from "./http-request.ts";

/** How much of an unread request body is thrown away so that the connection lives on; beyond it the connection ends. */
const discardMaxBytes = 1024 * 1024;
const discardMaxMs = 5000;

/** Headers that belong to one HTTP/1.1 connection; HTTP/2 forbids them (RFC 9113 §8.2.2). */
const connectionHeaders = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

export interface Written {
  readonly status: number;
  /** Bytes of the body, as far as known when the headers went out; -1 for streams. */
  readonly size: number;
}

export function writeReply(request: NodeRequest, response: NodeResponse, reply: Reply, extra: ReplyHeaders | null): Written {
  const headers: ReplyHeaders = { ...reply.headers, ...extra };
  const body = reply.body ?? null;
  if (request.httpVersionMajor >= 2) for (const name of connectionHeaders) delete headers[name];
  else leaveOutKeepAlive(request, response);
  discardUnreadBody(request, response);
  if (body === null || reply.status === 204 || reply.status === 304) {
    // node would announce a chunked body where no length is given.
    if (
      reply.status >= 200 &&
      reply.status !== 204 &&
      reply.status !== 304 &&
      request.method !== "HEAD" &&
      headers["content-length"] === undefined
    )
      headers["content-length"] = "0";
    response.writeHead(reply.status, headers);
    response.end();
    if (body instanceof Readable) body.destroy();
    return { status: reply.status, size: 0 };
  }
  if (body instanceof Readable) return stream(request, response, reply.status, headers, body);
  headers["content-type"] ??= "application/json";
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  headers["content-length"] ??= String(bytes.length);
  response.writeHead(reply.status, headers);
  response.end(bytes);
  return { status: reply.status, size: bytes.length };
}

/** HTTP/1.1 keeps connections without being told; a proxy's answer should carry no hop-by-hop header it need not (RFC 9110 §7.6.1). */
function leaveOutKeepAlive(request: NodeRequest, response: NodeResponse): void {
  // A closing listener has set `Connection: close`; HTTP/1.0 clients do have to be told.
  if (request.httpVersionMinor >= 1 && response.shouldKeepAlive && !response.hasHeader("connection")) response.removeHeader("connection");
}

function stream(request: NodeRequest, response: NodeResponse, status: number, headers: ReplyHeaders, body: Readable): Written {
  response.writeHead(status, headers);
  // The head goes out at once: an event stream may have nothing to say for a while.
  if (request.httpVersionMajor === 1) response.flushHeaders();
  body.on("error", () => {
    if (request.httpVersionMajor >= 2) (response as unknown as { stream: { close(code: number): void } }).stream.close(2);
    else request.socket.destroy();
  });
  response.once("close", () => body.destroy());
  body.pipe(response);
  return { status, size: -1 };
}

function discardUnreadBody(request: NodeRequest, response: NodeResponse): void {
  if (request.readableEnded || request.httpVersionMajor >= 2) return;
  let size = 0;
  response.once("finish", () => {
    if (request.readableEnded || request.destroyed) return;
    const timer = setTimeout(() => request.socket.destroy(), discardMaxMs);
    timer.unref();
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > discardMaxBytes) request.socket.destroy();
    });
    request.once("close", () => clearTimeout(timer));
    request.resume();
  });
}
