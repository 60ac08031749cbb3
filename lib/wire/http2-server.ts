// The node:http2 server behind a listener, with the limits and the keepalive of Dapr's gRPC servers: it pings quiet
// clients, leaves idle ones with a GOAWAY, and ends those that ping too often.
import { constants, createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { type Clock, systemClock, type Timer } from "../kit/clock.ts";

export interface Http2ServerOptions {
  /** Largest header list accepted, 64 KiB at most; beyond it the stream is reset with ENHANCE_YOUR_CALM. */
  readonly maxHeaderListBytes: number;
  /** Null: none, as in Go. */
  readonly maxConcurrentStreams?: number | null;
  /** GOAWAY after this long without a call. Null: never. */
  readonly idleTimeoutMs?: number | null;
  readonly pingIntervalMs?: number;
  readonly pingTimeoutMs?: number;
  /** A client that pings more often than this, three times, is sent away. */
  readonly pingMinIntervalMs?: number;
  readonly clock?: Clock;
}

/** Dapr's values. */
export const keepaliveDefaults = {
  idleTimeoutMs: 180_000,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 5_000,
  pingMinIntervalMs: 8_000,
} as const;

const pingStrikesMax = 2;
/** What goes out between two pings when there is nothing to say: the answer to the first and a ping of our own. */
const pingFramesBytes = 2 * 17;
/** Bytes a peer may send ahead of us, per stream and per connection. */
const streamWindowBytes = 1024 * 1024;
const sessionWindowBytes = 8 * 1024 * 1024;
const sessionMemoryMaxMegabytes = 256;
const headerPairsMax = 512;
/**
 * nghttp2 ends the whole connection (COMPRESSION_ERROR) at a longer header block, whatever is configured. Told of this
 * limit, Go clients fail the one call instead.
 */
const headerListMaxBytes = 65_536;
/** Clients cancel many calls at once when a deadline passes; the default of 1000 then 33 per second cuts them off. */
const streamResetBurst = 10_000;
const streamResetPerSecond = 1_000;

/** An HTTP/2 server without TLS that does not listen: connections come by its "connection" event. */
export function createH2cServer(options: Http2ServerOptions): Http2Server {
  const server = createServer({
    maxSessionMemory: sessionMemoryMaxMegabytes,
    maxHeaderListPairs: headerPairsMax,
    streamResetBurst,
    streamResetRate: streamResetPerSecond,
    settings: {
      initialWindowSize: streamWindowBytes,
      maxHeaderListSize: Math.min(options.maxHeaderListBytes, headerListMaxBytes),
      ...(options.maxConcurrentStreams == null ? {} : { maxConcurrentStreams: options.maxConcurrentStreams }),
    },
  });
  server.on("session", (session) => {
    session.setLocalWindowSize(sessionWindowBytes);
    new SessionKeeper(session as ServerHttp2Session, options);
  });
  server.on("sessionError", ignore);
  return server;
}

/** Keepalive of one session. Its timers end with the session. */
class SessionKeeper {
  readonly #session: ServerHttp2Session;
  readonly #clock: Clock;
  readonly #idleTimeoutMs: number | null;
  readonly #pingIntervalMs: number;
  readonly #pingTimeoutMs: number;
  readonly #pingMinIntervalMs: number;
  #streams = 0;
  #strikes = 0;
  #lastPingAt = Number.NEGATIVE_INFINITY;
  #bytesReadSeen = 0;
  #bytesWrittenSeen = 0;
  #idleTimer: Timer | null = null;
  #pingTimer: Timer | null = null;

  constructor(session: ServerHttp2Session, options: Http2ServerOptions) {
    this.#session = session;
    this.#clock = options.clock ?? systemClock;
    this.#idleTimeoutMs = options.idleTimeoutMs === undefined ? keepaliveDefaults.idleTimeoutMs : options.idleTimeoutMs;
    this.#pingIntervalMs = options.pingIntervalMs ?? keepaliveDefaults.pingIntervalMs;
    this.#pingTimeoutMs = options.pingTimeoutMs ?? keepaliveDefaults.pingTimeoutMs;
    this.#pingMinIntervalMs = options.pingMinIntervalMs ?? keepaliveDefaults.pingMinIntervalMs;
    session.on("stream", (stream) => {
      this.#streams++;
      this.#idleTimer?.cancel();
      stream.once("close", () => this.#streamClosed());
    });
    session.on("ping", () => this.#pinged());
    session.on("error", ignore);
    session.on("close", () => this.#stop());
    this.#watchIdle();
    this.#watchPeer();
  }

  #streamClosed(): void {
    if (--this.#streams === 0) this.#watchIdle();
  }

  #watchIdle(): void {
    if (this.#idleTimeoutMs === null || this.#session.closed) return;
    this.#idleTimer = this.#clock.after(this.#idleTimeoutMs, () => this.#session.close());
  }

  /** Pings a peer that was silent for a whole interval. */
  #watchPeer(): void {
    if (this.#session.destroyed) return;
    this.#pingTimer = this.#clock.after(this.#pingIntervalMs, () => {
      const bytes = this.#session.socket?.bytesRead ?? 0;
      const silent = bytes === this.#bytesReadSeen;
      this.#bytesReadSeen = bytes;
      if (silent) this.#ping();
      else this.#watchPeer();
    });
  }

  #ping(): void {
    if (this.#session.destroyed) return;
    this.#pingTimer = this.#clock.after(this.#pingTimeoutMs, () => this.#session.destroy());
    this.#session.ping((error) => {
      this.#pingTimer?.cancel();
      if (error === null) this.#watchPeer();
    });
  }

  #pinged(): void {
    const now = this.#clock.monotonic();
    const written = this.#session.socket?.bytesWritten ?? 0;
    // Go clients measure the link with a ping whenever data comes: those are no strikes.
    const answering = written - this.#bytesWrittenSeen > pingFramesBytes;
    if (answering) this.#strikes = 0;
    else if (now - this.#lastPingAt < this.#pingMinIntervalMs) this.#strikes++;
    this.#bytesWrittenSeen = written;
    this.#lastPingAt = now;
    if (this.#strikes <= pingStrikesMax) return;
    this.#session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, undefined, Buffer.from("too_many_pings"));
    this.#session.destroy();
  }

  #stop(): void {
    this.#idleTimer?.cancel();
    this.#pingTimer?.cancel();
  }
}

function ignore(): void {}
