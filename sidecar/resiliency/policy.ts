// One policy, compiled: retry around breaker around timeout around the operation, each only where it is set.
import { formatDuration } from "../../lib/kit/duration.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import { BreakerRefusal, statusOf } from "../contract/failure.ts";
import type { Policy, RunOptions } from "../contract/ports.ts";
import { matchesStatus, type RetryPlan } from "./backoff.ts";
import type { Circuit } from "./circuit.ts";
import type { PolicyCounters, ResiliencyPorts } from "./ports.ts";
import { type RetryHooks, withRetries } from "./retry.ts";
import { withTimeout } from "./timeout.ts";

export interface PolicyParts {
  /** In log lines, as Dapr names operations. */
  readonly name: string;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly retry: RetryPlan | null;
  readonly circuit: Circuit | null;
  readonly counters: PolicyCounters | null;
}

type PolicyPorts = Omit<ResiliencyPorts, "metrics">;

const noOptions = Object.freeze({});

/** Null when no part is set. */
export function createPolicy(parts: PolicyParts, ports: PolicyPorts): Policy | null {
  if (parts.timeoutMs <= 0 && parts.retry === null && parts.circuit === null) return null;
  return new CompiledPolicy(parts, ports);
}

class CompiledPolicy implements Policy {
  readonly retries: boolean;
  readonly #parts: PolicyParts;
  readonly #ports: PolicyPorts;

  constructor(parts: PolicyParts, ports: PolicyPorts) {
    this.#parts = parts;
    this.#ports = ports;
    this.retries = parts.retry !== null && parts.retry.maxRetries !== 0;
  }

  async run<T>(operation: (signal: AbortSignal) => Promise<T>, signal: AbortSignal, options: RunOptions = noOptions): Promise<T> {
    const { retry } = this.#parts;
    this.#countExecution();
    const attempt = this.#attempt(operation, signal, options);
    if (retry === null) return attempt();
    return withRetries(retry, this.#hooks(retry, options), attempt, signal);
  }

  /** One attempt: the operation within its timeout, if the breaker lets it through. */
  #attempt<T>(operation: (signal: AbortSignal) => Promise<T>, signal: AbortSignal, options: RunOptions): () => Promise<T> {
    const { circuit, counters, timeoutMs } = this.#parts;
    const { clock } = this.#ports;
    let timedOut = false;
    const onTimeout = () => {
      // Once per run, as in Dapr.
      if (!timedOut) counters?.activated("timeout", "");
      timedOut = true;
    };
    const limit = { clock, timeoutMs, onTimeout };
    const timed = timeoutMs > 0 ? () => withTimeout(limit, operation, signal, options) : () => operation(signal);
    if (circuit === null) return timed;
    const onChange = counters && ((mode: string) => counters.activated("circuitbreaker", mode));
    return () => circuit.run(timed, onChange);
  }

  #hooks(retry: RetryPlan, { mayRetry, discard }: RunOptions): RetryHooks {
    const { name, counters } = this.#parts;
    const { clock, chance, log } = this.#ports;
    return {
      clock,
      chance,
      isFinal: (failure) => failure instanceof BreakerRefusal || !isWorthRetrying(retry, failure) || mayRetry?.() === false,
      onRetry(failure, delayMs, first) {
        discard?.(failure);
        if (!first) return;
        counters?.activated("retry", "");
        log.warn(`Error processing operation ${name}. Retrying in ${formatDuration(delayMs)}…`);
        log.debug(`Error for operation ${name} was: ${messageOf(failure)}`);
      },
      onRecovered: (attempts) => log.info(`Recovered processing operation ${name} after ${attempts} attempts`),
    };
  }

  #countExecution(): void {
    const { counters, timeoutMs, retry, circuit } = this.#parts;
    if (counters === null) return;
    if (timeoutMs > 0) counters.executed("timeout", "");
    if (retry !== null) counters.executed("retry", "");
    if (circuit !== null) counters.executed("circuitbreaker", circuit.mode);
  }
}

function isWorthRetrying(retry: RetryPlan, failure: unknown): boolean {
  const status = statusOf(failure);
  return status === null || matchesStatus(retry, status);
}
