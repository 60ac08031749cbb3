// What resiliency counts (dapr_resiliency_*): plain numbers until somebody scrapes.
import type { Registry } from "prom-client";

type Library = Pick<typeof import("prom-client"), "Gauge" | "Counter">;

/** One policy target, and a resource's name. */
interface Labels {
  readonly name: string;
  readonly namespace: string;
  readonly flow: "inbound" | "outbound";
  readonly target: string;
}

type PolicyType = "timeout" | "retry" | "circuitbreaker";

/** Targets come from callers where default policies apply: beyond so many they are not counted. */
const targetsMax = 2_000;

/** `unknown` is never current with us, but dashboards ask for it. */
const breakerModes = ["closed", "half-open", "open", "unknown"];

export class ResiliencyMetrics {
  readonly #loaded = new Map<string, { readonly name: string; readonly namespace: string; count: number }>();
  readonly #targets = new Map<string, TargetCounts>();

  loaded(name: string, namespace: string): void {
    const key = JSON.stringify([name, namespace]);
    const entry = this.#loaded.get(key) ?? { name, namespace, count: 0 };
    entry.count++;
    this.#loaded.set(key, entry);
  }

  /** The same counters for the same labels. */
  counters(labels: Labels): TargetCounts {
    const key = JSON.stringify([labels.name, labels.namespace, labels.flow, labels.target]);
    const known = this.#targets.get(key);
    if (known !== undefined) return known;
    const counts = new TargetCounts(labels);
    if (this.#targets.size < targetsMax) this.#targets.set(key, counts);
    return counts;
  }

  register(registry: Registry, library: Library, appId: string): void {
    const registers = [registry];
    const loaded = this.#loaded;
    new library.Counter({
      name: "dapr_resiliency_loaded",
      help: "Number of resiliency policies loaded.",
      labelNames: ["app_id", "name", "namespace"],
      registers,
      collect() {
        this.reset();
        for (const { name, namespace, count } of loaded.values()) this.inc({ app_id: appId, name, namespace }, count);
      },
    });
    const targets = this.#targets;
    const labelNames = ["app_id", "flow_direction", "name", "namespace", "policy", "status", "target"];
    const counter = (name: string, help: string, countsOf: (target: TargetCounts) => Counts) => {
      new library.Counter({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          for (const target of targets.values()) {
            for (const { policy, status, count } of countsOf(target).values()) {
              this.inc(labelsOf(appId, target.labels, policy, status), count);
            }
          }
        },
      });
    };
    counter(
      "dapr_resiliency_count",
      "Number of times a resiliency policy has been applied to a building block.",
      (target) => target.executions,
    );
    counter(
      "dapr_resiliency_activations_total",
      "Number of times a resiliency policy has been activated in a building block after a failure or after a state change.",
      (target) => target.activations,
    );
    new library.Gauge({
      name: "dapr_resiliency_cb_state",
      help: "A circuit breaker's state: 1 for the status that it is in, 0 for the others.",
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const { breakerMode, labels } of targets.values()) {
          if (breakerMode === "") continue;
          for (const status of breakerModes) {
            this.set(labelsOf(appId, labels, "circuitbreaker", status), status === breakerMode ? 1 : 0);
          }
        }
      },
    });
  }
}

type Counts = Map<string, { readonly policy: PolicyType; readonly status: string; count: number }>;

/** In the order in which Dapr writes them. */
function labelsOf(appId: string, { name, namespace, flow, target }: Labels, policy: PolicyType, status: string) {
  return { app_id: appId, flow_direction: flow, name, namespace, policy, status, target };
}

class TargetCounts {
  readonly labels: Labels;
  readonly executions: Counts = new Map();
  readonly activations: Counts = new Map();
  /** Of the breaker that was asked last; empty: there is none. */
  breakerMode = "";

  constructor(labels: Labels) {
    this.labels = labels;
  }

  executed(policy: PolicyType, status: string): void {
    count(this.executions, policy, status);
    if (policy === "circuitbreaker") this.breakerMode = status;
  }

  activated(policy: PolicyType, status: string): void {
    count(this.activations, policy, status);
  }
}

function count(counts: Counts, policy: PolicyType, status: string): void {
  const key = status === "" ? policy : `${policy} ${status}`;
  const entry = counts.get(key);
  if (entry === undefined) counts.set(key, { policy, status, count: 1 });
  else entry.count++;
}
