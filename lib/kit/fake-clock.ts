// A clock for tests: time stands still until the test moves it, and `untilWaiting` lets the test wait for the code
// under test to reach its timer, so that no test sleeps (the idea is spire's test/clock).
import type { Clock, Timer } from "./clock.ts";

interface Pending {
  readonly at: number;
  readonly fire: () => void;
}

export class FakeClock implements Clock {
  #now: number;
  readonly #start: number;
  readonly #pending = new Set<Pending>();
  #watchers: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs;
    this.#start = startMs;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now - this.#start;
  }

  after(delayMs: number, fire: () => void): Timer {
    const entry: Pending = { at: this.#now + Math.max(0, delayMs), fire };
    this.#pending.add(entry);
    this.#notify();
    return { cancel: () => void this.#pending.delete(entry) };
  }

  /** How many timers are waiting. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** Resolves once at least `count` timers wait. */
  untilWaiting(count = 1): Promise<void> {
    if (this.#pending.size >= count) return Promise.resolve();
    return new Promise((resolve) => this.#watchers.push({ count, resolve }));
  }

  /** Moves time forward, firing due timers in order, each followed by a turn of the microtask queue. */
  async advance(byMs: number): Promise<void> {
    const until = this.#now + byMs;
    for (;;) {
      let next: Pending | undefined;
      for (const entry of this.#pending) if (entry.at <= until && (!next || entry.at < next.at)) next = entry;
      if (!next) break;
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.fire();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    this.#now = until;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  #notify(): void {
    const ready = this.#watchers.filter((w) => this.#pending.size >= w.count);
    this.#watchers = this.#watchers.filter((w) => this.#pending.size < w.count);
    for (const watcher of ready) watcher.resolve();
  }
}
