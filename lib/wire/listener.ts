// Our listening sockets: one port for HTTP/1.1 and HTTP/2. A connection is given to node:http or node:http2 by its first
// bytes (RFC 9113, section 3.4: a client with prior knowledge opens with the preface), with TLS in front by what ALPN has
// settled. The listener owns every socket it accepted, so that closing is one call with a grace period.
import type { Server as Http1Server, ServerResponse } from "node:http";
import type { Http2Server, ServerHttp2Session } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type Clock, systemClock } from "../kit/clock.ts";
import { messageOf } from "../kit/errors.ts";
import { type BoundAddress, bind, type ListenAddress, unbind } from "./listen.ts";
import type { WireLog } from "./log.ts";
import { detectProtocol } from "./preface.ts";
import type { SecureServer } from "./secure.ts";

export type { BoundAddress, ListenAddress } from "./listen.ts";

export interface ListenerOptions {
  /** A server of this listener alone that does not listen itself; null closes HTTP/1.1 connections at once. */
  readonly http1: Http1Server | null;
  /** The same for HTTP/2; null leaves the preface to `http1`, which answers 400. */
  readonly http2: Http2Server | null;
  /** TLS in front of both; null (default) is without. */
  readonly secure?: SecureServer | null;
  readonly log: WireLog;
  /** Names the setting in the message when a port is taken, e.g. `--dapr-http-port`. */
  readonly setting?: string;
  /** Until the first bytes of a connection; the time for whole headers is node:http's `headersTimeout`. */
  readonly firstByteTimeoutMs?: number;
  readonly clock?: Clock;
}

export interface Listener {
  /** What is bound, with real port numbers. */
  readonly addresses: readonly BoundAddress[];
  /** Open connections. */
  readonly connections: number;
  /** Stops accepting, lets running requests end for `graceMs`, then destroys what is left. */
  close(options: { readonly graceMs: number }): Promise<void>;
}

const firstByteTimeoutDefaultMs = 10_000;
/** How often idle HTTP/1.1 connections are looked for while closing. */
const idleSweepMs = 50;

/**
 * Listens on `addresses`; like Dapr it is content when at least one of them can be bound and logs the others. Rejects
 * with the first error otherwise.
 */
export async function createListener(addresses: readonly ListenAddress[], options: ListenerOptions): Promise<Listener> {
  const listener = new PortListener(options);
  await listener.listen(addresses);
  return listener;
}

class PortListener implements Listener {
  readonly addresses: BoundAddress[] = [];
  readonly #options: ListenerOptions;
  readonly #clock: Clock;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Connections that have not shown their protocol. */
  readonly #undecided = new Set<Socket>();
  #closing: Promise<void> | null = null;
  #emptied: (() => void) | null = null;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    // node:http starts enforcing its header and request timeouts, and tracking idle connections, on this event.
    options.http1?.emit("listening");
    options.http2?.on("session", this.#keepSession);
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async listen(addresses: readonly ListenAddress[]): Promise<void> {
    let firstError: unknown = null;
    for (const address of addresses) {
      const server = this.#createServer();
      try {
        this.addresses.push(await bind(server, address, this.#options.setting ?? null));
        server.on("error", (error) => this.#options.log.error(`listener failed: ${messageOf(error)}`));
        this.#servers.push(server);
      } catch (error) {
        firstError ??= error;
        if (addresses.length > 1) this.#options.log.error(messageOf(error));
      }
    }
    if (this.#servers.length === 0) throw firstError ?? new Error("no address to listen on");
  }

  close(options: { readonly graceMs: number }): Promise<void> {
    this.#closing ??= this.#close(options.graceMs);
    return this.#closing;
  }

  #createServer(): Server {
    const secure = this.#options.secure ?? null;
    if (secure === null) {
      return createServer({ noDelay: true }, (socket) => {
        this.#own(socket);
        this.#decide(socket);
      });
    }
    const server = secure.createServer((socket) => this.#secured(socket));
    server.on("connection", (socket: Socket) => {
      socket.setNoDelay(true);
      this.#own(socket);
    });
    return server;
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#forget(socket));
    // Whoever gets the socket adds its own; this one covers the time before and after.
    socket.on("error", ignore);
  }

  /** Closing ends the socket below; the TLS one goes with it. */
  #secured(socket: TLSSocket): void {
    socket.on("error", ignore);
    if (this.#closing !== null) socket.destroy();
    else if (socket.alpnProtocol === "h2") this.#handOver(socket, "http2");
    else this.#decide(socket);
  }

  #decide(socket: Socket): void {
    this.#undecided.add(socket);
    const timeout = this.#clock.after(this.#options.firstByteTimeoutMs ?? firstByteTimeoutDefaultMs, () => socket.destroy());
    socket.on("close", () => {
      timeout.cancel();
      this.#undecided.delete(socket);
    });
    detectProtocol(socket, (protocol) => {
      timeout.cancel();
      this.#undecided.delete(socket);
      this.#handOver(socket, protocol);
    });
  }

  #handOver(socket: Socket, protocol: "http1" | "http2"): void {
    const { http1, http2 } = this.#options;
    const server = protocol === "http2" && http2 !== null ? http2 : http1;
    if (server === null) {
      socket.destroy();
      return;
    }
    server.emit("connection", socket);
    // node:http reads what was put back once the socket flows; node:http2 takes it by itself.
    if (server === http1) socket.resume();
  }

  readonly #keepSession = (session: ServerHttp2Session): void => {
    this.#sessions.add(session);
    session.on("close", () => this.#sessions.delete(session));
    if (this.#closing !== null) session.close();
  };

  #forget(socket: Socket): void {
    this.#sockets.delete(socket);
    if (this.#sockets.size === 0) this.#emptied?.();
  }

  async #close(graceMs: number): Promise<void> {
    const stopped = Promise.all(this.#servers.map(unbind));
    for (const socket of this.#undecided) socket.destroy();
    for (const session of this.#sessions) session.close();
    await this.#empty(graceMs);
    this.#options.http1?.close(ignore);
    this.#options.http2?.off("session", this.#keepSession);
    await stopped;
  }

  /** Resolves when no connection is left, which is after the grace at the latest. */
  #empty(graceMs: number): Promise<void> {
    const { http1 } = this.#options;
    http1?.prependListener("request", sayGoodbye);
    return new Promise((resolve) => {
      const sweep = setInterval(() => http1?.closeIdleConnections(), idleSweepMs);
      const grace = this.#clock.after(graceMs, () => {
        for (const socket of this.#sockets) socket.destroy();
      });
      this.#emptied = () => {
        clearInterval(sweep);
        grace.cancel();
        http1?.off("request", sayGoodbye);
        resolve();
      };
      http1?.closeIdleConnections();
      if (this.#sockets.size === 0) this.#emptied();
    });
  }
}

function sayGoodbye(_request: unknown, response: ServerResponse): void {
  response.setHeader("Connection", "close");
}

function ignore(): void {}
