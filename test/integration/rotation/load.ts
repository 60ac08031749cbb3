// Calls between sidecars at a steady rate, due at fixed times whether or not earlier ones were answered; every wrong answer is kept.
import type { Daprd } from "../../harness/daprd.ts";

export interface Route {
  readonly from: Daprd;
  readonly to: Daprd;
}

export interface Figures {
  readonly calls: number;
  /** One line for each wrong answer, with when it came. */
  readonly failures: readonly string[];
  /** From the moment a call was due. */
  readonly p99Ms: number;
  readonly maxMs: number;
}

const tickMs = 5;

export class SteadyLoad implements AsyncDisposable {
  readonly #routes: readonly Route[];
  readonly #latencies: number[] = [];
  readonly #failures: string[] = [];
  readonly #waiting = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  readonly #start = performance.now();
  #sent = 0;

  /** `rate` calls a second over all routes, which take turns. */
  constructor(routes: readonly Route[], rate: number) {
    this.#routes = routes;
    this.#timer = setInterval(() => {
      for (const now = performance.now(); this.#start + (this.#sent * 1000) / rate <= now; this.#sent++) {
        this.#send(this.#start + (this.#sent * 1000) / rate);
      }
    }, tickMs);
  }

  get failures(): readonly string[] {
    return this.#failures;
  }

  /** Ends the load when all calls have been answered. */
  async stop(): Promise<Figures> {
    clearInterval(this.#timer);
    await Promise.all(this.#waiting);
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const p99Ms = Math.round(sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0);
    return { calls: this.#sent, failures: this.#failures, p99Ms, maxMs: Math.round(sorted.at(-1) ?? 0) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #send(due: number): void {
    const { from, to } = this.#routes[this.#sent % this.#routes.length] as Route;
    const done = call(from, to, this.#sent).then(
      () => void this.#latencies.push(performance.now() - due),
      (error: Error) => void this.#failures.push(`after ${Math.round(due - this.#start)} ms: ${error.message}`),
    );
    this.#waiting.add(done);
    void done.finally(() => this.#waiting.delete(done));
  }
}

/** Rejects unless the app of `to` echoes the path that was called. */
export async function call(from: Daprd, to: Daprd, number: number): Promise<void> {
  const path = `orders/${number}`;
  const response = await from.fetch(`/v1.0/invoke/${to.appId}/method/${path}`, { signal: AbortSignal.timeout(30_000) });
  const text = await response.text();
  if (response.status !== 200 || text !== `/${path}`) throw new Error(`${from.appId} called ${to.appId}: ${response.status} ${text}`);
}
