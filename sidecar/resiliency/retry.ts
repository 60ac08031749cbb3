// The pump of backoff.ts: runs an operation until it succeeds, its failure is final, or the policy gives up.
import { type Clock, sleep } from "../../lib/kit/clock.ts";
import { nextDelayMs, type RetryPolicy } from "./backoff.ts";

export interface RetryHooks {
  readonly clock: Clock;
  /** Whether `error` is worth another try; `attempt` counts from 1. */
  readonly isTransient: (error: unknown, attempt: number) => boolean;
}

/** Rejects with the last error of `operation`, or with the signal's reason while waiting. */
export async function withRetries<T>(
  policy: RetryPolicy,
  hooks: RetryHooks,
  operation: (attempt: number) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await operation(attempt);
    } catch (error) {
      if (signal.aborted || !hooks.isTransient(error, attempt)) throw error;
      const delayMs = nextDelayMs(policy, attempt);
      if (delayMs === null) throw error;
      await sleep(hooks.clock, delayMs, signal);
    }
  }
}
