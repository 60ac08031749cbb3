// Clients of the open loop, cheap enough to share a core with the app under test: HTTP/1.1 over a pool of plain sockets that
// reads only what it must, gRPC over one node:http2 session.
import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import type { GrpcWork, HttpWork, Work } from "../works.ts";
import type { Send } from "./open-loop.ts";
import { loadSocket } from "./socket.ts";

export interface LoadClient {
  readonly send: Send;
  readonly close: () => void;
}

export function loadClient(work: Work, port: number): LoadClient {
  return work.kind === "http" ? httpClient(work, port) : grpcClient(work, port);
}

/** Bytes of an HTTP/1.1 response that ends here, or null when more must come. */
export function responseEnd(text: string): { readonly status: number } | null {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return null;
  const status = Number(text.slice(9, 12));
  const headers = text.slice(0, head).toLowerCase();
  const length = /\r\ncontent-length: *(\d+)/.exec(headers);
  if (length !== null) return text.length >= head + 4 + Number(length[1]) ? { status } : null;
  if (/\r\ntransfer-encoding: *chunked/.test(headers)) return text.endsWith("0\r\n\r\n") ? { status } : null;
  return { status };
}

function httpClient(work: HttpWork, port: number): LoadClient {
  const length = work.method === "POST" ? `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(work.body)}\r\n` : "";
  const request = Buffer.from(`${work.method} ${work.path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${length}\r\n${work.body}`);
  const idle: Socket[] = [];
  const all = new Set<Socket>();
  const open = () => {
    const socket = loadSocket(port, false);
    all.add(socket);
    return socket;
  };
  const send = () =>
    new Promise<void>((resolve, reject) => {
      const socket = idle.pop() ?? open();
      let text = "";
      const onData = (chunk: Buffer) => {
        text += chunk.toString("latin1");
        const end = responseEnd(text);
        if (end === null) return;
        socket.off("data", onData).off("error", reject);
        idle.push(socket);
        if (work.statuses.includes(end.status)) resolve();
        else reject(new Error(`${work.name}: status ${end.status}: ${text.slice(0, 500)}`));
      };
      socket.on("data", onData).once("error", reject);
      socket.write(request);
    });
  return { send, close: () => all.forEach((socket) => void socket.destroy()) };
}

function grpcClient(work: GrpcWork, port: number): LoadClient {
  const session = connectHttp2(`${work.tls ? "https" : "http"}://127.0.0.1:${port}`, {
    createConnection: () => loadSocket(port, work.tls),
  });
  session.on("error", () => {});
  const headers = { ":method": "POST", ":path": work.path, "content-type": "application/grpc", te: "trailers", ...work.metadata };
  const send = () =>
    new Promise<void>((resolve, reject) => {
      const stream = session.request(headers);
      let status = "";
      const note = (fields: object) => {
        const found = (fields as Record<string, unknown>)["grpc-status"];
        if (found !== undefined) status = `${String(found)} ${String((fields as Record<string, unknown>)["grpc-message"] ?? "")}`.trim();
      };
      stream.on("response", note).on("trailers", note).on("error", reject);
      stream.on("close", () => (status === "0" ? resolve() : reject(new Error(`${work.name}: grpc-status ${status || "missing"}`))));
      stream.resume();
      stream.end(work.body);
    });
  return { send, close: () => session.destroy() };
}
