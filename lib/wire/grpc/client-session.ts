// One HTTP/2 connection of a channel: dialling, its limits, pings that find out when the other end is gone, and the end.
// A session is used from the moment the other end's SETTINGS are here, so a peer that is no HTTP/2 server fails the dial.
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock, Timer } from "../../kit/clock.ts";
import { messageOf } from "../../kit/errors.ts";
import { handshakeErrorText, type SecureConnect } from "../secure.ts";
import { GrpcCode, GrpcStatusError } from "./types.ts";

export type GrpcTarget =
  | {
      readonly host: string;
      readonly port: number;
      /** TLS by this way of connecting, or one that takes any certificate: right only for the app's own port. */
      readonly tls?: SecureConnect | "unverified";
    }
  | { readonly path: string };

export interface KeepAlive {
  /** Between pings; Go servers allow no less than 8 s, others often no less than 5 min. */
  readonly intervalMs: number;
  /** The connection is given up when a ping is not answered in this time. */
  readonly timeoutMs: number;
  /** Ping also while no call is running. */
  readonly withoutCalls: boolean;
}

export interface SessionOptions {
  readonly target: GrpcTarget;
  readonly connectTimeoutMs: number;
  readonly streamsMax: number;
  readonly keepAlive: KeepAlive | null;
  readonly clock: Clock;
  readonly onEnd: (session: ClientSession) => void;
  readonly onIdle: () => void;
}

/** Bytes a peer may send ahead of us, per call and per connection: enough to keep a local link busy. */
const streamWindowBytes = 1024 * 1024;
const sessionWindowBytes = 8 * 1024 * 1024;
/** node:http2 ends a session beyond this; its default is less than three full-sized messages. */
const sessionMemoryMaxMegabytes = 256;
const headerPairsMax = 512;

export class ClientSession {
  readonly #session: ClientHttp2Session;
  readonly #options: SessionOptions;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  /** Calls running and calls about to start. */
  #streams = 0;
  #reserved = 0;
  #usable = true;
  #pingTimer: Timer | null = null;

  private constructor(session: ClientHttp2Session, options: SessionOptions) {
    this.#session = session;
    this.#options = options;
    session.on("goaway", () => this.#retire());
    this.closed = new Promise((resolve) => {
      session.on("close", () => {
        this.#retire();
        resolve();
      });
    });
    this.#schedulePing();
  }

  /** Rejects with UNAVAILABLE. */
  static dial(options: SessionOptions): Promise<ClientSession> {
    return new Promise((resolve, reject) => {
      const session = open(options.target);
      const give = (cause: string) => {
        timer.cancel();
        session.destroy();
        reject(new GrpcStatusError(GrpcCode.UNAVAILABLE, `connection error: desc = "transport: ${cause}"`));
      };
      const address = targetText(options.target);
      const timer = options.clock.after(options.connectTimeoutMs, () =>
        give(`Error while dialing: dial ${address}: no HTTP/2 connection within ${options.connectTimeoutMs} ms`),
      );
      // Stays for the session's life: an unheard "error" event would end the process.
      session.on("error", (error) => give(dialCause(error, address)));
      session.once("close", () => give(`dial ${address}: the connection closed before the server's HTTP/2 settings came`));
      session.once("remoteSettings", () => {
        timer.cancel();
        session.setLocalWindowSize(sessionWindowBytes);
        resolve(new ClientSession(session, options));
      });
    });
  }

  /** Whether another call may start now. */
  get free(): boolean {
    return (
      this.#usable && this.#streams < Math.min(this.#options.streamsMax, this.#session.remoteSettings.maxConcurrentStreams ?? Infinity)
    );
  }

  /** Keeps room for a call whose caller opens it in a later microtask. */
  reserve(): this {
    this.#streams++;
    this.#reserved++;
    return this;
  }

  /** Gives back what `reserve` kept, when the call does not come about. */
  release(): void {
    if (this.#reserved === 0) return;
    this.#reserved--;
    this.#streams--;
    this.#options.onIdle();
  }

  /** Starts a call, while `free` or once per `reserve`. Throws when the connection broke since; then nothing was sent. */
  open(headers: OutgoingHttpHeaders | readonly string[]): ClientHttp2Stream {
    const stream = this.#session.request(headers as OutgoingHttpHeaders);
    if (this.#reserved > 0) this.#reserved--;
    else this.#streams++;
    stream.on("close", () => {
      this.#streams--;
      this.#options.onIdle();
    });
    return stream;
  }

  /** Ends the connection after the calls in flight. */
  close(): Promise<void> {
    this.#retire();
    if (!this.#session.destroyed) this.#session.close();
    return this.closed;
  }

  #retire(): void {
    if (!this.#usable) return;
    this.#usable = false;
    this.#pingTimer?.cancel();
    this.#options.onEnd(this);
  }

  #schedulePing(): void {
    const { keepAlive, clock } = this.#options;
    if (keepAlive === null || !this.#usable) return;
    this.#pingTimer = clock.after(keepAlive.intervalMs, () => {
      if (this.#streams > 0 || keepAlive.withoutCalls) this.#ping(keepAlive);
      else this.#schedulePing();
    });
  }

  #ping(keepAlive: KeepAlive): void {
    this.#pingTimer = this.#options.clock.after(keepAlive.timeoutMs, () =>
      this.#session.destroy(new Error("keepalive ping failed to receive ACK")),
    );
    this.#session.ping((error) => {
      this.#pingTimer?.cancel();
      if (error === null) this.#schedulePing();
    });
  }
}

function open(target: GrpcTarget): ClientHttp2Session {
  const socket = openSocket(target);
  socket.setNoDelay(true);
  return connect(`${schemeOf(target)}://localhost`, {
    createConnection: () => socket,
    maxSessionMemory: sessionMemoryMaxMegabytes,
    maxHeaderListPairs: headerPairsMax,
    settings: { enablePush: false, initialWindowSize: streamWindowBytes },
  });
}

function openSocket(target: GrpcTarget): Socket {
  if ("path" in target) return connectSocket(target.path);
  const { host, port } = target;
  if (target.tls === undefined) return connectSocket(port, host);
  if (target.tls !== "unverified") return target.tls({ host, port });
  return connectTls({ host, port, ALPNProtocols: ["h2"], rejectUnauthorized: false });
}

export function schemeOf(target: GrpcTarget): "http" | "https" {
  return "tls" in target && target.tls !== undefined ? "https" : "http";
}

/** In the words of Go's dialler, which people grep for. */
function dialCause(error: Error, address: string): string {
  const { code = "", syscall } = error as NodeJS.ErrnoException;
  const secured = "reason" in error || code.startsWith("ERR_SSL") || code.startsWith("ERR_TLS") || certificateCode.test(code);
  if (secured && syscall === undefined) return `authentication handshake failed: ${handshakeErrorText(error)}`;
  return `Error while dialing: dial ${address}: ${socketCauses[code] ?? messageOf(error)}`;
}

const socketCauses: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  ENOENT: "connect: no such file or directory",
  ECONNRESET: "read: connection reset by peer",
};
/** How OpenSSL's verification errors begin in Node. */
const certificateCode = /^(CERT|UNABLE|SELF_SIGNED|DEPTH_ZERO|INVALID|PATH_LENGTH|ERROR_IN_CERT|HOSTNAME)_/;

export function targetText(target: GrpcTarget): string {
  if ("path" in target) return `unix ${target.path}`;
  return `tcp ${authorityOf(target)}`;
}

/** `host:port`, with brackets around an IPv6 address. */
export function authorityOf(target: GrpcTarget): string {
  if ("path" in target) return "localhost";
  return target.host.includes(":") ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
}
