// The blocking end of a subscription: a connection of its own that waits inside XREADGROUP, and can be woken. On a single server it is woken
// by CLIENT UNBLOCK, which loses nothing: the reply is either entries or none. Elsewhere, where the connection may be any of several, it
// waits in short turns.
import { type Clock, sleep } from "../../../lib/kit/clock.ts";
import type { RedisConnection } from "../../shared/redis.ts";
import type { Entry, Stream } from "./stream.ts";

const blockMs = 5000;
const shortBlockMs = 500;
const wakeAgainMs = 20;

export class Reader {
  readonly #stream: Stream;
  /** For everybody's commands. */
  readonly #main: RedisConnection;
  readonly #own: RedisConnection;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  /** The server's number of the waiting connection; null when it is unknown or does not wait. */
  #clientId: string | null = null;

  constructor(stream: Stream, main: RedisConnection, own: RedisConnection, clock: Clock) {
    this.#stream = stream;
    this.#main = main;
    this.#own = own;
    this.#clock = clock;
  }

  /** Up to `count` new entries, none after a while without. One call at a time. */
  async read(count: number): Promise<readonly Entry[]> {
    const { signal } = this.#closing;
    if (!this.#own.ordered) return this.#stream.read(this.#own, count, shortBlockMs, signal);
    const identified = this.#own.send(null, ["CLIENT", "ID"], signal).then((id) => {
      this.#clientId = String(id);
    });
    try {
      const [entries] = await Promise.all([this.#stream.read(this.#own, count, blockMs, signal), identified]);
      return entries;
    } finally {
      this.#clientId = null;
    }
  }

  /** Ends a waiting read() and resolves when `loops`, which read, have ended; entries on their way still arrive. */
  async close(loops: Promise<unknown>): Promise<void> {
    let ended = false;
    const watched = loops.finally(() => {
      ended = true;
    });
    while (!ended) {
      if (this.#clientId !== null) {
        const wake = ["CLIENT", "UNBLOCK", this.#clientId];
        // Without a connection there is nothing to wake: the read fails by itself.
        await this.#main.send(null, wake, this.#closing.signal).catch(() => {});
      }
      await Promise.race([watched, sleep(this.#clock, wakeAgainMs)]);
    }
    this.#closing.abort();
    this.#own.close();
  }
}
