// The pump of backoff.ts: runs an operation until it succeeds, its failure is final, or the plan gives up.
import { type Clock, sleep } from "../../lib/kit/clock.ts";
import { beginRetries, type RetryPlan, stepRetries } from "./backoff.ts";

export interface RetryHooks {
  readonly clock: Clock;
  /** From 0 (inclusive) to 1. */
  readonly chance: () => number;
  /** Whether `failure` is not worth another attempt; `attempt` counts from 1. */
  readonly isFinal: (failure: unknown, attempt: number) => boolean;
  /** Another attempt follows in `delayMs`; `first`: nothing had failed before. */
  readonly onRetry: (failure: unknown, delayMs: number, first: boolean) => void;
  readonly onRecovered: (attempts: number) => void;
}

/** Rejects with the last failure of `operation`, or with the signal's reason while waiting. */
export async function withRetries<T>(
  plan: RetryPlan,
  hooks: RetryHooks,
  operation: (attempt: number) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const { clock, chance } = hooks;
  let state = beginRetries(plan, clock.monotonic());
  for (;;) {
    const attempt = state.attempts;
    try {
      const result = await operation(attempt);
      const [, effect] = stepRetries(plan, state, { kind: "succeeded" });
      if (effect.kind === "done" && effect.recovered) hooks.onRecovered(attempt);
      return result;
    } catch (failure) {
      const final = signal.aborted || hooks.isFinal(failure, attempt);
      const [next, effect] = stepRetries(plan, state, { kind: "failed", final, nowMs: clock.monotonic(), chance: chance() });
      if (effect.kind !== "wait") throw failure;
      state = next;
      hooks.onRetry(failure, effect.delayMs, effect.first);
      await sleep(clock, effect.delayMs, signal);
    }
  }
}
