// Small questions to a port: does it accept, what does it answer.
import { type RequestOptions, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect, createServer, type Server } from "node:net";

/** Whether something accepts TCP connections there. */
export function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

/** Listens on a port for as long as it is not disposed of. */
export async function hold(host: string, port: number): Promise<AsyncDisposable> {
  const server: Server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return { [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) };
}

/** The status of GET over HTTP/2 with prior knowledge; 0 when there is no HTTP/2. */
export function http2Status(url: string, path: string): Promise<number> {
  return new Promise((resolve) => {
    const session = connectHttp2(url);
    const settle = (status: number) => {
      session.destroy();
      resolve(status);
    };
    session.on("error", () => settle(0));
    session.on("close", () => settle(0));
    const stream = session.request({ ":path": path });
    stream.on("error", () => settle(0));
    stream.on("response", (headers) => settle(Number(headers[":status"])));
  });
}

/** The status of a GET on a connection of its own, to a port or through a Unix socket. */
export function freshStatus(options: RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, agent: false }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    sent.on("error", reject);
    sent.end();
  });
}
