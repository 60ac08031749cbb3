// One login to Redis for drivers of every kind: connects with a bounded number of attempts, then stays connected by itself. Commands
// that did not reach the server are tried again with growing pauses; one that may have been executed is tried again only when
// doing it twice is the same as once. Nothing waits longer than the settings allow, and nothing secret is logged.
import { assert } from "../../lib/kit/assert.ts";
import { type Clock, sleep, type Timer } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { type Channel, type Engine, makeEngine, type RedisArguments, type Send, type Unlisten } from "./redis-engine.ts";
import { causeOf, isConnectionError, isLoginError, isNotExecuted, RedisUnavailableError, remedyOf } from "./redis-errors.ts";
import type { RedisSettings } from "./redis-settings.ts";

export interface RedisSurroundings {
  readonly clock: Clock;
  readonly log: Logger;
  /** The connection is there again after it was lost, perhaps to another server. */
  readonly onBack?: () => void;
}

export interface SendOptions {
  /** Executing it twice does no harm. */
  readonly idempotent: boolean;
  /** Waits this long inside the server, on top of the command timeout. */
  readonly blocksMs?: number;
}

const idempotent: SendOptions = { idempotent: true };
/** How often commands in flight are looked at for an abort or a timeout. */
const watchIntervalMs = 50;

interface InFlight {
  readonly signal: AbortSignal;
  /** Of the monotonic clock. */
  readonly until: number;
  readonly reject: (error: unknown) => void;
}

export class RedisConnection {
  readonly #settings: RedisSettings;
  readonly #surroundings: RedisSurroundings;
  readonly #engine: Engine;
  readonly #inFlight = new Set<InFlight>();
  readonly #closing = new AbortController();
  #watch: Timer | null = null;
  #connected = false;
  /** Something was logged about an outage that is not over. */
  #outage = false;

  private constructor(settings: RedisSettings, surroundings: RedisSurroundings, blocking: boolean) {
    this.#settings = settings;
    this.#surroundings = surroundings;
    this.#engine = makeEngine(
      settings,
      {
        onError: (error) => this.#lost(error),
        onReady: () => this.#ready(),
        reconnect: (retries, cause) => this.#reconnect(retries, cause),
      },
      blocking,
    );
  }

  /** Rejects with cause and remedy when the server cannot be reached or refuses the login. */
  static async open(
    settings: RedisSettings,
    surroundings: RedisSurroundings,
    signal: AbortSignal,
    blocking = false,
  ): Promise<RedisConnection> {
    signal.throwIfAborted();
    const connection = new RedisConnection(settings, surroundings, blocking);
    const withinMs = settings.dialTimeoutMs * (settings.maxRetries + 1) + settings.maxRetryMs * settings.maxRetries;
    const tooLate = new RedisUnavailableError(`no connection within ${withinMs} ms`);
    const gaveUp = Promise.withResolvers<never>();
    const timer = surroundings.clock.after(withinMs, () => gaveUp.reject(tooLate));
    const onAbort = () => gaveUp.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([connection.#engine.connect(), gaveUp.promise]);
      connection.#connected = true;
      await connection.send(null, ["PING"], signal);
      return connection;
    } catch (error) {
      connection.close();
      signal.throwIfAborted();
      const cause = causeOf(error);
      const where = settings.addresses.map(({ host, port }) => `${host}:${port}`).join(",");
      const text = `error connecting to redis at ${where}: ${messageOf(cause)}; ${remedyOf(cause)}`;
      throw new RedisUnavailableError(text, { cause });
    } finally {
      timer.cancel();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** A connection of its own with the same login, for commands that block or whose order counts. */
  another(signal: AbortSignal, onBack: () => void = () => {}): Promise<RedisConnection> {
    return RedisConnection.open(this.#settings, { ...this.#surroundings, onBack }, signal, true);
  }

  /** False in a cluster, where listen() cannot hear everything. */
  get listens(): boolean {
    return this.#engine.listen !== null;
  }

  /** Calls `listener` with the channel of each message that is published there, again after outages. On a connection that does nothing else. */
  async listen(target: Channel, listener: (channel: string) => void, signal: AbortSignal): Promise<Unlisten> {
    assert(this.#engine.listen !== null, "a cluster has no channel for everything");
    const listening = this.#engine.listen(target, listener);
    try {
      return (await this.#attempt(() => listening, signal, 0)) as Unlisten;
    } catch (error) {
      // It may still come about, when nobody wants it any more.
      listening
        .then(
          (end) => end(),
          () => {},
        )
        .catch(() => {});
      throw error;
    }
  }

  /** True when all commands of this connection are executed in the order in which they were sent. */
  get ordered(): boolean {
    return this.#engine.single;
  }

  get mode(): RedisSettings["mode"] {
    return this.#settings.mode;
  }

  /** Sends a command to whoever holds `key`. Replies: Buffer for blobs, string for a status, number, null, arrays of these. */
  send(key: string | null, args: RedisArguments, signal: AbortSignal, options: SendOptions = idempotent): Promise<unknown> {
    const first = this.#attempt(() => this.#engine.send(key, args), signal, options.blocksMs ?? 0);
    return first.catch((error: unknown) => this.#again(error, key, args, signal, options));
  }

  /** A way to each master, for commands without a key; one attempt each. */
  async masters(signal: AbortSignal): Promise<readonly Send[]> {
    const masters = (await this.#attempt(() => this.#engine.masters(), signal, 0)) as readonly Send[];
    return masters.map((send) => (args: RedisArguments) => this.#attempt(() => send(args), signal, 0));
  }

  /** Idempotent. Commands in flight are rejected. */
  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new RedisUnavailableError("the connection to redis is closed"));
    this.#watch?.cancel();
    this.#engine.destroy();
    for (const { reject } of this.#inFlight) reject(this.#closing.signal.reason);
    this.#inFlight.clear();
  }

  async #again(failure: unknown, key: string | null, args: RedisArguments, signal: AbortSignal, options: SendOptions): Promise<unknown> {
    const { maxRetries, minRetryMs, maxRetryMs } = this.#settings;
    let error = failure;
    for (let retry = 0; retry < maxRetries && this.#mayRepeat(error, options); retry++) {
      await sleep(this.#surroundings.clock, Math.min(maxRetryMs, minRetryMs * 2 ** retry), AbortSignal.any([signal, this.#closing.signal]));
      try {
        return await this.#attempt(() => this.#engine.send(key, args), signal, options.blocksMs ?? 0);
      } catch (again) {
        error = again;
      }
    }
    signal.throwIfAborted();
    this.#closing.signal.throwIfAborted();
    if (!isConnectionError(error) || error instanceof RedisUnavailableError) throw error;
    throw new RedisUnavailableError(`redis cannot be reached: ${messageOf(error)}`, { cause: error });
  }

  #mayRepeat(error: unknown, options: SendOptions): boolean {
    return isNotExecuted(error) || (options.idempotent && isConnectionError(error) && !(error instanceof RedisUnavailableError));
  }

  /** One attempt, which ends with its signal or its time. Timers and listeners of its own would cost more than the command does. */
  #attempt(start: () => Promise<unknown>, signal: AbortSignal, blocksMs: number): Promise<unknown> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#closing.signal.aborted) return Promise.reject(this.#closing.signal.reason);
    return new Promise((resolve, reject) => {
      const { commandTimeoutMs } = this.#settings;
      const until = commandTimeoutMs === 0 ? Number.POSITIVE_INFINITY : this.#surroundings.clock.monotonic() + commandTimeoutMs + blocksMs;
      const entry: InFlight = { signal, until, reject };
      this.#inFlight.add(entry);
      this.#watch ??= this.#surroundings.clock.after(watchIntervalMs, () => this.#look());
      start().then(
        (reply) => {
          this.#inFlight.delete(entry);
          resolve(reply);
        },
        (error: unknown) => {
          this.#inFlight.delete(entry);
          reject(error);
        },
      );
    });
  }

  #look(): void {
    this.#watch = null;
    const now = this.#surroundings.clock.monotonic();
    for (const entry of this.#inFlight) {
      if (!entry.signal.aborted && now < entry.until) continue;
      this.#inFlight.delete(entry);
      const late = () => new RedisUnavailableError(`redis did not answer within ${this.#settings.commandTimeoutMs} ms`);
      entry.reject(entry.signal.aborted ? entry.signal.reason : late());
    }
    if (this.#inFlight.size > 0) this.#watch = this.#surroundings.clock.after(watchIntervalMs, () => this.#look());
  }

  #reconnect(retries: number, cause: Error): number | Error {
    const { maxRetries, minRetryMs, maxRetryMs } = this.#settings;
    if (this.#closing.signal.aborted) return cause;
    if (!this.#connected && (retries >= maxRetries || isLoginError(cause))) return cause;
    return Math.min(maxRetryMs, Math.max(1, minRetryMs) * 2 ** Math.min(retries, 20));
  }

  #lost(error: unknown): void {
    if (!this.#connected || this.#outage || this.#closing.signal.aborted) return;
    this.#outage = true;
    this.#surroundings.log.warn(`the connection to redis was lost, reconnecting: ${messageOf(causeOf(error))}`);
  }

  #ready(): void {
    if (!this.#outage) return;
    this.#outage = false;
    this.#surroundings.log.info("the connection to redis is back");
    this.#surroundings.onBack?.();
  }
}
