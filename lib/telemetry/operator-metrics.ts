// The operator's metrics: Dapr's names (`dapr_operator_…`) and ours (`outrigger_operator_…`). The collector is loaded with the
// first scrape; counting before that is plain numbers.
import { registerProcessMetrics } from "./process-metrics.ts";

export interface OperatorMetrics {
  serviceCreated(appId: string): void;
  serviceUpdated(appId: string): void;
  serviceDeleted(appId: string): void;
  /** Pods that ask for a sidecar and have none, as of the last look. */
  podsWithoutSidecar(count: number): void;
  podRestarted(): void;
  /** A reconciler failed and tries again. */
  reconcileFailed(reconciler: string): void;
  /** A secret that a resource refers to is missing or forbidden. */
  secretUnresolved(): void;
  leading(isLeading: boolean): void;
  /** Read when somebody scrapes. */
  followers(read: () => ReadonlyMap<string, number>): void;
  /** Prometheus text exposition format, version 0.0.4. */
  text(): Promise<string>;
}

interface Counts {
  readonly created: Map<string, number>;
  readonly updated: Map<string, number>;
  readonly deleted: Map<string, number>;
  readonly failed: Map<string, number>;
  withoutSidecar: number;
  restarted: number;
  unresolved: number;
  leading: boolean;
  followers: () => ReadonlyMap<string, number>;
}

/** App ids come from workloads; beyond so many the rest are one. */
const appIdsMax = 2_000;

export function createOperatorMetrics(): OperatorMetrics {
  const counts: Counts = {
    created: new Map(),
    updated: new Map(),
    deleted: new Map(),
    failed: new Map(),
    withoutSidecar: 0,
    restarted: 0,
    unresolved: 0,
    leading: false,
    followers: () => new Map(),
  };
  let registry: Promise<{ metrics(): Promise<string> }> | null = null;
  return {
    serviceCreated: (appId) => count(counts.created, appId),
    serviceUpdated: (appId) => count(counts.updated, appId),
    serviceDeleted: (appId) => count(counts.deleted, appId),
    podsWithoutSidecar(value) {
      counts.withoutSidecar = value;
    },
    podRestarted: () => void counts.restarted++,
    reconcileFailed: (reconciler) => count(counts.failed, reconciler),
    secretUnresolved: () => void counts.unresolved++,
    leading(isLeading) {
      counts.leading = isLeading;
    },
    followers(read) {
      counts.followers = read;
    },
    async text() {
      registry ??= newRegistry(counts);
      return (await registry).metrics();
    },
  };
}

function count(counts: Map<string, number>, label: string): void {
  const used = counts.has(label) || counts.size < appIdsMax ? label : "_other";
  counts.set(used, (counts.get(used) ?? 0) + 1);
}

async function newRegistry(counts: Counts) {
  // The package is CommonJS: bundled, its members hang on the default export.
  const library = (await import("prom-client")).default;
  const { Counter, Gauge, Registry } = library;
  const registry = new Registry();
  registerProcessMetrics(registry, library);
  const counter = (name: string, help: string, label: string | null, values: () => Iterable<readonly [string, number]>): void => {
    new Counter({
      name,
      help,
      labelNames: label === null ? [] : [label],
      registers: [registry],
      collect() {
        this.reset();
        for (const [key, value] of values()) this.inc(label === null ? {} : { [label]: key }, value);
      },
    });
  };
  const gauge = (name: string, help: string, value: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  };
  counter("dapr_operator_service_created_total", "The total number of dapr services created.", "app_id", () => counts.created);
  counter("dapr_operator_service_updated_total", "The total number of dapr services updated.", "app_id", () => counts.updated);
  counter("dapr_operator_service_deleted_total", "The total number of dapr services deleted.", "app_id", () => counts.deleted);
  const failed = "outrigger_operator_reconcile_failures_total";
  counter(failed, "Reconciliations that failed and are tried again.", "reconciler", () => counts.failed);
  const unresolved = "outrigger_operator_secrets_unresolved_total";
  counter(unresolved, "References to secrets that are missing or forbidden.", null, () => [["", counts.unresolved]]);
  const restarted = "outrigger_operator_pods_restarted_total";
  counter(restarted, "Pods deleted because they had no sidecar.", null, () => [["", counts.restarted]]);
  const without = "outrigger_operator_annotated_pods_without_sidecar";
  gauge(without, "Pods that ask for a sidecar and have none, as of the last look.", () => counts.withoutSidecar);
  gauge("outrigger_operator_leading", "1 while this replica leads.", () => (counts.leading ? 1 : 0));
  new Gauge({
    name: "outrigger_operator_streams",
    help: "Streams of sidecars that follow a kind of resource.",
    labelNames: ["kind"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [kind, value] of counts.followers()) this.set({ kind }, value);
    },
  });
  return registry;
}
