// What node's parser refuses before there is a request: the answer says why, which node's own does not, and the connection
// ends, since nobody can tell where the next request would begin (RFC 9112 §2.2, §6.3).
import { type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { Reply } from "../contract/http.ts";
import type { NodeRequest } from "./http-request.ts";

interface ParserError extends Error {
  readonly code?: string;
  /** What the parser says, e.g. `Invalid header token`. */
  readonly reason?: string;
}

export function answerMalformed(server: Server): void {
  server.on("clientError", (error: ParserError, socket: Duplex) => {
    // node's own name for the response in progress: once its head is out, more text would be taken for its body.
    const { _httpMessage: response } = socket as Duplex & { _httpMessage?: ServerResponse | null };
    if (!socket.writable || error.code === "ECONNRESET" || response?.headersSent) return void socket.destroy(error);
    const { status, text } = explain(error);
    const body = `${status} ${STATUS_CODES[status]}: ${text}\n`;
    const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, "Content-Type: text/plain; charset=utf-8", "Connection: close"];
    socket.end([...head, `Content-Length: ${Buffer.byteLength(body)}`, "", body].join("\r\n"), () => socket.destroy());
  });
}

/** The answer to HTTP/1.1 without exactly one Host field, as RFC 9112 §3.2 demands; else null. */
export function hostRefusal(request: NodeRequest): Reply | null {
  if (request.httpVersionMajor >= 2) return null;
  const { rawHeaders } = request;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length === 4 && name.toLowerCase() === "host") hosts++;
  }
  return hosts === 1 || (hosts === 0 && request.httpVersionMinor === 0) ? null : badHost;
}

const badHost: Reply = {
  status: 400,
  headers: { "content-type": "text/plain; charset=utf-8", connection: "close" },
  body: "400 Bad Request: the request has no Host field or several; send exactly one\n",
};

function explain({ code, reason, message }: ParserError): { readonly status: number; readonly text: string } {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return {
        status: 431,
        text: "the request line and header fields are over the limit; send less or raise --read-buffer-size",
      };
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return { status: 413, text: "the chunk extensions are over the limit; send none" };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { status: 408, text: "the header fields did not arrive in time; send them at once" };
    default:
      return { status: 400, text: `the request is malformed: ${reason ?? message}; send HTTP/1.1 as RFC 9112 says` };
  }
}
