// The rotation of the root, as a pure state machine: (state, event, settings) → state and effects. Three phases:
// `steady` → `distributing` (both anchors are handed out, the old issuer signs) → `retiring` (the new issuer signs, the old
// anchor is still trusted) → `steady`. authority.ts does the effects; nothing here reads a clock or makes a key.
//
// Invariants, numbered where they are kept and checked by rotate-simulation.test.ts:
//  1. The anchor of the issuer that signs is among the anchors.
//  2. Nothing is signed by a new issuer before its root was handed out for the whole distribution, and long enough since
//     this process began to serve for everyone who waited for it to ask; only an old issuer near its end cuts it short.
//  3. An anchor is dropped only when every certificate that it vouches for has expired, on clocks that lag by the skew too.
//  4. The state changes only by saving it. Whoever crashes before that repeats the step, after it goes on from there.
//  5. Time that runs backwards never moves a phase on.

export interface RotationSettings {
  readonly leafTtlMs: number;
  readonly clockSkewMs: number;
  readonly beforeMs: number;
  /** 0: leaf life, skew and overlap. */
  readonly distributeMs: number;
  readonly retireMs: number;
  readonly overlapMs: number;
}

/** A root and the issuer below it. The root's key is never kept: an issuer lives as long as its root. */
export interface IssuerMaterial {
  /** PEM. */
  readonly root: string;
  readonly issuerChain: string;
  readonly issuerKey: string;
  /** When the first of both expires, milliseconds since the epoch. */
  readonly endsAt: number;
}

interface Common {
  /** PEM certificates that workloads trust. */
  readonly anchors: readonly string[];
  /** What signs. */
  readonly issuer: IssuerMaterial;
  /** The longest life that certificates of this issuer were ever given. */
  readonly longestLeafMs: number;
  /** When the phase began. */
  readonly since: number;
}

export type RotationState =
  | (Common & { readonly phase: "steady" })
  | (Common & { readonly phase: "distributing"; readonly next: IssuerMaterial })
  | (Common & { readonly phase: "retiring"; readonly drop: string; readonly dropAt: number });

export type RotationEvent =
  /** `servingSince`: when this process began to answer requests. */
  | { readonly kind: "tick"; readonly at: number; readonly servingSince: number }
  /** The answer to `make`. */
  | { readonly kind: "made"; readonly at: number; readonly material: IssuerMaterial };

export type RotationEffect =
  /** Make a root and an issuer, then come back with `made`. */
  | { readonly kind: "make" }
  /** Save the state; it is in force only then. */
  | { readonly kind: "save"; readonly reason: "longer_leaves" | "distribute" | "switch" | "retire" }
  /** Tick again at this time at the latest. */
  | { readonly kind: "wake"; readonly at: number };

export interface RotationStep {
  readonly state: RotationState;
  readonly effects: readonly RotationEffect[];
}

export function step(state: RotationState, event: RotationEvent, settings: RotationSettings): RotationStep {
  if (event.kind === "made") return made(state, event, settings);
  if (state.longestLeafMs < settings.leafTtlMs) {
    return save({ ...state, longestLeafMs: settings.leafTtlMs }, "longer_leaves", event.at);
  }
  switch (state.phase) {
    case "steady": {
      const at = state.issuer.endsAt - settings.beforeMs;
      return event.at >= at ? { state, effects: [{ kind: "make" }] } : wait(state, at);
    }
    case "distributing": {
      const at = switchAt(state, event.servingSince, settings);
      return event.at >= at ? switched(state, event.at, settings) : wait(state, at);
    }
    case "retiring":
      return event.at >= state.dropAt ? retired(state, event.at) : wait(state, state.dropAt);
  }
}

function made(state: RotationState, event: RotationEvent & { kind: "made" }, settings: RotationSettings): RotationStep {
  // A rotation that began meanwhile (another replica's) keeps what it has.
  if (state.phase !== "steady") return { state, effects: [{ kind: "wake", at: event.at }] };
  const anchors = [...state.anchors, event.material.root];
  const next: RotationState = { ...state, phase: "distributing", anchors, since: event.at, next: event.material };
  // With an issuer at its end nobody is left to wait for.
  if (event.at >= lastCallAt(state, settings)) return switched(next, event.at, settings);
  return save(next, "distribute", event.at);
}

/** Invariants 1 (the anchors already hold the new root) and 3 (`dropAt` outlives all that the old issuer signed). */
function switched(state: RotationState & { phase: "distributing" }, at: number, settings: RotationSettings): RotationStep {
  const { longestLeafMs, next, anchors } = state;
  const leavesEnd = Math.min(at + longestLeafMs, Math.max(at, state.issuer.endsAt)) + settings.clockSkewMs;
  const chosen = at + (settings.retireMs || longestLeafMs + settings.clockSkewMs + settings.overlapMs);
  const dropAt = Math.max(leavesEnd, chosen);
  const retiring = { phase: "retiring", anchors, issuer: next, longestLeafMs: settings.leafTtlMs, since: at } as const;
  return save({ ...retiring, drop: state.issuer.root, dropAt }, "switch", at);
}

function retired(state: RotationState & { phase: "retiring" }, at: number): RotationStep {
  const { issuer, longestLeafMs, drop } = state;
  // Anchors that somebody else added stay.
  const anchors = state.anchors.filter((anchor) => anchor !== drop);
  return save({ phase: "steady", anchors, issuer, longestLeafMs, since: at }, "retire", at);
}

/** When a distributing state switches: invariant 2. */
export function switchAt(state: RotationState & { phase: "distributing" }, servingSince: number, settings: RotationSettings): number {
  const distributeMs = settings.distributeMs || state.longestLeafMs + settings.clockSkewMs + settings.overlapMs;
  const served = servingSince + Math.min(distributeMs, settings.overlapMs);
  return Math.min(Math.max(state.since + distributeMs, served), Math.max(lastCallAt(state, settings), state.since));
}

/** From here on the old issuer could only sign certificates that are gone before they can be renewed. */
function lastCallAt({ issuer }: RotationState, { clockSkewMs, overlapMs }: RotationSettings): number {
  return issuer.endsAt - clockSkewMs - overlapMs;
}

/** When the state moves on by itself. */
export function nextChangeAt(state: RotationState, servingSince: number, settings: RotationSettings): number {
  if (state.phase === "steady") return state.issuer.endsAt - settings.beforeMs;
  return state.phase === "retiring" ? state.dropAt : switchAt(state, servingSince, settings);
}

function save(state: RotationState, reason: (RotationEffect & { kind: "save" })["reason"], at: number): RotationStep {
  return {
    state,
    effects: [
      { kind: "save", reason },
      { kind: "wake", at },
    ],
  };
}

function wait(state: RotationState, at: number): RotationStep {
  return { state, effects: [{ kind: "wake", at }] };
}

/** What is wrong with settings, in the words of the flags, or null. */
export function settingsProblem(settings: RotationSettings & { readonly rootTtlMs: number }): string | null {
  const whole = settings.leafTtlMs + settings.clockSkewMs + settings.overlapMs;
  const phases = (settings.distributeMs || whole) + Math.max(settings.retireMs, whole);
  const text = (ms: number): string => `${Math.ceil(ms / 1000)}s`;
  if (phases > settings.beforeMs) {
    return `a rotation takes ${text(phases)} and would begin only ${text(settings.beforeMs)} before the root's end; raise --root-rotation-before or shorten workloadCertTTL`;
  }
  if (settings.beforeMs + phases > settings.rootTtlMs) {
    return `a rotation takes ${text(phases)}, so the next would be due before it is done; raise --root-ttl to ${text(settings.beforeMs + phases)} or more`;
  }
  return null;
}
