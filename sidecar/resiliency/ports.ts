// What resiliency needs from the rest of the sidecar.
import type { Clock } from "../../lib/kit/clock.ts";
import type { Logger } from "../../lib/telemetry/log.ts";

export type PolicyType = "timeout" | "retry" | "circuitbreaker";

/** Counts what the policies of one target do. `status` is a breaker's mode, empty for the others. */
export interface PolicyCounters {
  executed(type: PolicyType, status: string): void;
  activated(type: PolicyType, status: string): void;
}

export interface PolicyLabels {
  /** Of the Resiliency resource. */
  readonly name: string;
  readonly namespace: string;
  readonly flow: "inbound" | "outbound";
  /** `app_<id>`, or `<kind>_<component>`. */
  readonly target: string;
}

export interface ResiliencyMetrics {
  loaded(name: string, namespace: string): void;
  counters(labels: PolicyLabels): PolicyCounters;
}

export interface ResiliencyPorts {
  readonly clock: Clock;
  /** From 0 (inclusive) to 1. */
  readonly chance: () => number;
  readonly log: Logger;
  /** Null: metrics are off. */
  readonly metrics: ResiliencyMetrics | null;
}
