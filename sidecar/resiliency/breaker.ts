// A circuit breaker as a pure machine: (settings, state, event) in, next state and effects out. Invariants:
//  1. Open refuses everything until its time is over; closed refuses nothing.
//  2. Half-open admits at most maxRequests calls, and closes only when that many succeeded in a row; one failure opens it.
//  3. Only calls admitted in the present generation count: what an earlier one left behind tells nothing about now.

/** What a trip rule sees. */
export interface Counts {
  readonly requests: number;
  readonly totalSuccesses: number;
  readonly totalFailures: number;
  readonly consecutiveSuccesses: number;
  readonly consecutiveFailures: number;
}

export interface BreakerSettings {
  /** Calls let through while half-open; at least 1. */
  readonly maxRequests: number;
  /** While closed the counts are cleared this often; 0: never. */
  readonly intervalMs: number;
  /** How long the breaker stays open; more than 0. */
  readonly timeoutMs: number;
  /** Asked at each failure while closed. */
  readonly trips: (counts: Counts) => boolean;
}

export type BreakerMode = "closed" | "half-open" | "open";

export interface BreakerState {
  readonly mode: BreakerMode;
  /** Grows whenever the counts are cleared. */
  readonly generation: number;
  readonly counts: Counts;
  /** When the counts are cleared (closed) or calls are let through again (open); null: never. */
  readonly expiresMs: number | null;
}

export type BreakerEvent =
  /** Time has passed. */
  | { readonly kind: "look"; readonly nowMs: number }
  | { readonly kind: "request"; readonly nowMs: number }
  /** A call that was admitted in `generation` is over. */
  | { readonly kind: "result"; readonly nowMs: number; readonly generation: number; readonly success: boolean };

export type BreakerEffect =
  | { readonly kind: "changed"; readonly from: BreakerMode; readonly to: BreakerMode }
  | { readonly kind: "admitted"; readonly generation: number }
  | { readonly kind: "refused"; readonly reason: "open" | "too-many" };

const zero: Counts = Object.freeze({ requests: 0, totalSuccesses: 0, totalFailures: 0, consecutiveSuccesses: 0, consecutiveFailures: 0 });

export function closedBreaker(settings: BreakerSettings, nowMs: number): BreakerState {
  return { mode: "closed", generation: 1, counts: zero, expiresMs: expiry(settings, "closed", nowMs) };
}

export function stepBreaker(
  settings: BreakerSettings,
  before: BreakerState,
  event: BreakerEvent,
): readonly [BreakerState, readonly BreakerEffect[]] {
  const state = aged(settings, before, event.nowMs);
  const effects: BreakerEffect[] = state.mode === before.mode ? [] : [{ kind: "changed", from: before.mode, to: state.mode }];
  if (event.kind === "look") return [state, effects];
  if (event.kind === "request") return admit(settings, state, effects);
  if (event.generation !== state.generation) return [state, effects];
  const next = event.success ? succeeded(settings, state, event.nowMs) : failed(settings, state, event.nowMs);
  if (next.mode !== state.mode) effects.push({ kind: "changed", from: state.mode, to: next.mode });
  return [next, effects];
}

function admit(
  settings: BreakerSettings,
  state: BreakerState,
  effects: BreakerEffect[],
): readonly [BreakerState, readonly BreakerEffect[]] {
  if (state.mode === "open") return [state, [...effects, { kind: "refused", reason: "open" }]];
  const { counts, generation } = state;
  if (state.mode === "half-open" && counts.requests >= settings.maxRequests) {
    return [state, [...effects, { kind: "refused", reason: "too-many" }]];
  }
  effects.push({ kind: "admitted", generation });
  return [{ ...state, counts: { ...counts, requests: counts.requests + 1 } }, effects];
}

function succeeded(settings: BreakerSettings, state: BreakerState, nowMs: number): BreakerState {
  const counts: Counts = {
    ...state.counts,
    totalSuccesses: state.counts.totalSuccesses + 1,
    consecutiveSuccesses: state.counts.consecutiveSuccesses + 1,
    consecutiveFailures: 0,
  };
  if (state.mode === "half-open" && counts.consecutiveSuccesses >= settings.maxRequests) return entered(settings, state, "closed", nowMs);
  return { ...state, counts };
}

function failed(settings: BreakerSettings, state: BreakerState, nowMs: number): BreakerState {
  if (state.mode === "half-open") return entered(settings, state, "open", nowMs);
  const counts: Counts = {
    ...state.counts,
    totalFailures: state.counts.totalFailures + 1,
    consecutiveFailures: state.counts.consecutiveFailures + 1,
    consecutiveSuccesses: 0,
  };
  return settings.trips(counts) ? entered(settings, state, "open", nowMs) : { ...state, counts };
}

/** The state after what time alone has done to it. */
function aged(settings: BreakerSettings, state: BreakerState, nowMs: number): BreakerState {
  if (state.expiresMs === null || nowMs <= state.expiresMs) return state;
  return entered(settings, state, state.mode === "open" ? "half-open" : state.mode, nowMs);
}

function entered(settings: BreakerSettings, state: BreakerState, mode: BreakerMode, nowMs: number): BreakerState {
  return { mode, generation: state.generation + 1, counts: zero, expiresMs: expiry(settings, mode, nowMs) };
}

function expiry(settings: BreakerSettings, mode: BreakerMode, nowMs: number): number | null {
  if (mode === "open") return nowMs + settings.timeoutMs;
  return mode === "closed" && settings.intervalMs > 0 ? nowMs + settings.intervalMs : null;
}
