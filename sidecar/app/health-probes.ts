// The pump of the app's health machine: probes at once, then every interval, one probe at a time.
import type { Clock, Timer } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { initialHealth, onProbe } from "./health-state.ts";

export interface HealthSettings {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Failures in a row that make the app unhealthy. */
  readonly threshold: number;
}

/** Resolves when the app is well; rejects with the reason when it is not. */
export type Probe = (signal: AbortSignal) => Promise<void>;

export class HealthProbes {
  readonly #settings: HealthSettings;
  readonly #probe: Probe;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #changed: (healthy: boolean) => void;
  #state;
  #timer: Timer | null = null;
  #running: AbortController | null = null;
  #stopped = false;

  constructor(settings: HealthSettings, probe: Probe, clock: Clock, log: Logger, changed: (healthy: boolean) => void) {
    this.#settings = settings;
    this.#probe = probe;
    this.#clock = clock;
    this.#log = log;
    this.#changed = changed;
    this.#state = initialHealth(settings.threshold);
  }

  get healthy(): boolean {
    return this.#state.healthy;
  }

  start(): void {
    this.#log.info("App health probes starting");
    void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#running?.abort(new Error("app health probes are stopping"));
  }

  async #run(): Promise<void> {
    const startedMs = this.#clock.monotonic();
    const failure = await this.#probeOnce();
    if (this.#stopped) return;
    this.#apply(failure);
    const elapsedMs = this.#clock.monotonic() - startedMs;
    this.#timer = this.#clock.after(Math.max(0, this.#settings.intervalMs - elapsedMs), () => void this.#run());
  }

  /** Null when the app is well, else why not. Never rejects. */
  async #probeOnce(): Promise<string | null> {
    const abort = new AbortController();
    this.#running = abort;
    const { timeoutMs } = this.#settings;
    const timeout = this.#clock.after(timeoutMs, () => abort.abort(new Error(`no answer within ${timeoutMs} ms`)));
    try {
      await this.#probe(abort.signal);
      return null;
    } catch (error) {
      return messageOf(error);
    } finally {
      timeout.cancel();
      this.#running = null;
    }
  }

  #apply(failure: string | null): void {
    const step = onProbe(this.#state, failure === null, this.#settings.threshold);
    this.#state = step.state;
    if (!step.changed) return;
    if (step.state.healthy) this.#log.info("App entered healthy status");
    else this.#log.warn(`App entered un-healthy status: ${failure}`);
    this.#changed(step.state.healthy);
  }
}
