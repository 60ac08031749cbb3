// The connections of a channel: one as long as it has room for the calls, more when the server's limit is reached.
// Dialling is lazy and one at a time; a connection that breaks or says goodbye is dropped and the next call dials anew.
import { type Clock, systemClock } from "../../kit/clock.ts";
import { messageOf } from "../../kit/errors.ts";
import type { WireLog } from "../log.ts";
import { ClientSession, type GrpcTarget, type KeepAlive, targetText } from "./client-session.ts";
import { GrpcCode, GrpcStatusError } from "./types.ts";

export interface ChannelOptions {
  readonly target: GrpcTarget;
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
  readonly userAgent: string;
  readonly log: WireLog;
  /** For dialling, until the server's SETTINGS are here. */
  readonly connectTimeoutMs?: number;
  /** Null (default): no pings. */
  readonly keepAlive?: KeepAlive | null;
  /** The `:authority` header; by default the target's address. */
  readonly authority?: string;
  readonly clock?: Clock;
}

const connectTimeoutDefaultMs = 20_000;
/** Calls at a time on one connection before a further one is opened, if the server allows as many. */
const callsPerSessionMax = 1000;
const sessionsMax = 16;

interface Waiting {
  readonly resolve: (session: ClientSession) => void;
  readonly reject: (error: unknown) => void;
}

export class SessionPool {
  readonly #options: ChannelOptions;
  readonly #clock: Clock;
  readonly #sessions: ClientSession[] = [];
  readonly #closing = new Set<ClientSession>();
  #waiting: Waiting[] = [];
  #dialing: Promise<void> | null = null;
  #closed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** A session with room for one call, which the caller opens at once. Rejects with UNAVAILABLE. */
  acquire(): ClientSession | Promise<ClientSession> {
    if (this.#waiting.length === 0) {
      for (const session of this.#sessions) if (session.free) return session;
    }
    if (this.#closed) return Promise.reject(closedStatus());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#serve();
    });
  }

  /** Refuses new calls and ends the connections after the calls in flight. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closedStatus());
    await this.#dialing;
    await Promise.all([...this.#sessions, ...this.#closing].map((session) => session.close()));
  }

  /** Gives out what room there is, and dials when calls still wait. */
  #serve(): void {
    while (this.#waiting.length > 0) {
      const session = this.#sessions.find((candidate) => candidate.free);
      if (session === undefined) break;
      this.#waiting.shift()?.resolve(session.reserve());
    }
    if (this.#waiting.length > 0 && this.#dialing === null && this.#sessions.length < sessionsMax) this.#dialing = this.#dial();
  }

  async #dial(): Promise<void> {
    try {
      const session = await ClientSession.dial({
        target: this.#options.target,
        connectTimeoutMs: this.#options.connectTimeoutMs ?? connectTimeoutDefaultMs,
        streamsMax: callsPerSessionMax,
        keepAlive: this.#options.keepAlive ?? null,
        clock: this.#clock,
        onEnd: (ended) => this.#drop(ended),
        onIdle: () => this.#serve(),
      });
      this.#sessions.push(session);
    } catch (error) {
      this.#options.log.debug(`gRPC connection to ${targetText(this.#options.target)} failed: ${messageOf(error)}`);
      if (this.#sessions.length === 0) for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
    } finally {
      this.#dialing = null;
    }
    this.#serve();
  }

  #drop(session: ClientSession): void {
    const index = this.#sessions.indexOf(session);
    if (index >= 0) this.#sessions.splice(index, 1);
    this.#closing.add(session);
    void session.closed.then(() => this.#closing.delete(session));
    this.#serve();
  }
}

function closedStatus(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.CANCELLED, "grpc: the client connection is closing");
}
