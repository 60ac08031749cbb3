// Keys to be worked on, each by one worker at a time: a key that comes again while it waits is one key, one that comes
// while it is worked on is worked on once more afterwards, and one that failed comes again after a growing pause.
import { type Clock, systemClock } from "../kit/clock.ts";
import { messageOf } from "../kit/errors.ts";
import type { Logger } from "../telemetry/log.ts";
import { Backoff } from "./backoff.ts";
import { isStatus } from "./error.ts";

export interface WorkQueueOptions {
  readonly name: string;
  /** A rejection brings the key back later; resolving with milliseconds does so as well, without being a failure; null is done. */
  readonly work: (key: string, signal: AbortSignal) => Promise<number | null>;
  readonly log: Logger;
  readonly concurrency?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly onFailure?: (key: string, error: unknown) => void;
}

const retryFirstMs = 100;
const retryMaxMs = 60_000;

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #clock: Clock;
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  /** Came again while being worked on. */
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, Backoff>();
  #signal: AbortSignal | null = null;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  add(key: string): void {
    if (this.#working.has(key)) this.#again.add(key);
    else this.#waiting.add(key);
    this.#next();
  }

  /** Begins to work; keys added before have waited. Resolves when the signal has aborted and nothing is being worked on. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#next();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    while (this.#working.size > 0) await new Promise((resolve) => setImmediate(resolve));
    this.#signal = null;
  }

  /** Waiting and being worked on. */
  get size(): number {
    return this.#waiting.size + this.#working.size;
  }

  #next(): void {
    const { concurrency = 4 } = this.#options;
    if (this.#signal === null || this.#signal.aborted) return;
    for (const key of this.#waiting) {
      if (this.#working.size >= concurrency) return;
      this.#waiting.delete(key);
      this.#working.add(key);
      void this.#work(key, this.#signal);
    }
  }

  async #work(key: string, signal: AbortSignal): Promise<void> {
    try {
      const again = await this.#options.work(key, signal);
      this.#failures.delete(key);
      if (again !== null) this.#later(key, again);
    } catch (error) {
      if (!signal.aborted) this.#failed(key, error);
    } finally {
      this.#working.delete(key);
      if (this.#again.delete(key)) this.#waiting.add(key);
      this.#next();
    }
  }

  #failed(key: string, error: unknown): void {
    const { name, log, random, onFailure } = this.#options;
    const backoff = this.#failures.get(key) ?? new Backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs, ...(random && { random }) });
    this.#failures.set(key, backoff);
    const waitMs = backoff.next();
    // Somebody else was faster: that is how it works, not a problem. And one line per trouble, not per try.
    const level = isStatus(error, 409) || backoff.failures > 1 ? "debug" : "warn";
    log[level](`${name} ${key}: ${messageOf(error)}; trying again in ${Math.round(waitMs)} ms`);
    onFailure?.(key, error);
    this.#later(key, waitMs);
  }

  #later(key: string, delayMs: number): void {
    this.#clock.after(delayMs, () => this.add(key));
  }
}
