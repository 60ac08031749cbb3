// When a workload asks for its certificate, as a pure machine: (state, event) → state and effects; the pump is
// certificate-source.ts. Invariants: 1. at most one request is under way; 2. every event leads to exactly one of: a
// request, a wait, the end; 3. one log line per change (failing, expired, good again), never one per attempt; 4. once
// there was an identity, no failure ends the process.

/** Milliseconds since the epoch. */
export interface Life {
  readonly notBefore: number;
  readonly notAfter: number;
  /** When a JWT that came along expires; null without one. */
  readonly jwtExpiry: number | null;
}

export interface RenewalState {
  readonly life: Life | null;
  /** Failures since the last success. */
  readonly failures: number;
  readonly expiryTold: boolean;
}

export type RenewalEvent =
  | { readonly kind: "started" }
  | { readonly kind: "timer" }
  | { readonly kind: "issued"; readonly life: Life }
  /** `definite`: asking again the same way will not help. */
  | { readonly kind: "failed"; readonly cause: string; readonly definite: boolean };

export type RenewalEffect =
  | { readonly kind: "request" }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "give_up"; readonly cause: string }
  | { readonly kind: "log"; readonly level: "info" | "warn" | "error"; readonly message: string };

export const initialRenewal: RenewalState = Object.freeze({ life: null, failures: 0, expiryTold: false });

/** The part of a certificate's life after which it is renewed. */
const renewAtShare = 0.7;
/** Even the shortest certificate is not renewed more often. */
const renewalMinMs = 500;
const backoffMinMs = 500;
const backoffMaxMs = 30_000;
/** Attempts are at least this often within what a certificate has left to live. */
const backoffLifeShare = 20;

/** `now` in milliseconds since the epoch; `chance` in [0, 1) spreads attempts of many workloads. */
export function stepRenewal(
  state: RenewalState,
  event: RenewalEvent,
  now: number,
  chance: number,
): readonly [RenewalState, readonly RenewalEffect[]] {
  switch (event.kind) {
    case "started":
      return [state, [{ kind: "log", level: "info", message: "Fetching initial identity" }, { kind: "request" }]];
    case "timer":
      return [state, [{ kind: "request" }]];
    case "issued":
      return issued(state, event.life, now);
    case "failed":
      return failed(state, event.cause, event.definite, now, chance);
  }
}

function issued(state: RenewalState, life: Life, now: number): readonly [RenewalState, readonly RenewalEffect[]] {
  const ms = Math.max(renewalMinMs, renewalTime(life, now) - now);
  const times = `; cert expires on: ${iso(life.notAfter)}${life.jwtExpiry === null ? "" : `, jwt expires on: ${iso(life.jwtExpiry)}`}, renewal at: ${iso(now + ms)}`;
  const messages =
    state.life === null
      ? ["Security is initialized successfully", `Starting workload identity expiry watcher${times}`]
      : [`Successfully renewed workload identity${times}`];
  const logs = messages.map((message) => ({ kind: "log", level: "info", message }) as const);
  return [{ life, failures: 0, expiryTold: false }, [...logs, { kind: "wait", ms }]];
}

/**
 * Counted from when the certificate came, not from a backdated notBefore: with a validity shorter than the allowed clock
 * skew the share of the whole would lie in the past, and the certificate be renewed without a pause.
 */
function renewalTime({ notBefore, notAfter, jwtExpiry }: Life, now: number): number {
  const from = Math.max(notBefore, now);
  const certificate = from + (notAfter - from) * renewAtShare;
  return jwtExpiry === null ? certificate : Math.min(certificate, now + (jwtExpiry - now) * renewAtShare);
}

function failed(
  state: RenewalState,
  cause: string,
  definite: boolean,
  now: number,
  chance: number,
): readonly [RenewalState, readonly RenewalEffect[]] {
  const { life } = state;
  if (life === null && definite) return [state, [{ kind: "give_up", cause }]];
  const expired = life !== null && now >= life.notAfter;
  const effects: RenewalEffect[] = [];
  if (expired && !state.expiryTold) {
    effects.push({
      kind: "log",
      level: "error",
      message: `Workload identity expired on ${iso(life.notAfter)}, peers refuse it; still trying to renew: ${cause}`,
    });
  } else if (state.failures === 0) {
    const message =
      life === null
        ? `Cannot fetch the initial identity, trying again: ${cause}`
        : `Error renewing identity, trying again until it expires on ${iso(life.notAfter)}: ${cause}`;
    effects.push({ kind: "log", level: life === null ? "warn" : "error", message });
  }
  const ms = backoff(state.failures, expired || life === null ? Infinity : life.notAfter - now, chance);
  return [{ life, failures: state.failures + 1, expiryTold: expired }, [...effects, { kind: "wait", ms }]];
}

/** Doubles from half a second, never longer than a part of what is left; the upper half of it is chance. */
function backoff(failures: number, leftMs: number, chance: number): number {
  const full = Math.max(backoffMinMs, Math.min(backoffMinMs * 2 ** Math.min(failures, 16), backoffMaxMs, leftMs / backoffLifeShare));
  return full * (0.5 + chance / 2);
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}
