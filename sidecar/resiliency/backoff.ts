// When to try again, as a pure machine: (plan, state, event) in, next state and what to do out. Constant and exponential as the
// Resiliency resource names them. Invariants:
//  1. A run makes at most 1 + maxRetries attempts when maxRetries is not negative.
//  2. No wait begins that would end later than maxElapsedMs after the start (exponential only).
//  3. After "give-up" or "done" nothing more is asked for.
import type { CodeRange } from "../../lib/resources/resiliency.ts";

/** A retry policy, ready to run. */
export interface RetryPlan {
  readonly kind: "constant" | "exponential";
  /** Of every delay when constant, of the first when exponential. */
  readonly delayMs: number;
  /** Ceiling of an exponential delay, before chance moves it. */
  readonly maxDelayMs: number;
  /** Tries after the first; -1: no limit. */
  readonly maxRetries: number;
  /** From the start of the run to the end of the last wait; 0: no limit. Exponential only. */
  readonly maxElapsedMs: number;
  /** Null: every status is tried again. */
  readonly http: readonly CodeRange[] | null;
  readonly grpc: readonly CodeRange[] | null;
}

/** Growth of an exponential delay, and how far chance moves it either way: of the backoff library that Dapr's users tuned their settings with. */
const growth = 1.5;
const spread = 0.5;

export interface RetryState {
  /** Attempts begun. */
  readonly attempts: number;
  /** The next delay, before chance. */
  readonly delayMs: number;
  readonly startedMs: number;
}

export type RetryEvent =
  | { readonly kind: "succeeded" }
  /** `chance` is from 0 (inclusive) to 1. */
  | { readonly kind: "failed"; readonly final: boolean; readonly nowMs: number; readonly chance: number };

export type RetryEffect =
  /** `first`: nothing had failed before in this run. */
  | { readonly kind: "wait"; readonly delayMs: number; readonly first: boolean }
  | { readonly kind: "give-up" }
  /** `recovered`: something had failed before. */
  | { readonly kind: "done"; readonly recovered: boolean };

/** The state at the begin of the first attempt. */
export function beginRetries(plan: RetryPlan, nowMs: number): RetryState {
  return { attempts: 1, delayMs: plan.delayMs, startedMs: nowMs };
}

/** After "wait" the returned state stands at the begin of the next attempt. */
export function stepRetries(plan: RetryPlan, state: RetryState, event: RetryEvent): readonly [RetryState, RetryEffect] {
  if (event.kind === "succeeded") return [state, { kind: "done", recovered: state.attempts > 1 }];
  if (event.final || (plan.maxRetries >= 0 && state.attempts > plan.maxRetries)) return [state, giveUp];
  const delayMs = plan.kind === "constant" ? plan.delayMs : state.delayMs * (1 - spread + 2 * spread * event.chance);
  const isTooLate = plan.kind === "exponential" && plan.maxElapsedMs > 0 && event.nowMs - state.startedMs + delayMs > plan.maxElapsedMs;
  if (isTooLate) return [state, giveUp];
  const next = { attempts: state.attempts + 1, delayMs: grown(plan, state.delayMs), startedMs: state.startedMs };
  return [next, { kind: "wait", delayMs, first: state.attempts === 1 }];
}

const giveUp: RetryEffect = Object.freeze({ kind: "give-up" });

function grown(plan: RetryPlan, delayMs: number): number {
  return plan.kind === "constant" ? delayMs : Math.min(plan.maxDelayMs, delayMs * growth);
}

/**
 * Whether a failure with this status is tried again. 0 to 16 are gRPC codes and 100 to 599 HTTP statuses, as in Dapr; anything else is
 * final even where every status matches.
 */
export function matchesStatus(plan: RetryPlan, code: number): boolean {
  const ranges = code >= 0 && code <= 16 ? plan.grpc : code >= 100 && code <= 599 ? plan.http : none;
  return ranges === null || ranges.some(({ from, to }) => from <= code && code <= to);
}

const none: readonly CodeRange[] = Object.freeze([]);
