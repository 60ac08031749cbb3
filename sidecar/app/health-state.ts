// App health as a state machine without I/O (inventory §4.6). Invariants: 1. Before the first good probe the app is
// unhealthy. 2. `changed` is set exactly when `healthy` differs from before. 3. Only failures in a row count.

export interface HealthState {
  readonly healthy: boolean;
  /** Failed probes in a row. */
  readonly failures: number;
}

export interface HealthStep {
  readonly state: HealthState;
  readonly changed: boolean;
}

export function initialHealth(threshold: number): HealthState {
  return { healthy: false, failures: threshold };
}

export function onProbe(state: HealthState, succeeded: boolean, threshold: number): HealthStep {
  if (succeeded) return { state: healthyState, changed: !state.healthy };
  // Capped, so that a week of failures does not become a number nobody can read.
  const failures = Math.min(state.failures + 1, Number.MAX_SAFE_INTEGER - 1);
  const healthy = failures < threshold && state.healthy;
  return { state: { healthy, failures }, changed: state.healthy && !healthy };
}

const healthyState: HealthState = Object.freeze({ healthy: true, failures: 0 });
