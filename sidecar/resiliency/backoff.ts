// When to try again, as a pure step: attempt number and policy in, delay or "give up" out. Constant and exponential, as
// the Resiliency resource names them.

export interface RetryPolicy {
  readonly kind: "constant" | "exponential";
  /** Of the first delay, and of every delay when constant. */
  readonly delayMs: number;
  /** Ceiling of an exponential delay. */
  readonly maxDelayMs: number;
  /** Tries after the first; -1: no limit. */
  readonly maxRetries: number;
}

/** Dapr's DaprBuiltInServiceRetries: three more tries, a second apart. */
export const builtInServiceRetries: RetryPolicy = Object.freeze({ kind: "constant", delayMs: 1000, maxDelayMs: 1000, maxRetries: 3 });

/** Milliseconds until retry number `retry` (from 1), or null when there is none left. */
export function nextDelayMs(policy: RetryPolicy, retry: number): number | null {
  if (policy.maxRetries >= 0 && retry > policy.maxRetries) return null;
  if (policy.kind === "constant") return policy.delayMs;
  // 1.5 is the growth of the backoff library that Dapr's users tuned their settings with.
  return Math.min(policy.maxDelayMs, policy.delayMs * 1.5 ** (retry - 1));
}
