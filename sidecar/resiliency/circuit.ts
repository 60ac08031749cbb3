// The pump of breaker.ts: one circuit breaker, asked before each call and told how it ended.
import type { Clock } from "../../lib/kit/clock.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { BreakerRefusal } from "../contract/failure.ts";
import { type BreakerEvent, type BreakerMode, type BreakerSettings, closedBreaker, stepBreaker } from "./breaker.ts";

export class Circuit {
  readonly #name: string;
  readonly #settings: BreakerSettings;
  readonly #clock: Clock;
  readonly #log: Logger;
  #state: ReturnType<typeof closedBreaker>;

  constructor(name: string, settings: BreakerSettings, clock: Clock, log: Logger) {
    this.#name = name;
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
    this.#state = closedBreaker(settings, clock.monotonic());
  }

  get mode(): BreakerMode {
    this.#step({ kind: "look", nowMs: this.#clock.monotonic() });
    return this.#state.mode;
  }

  /** Rejects with BreakerRefusal, or as `operation` does. `onChange` is told when this call's end opened or closed the breaker. */
  async run<T>(operation: () => Promise<T>, onChange: ((mode: BreakerMode) => void) | null): Promise<T> {
    const generation = this.#enter();
    let success = false;
    try {
      const result = await operation();
      success = true;
      return result;
    } finally {
      const before = this.mode;
      this.#step({ kind: "result", nowMs: this.#clock.monotonic(), generation, success });
      if (this.#state.mode !== before) onChange?.(this.#state.mode);
    }
  }

  /** The generation that the call belongs to. Throws BreakerRefusal. */
  #enter(): number {
    for (const effect of this.#step({ kind: "request", nowMs: this.#clock.monotonic() })) {
      if (effect.kind === "refused") throw new BreakerRefusal(effect.reason);
    }
    return this.#state.generation;
  }

  #step(event: BreakerEvent) {
    const [state, effects] = stepBreaker(this.#settings, this.#state, event);
    this.#state = state;
    for (const effect of effects) {
      if (effect.kind === "changed") {
        this.#log.info(`Circuit breaker ${JSON.stringify(this.#name)} changed state from ${effect.from} to ${effect.to}`);
      }
    }
    return effects;
  }
}
