// The injector's metrics: Dapr's names (`dapr_injector_…`) and ours (`outrigger_injector_…`). The collector is loaded with
// the first scrape; counting before that is plain numbers.
import { registerProcessMetrics } from "./process-metrics.ts";

export interface InjectorMetrics {
  requested(): void;
  succeeded(appId: string): void;
  /** `reason` is one of a closed list. */
  failed(appId: string, reason: string): void;
  caBundleFailed(): void;
  /** Prometheus text exposition format, version 0.0.4. */
  text(): Promise<string>;
}

interface Counts {
  requested: number;
  readonly succeeded: Map<string, number>;
  /** By app id and reason, joined by a newline, which neither has. */
  readonly failed: Map<string, number>;
  caBundleFailed: number;
}

/** App ids come from pods; beyond so many the rest are one. */
const appIdsMax = 2_000;
const otherApps = "_other";

export function createInjectorMetrics(): InjectorMetrics {
  const counts: Counts = { requested: 0, succeeded: new Map(), failed: new Map(), caBundleFailed: 0 };
  let registry: Promise<{ metrics(): Promise<string> }> | null = null;
  return {
    requested: () => void counts.requested++,
    succeeded: (appId) => count(counts.succeeded, appId, otherApps),
    failed: (appId, reason) => count(counts.failed, `${appId.replaceAll("\n", " ")}\n${reason}`, `${otherApps}\n${reason}`),
    caBundleFailed: () => void counts.caBundleFailed++,
    async text() {
      registry ??= newRegistry(counts);
      return (await registry).metrics();
    },
  };
}

function count(counts: Map<string, number>, key: string, overflow: string): void {
  const used = counts.has(key) || counts.size < appIdsMax ? key : overflow;
  counts.set(used, (counts.get(used) ?? 0) + 1);
}

async function newRegistry(counts: Counts) {
  // The package is CommonJS: bundled, its members hang on the default export.
  const library = (await import("prom-client")).default;
  const { Counter, Registry } = library;
  const registry = new Registry();
  registerProcessMetrics(registry, library);
  const counter = (
    name: string,
    help: string,
    labelNames: string[],
    values: () => Iterable<readonly [Record<string, string>, number]>,
  ): void => {
    new Counter({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        for (const [labels, value] of values()) this.inc(labels, value);
      },
    });
  };
  const prefix = "dapr_injector_sidecar_injection";
  counter(`${prefix}_requests_total`, "The total number of sidecar injection requests.", [], () => [[{}, counts.requested]]);
  counter(`${prefix}_succeeded_total`, "The total number of successful sidecar injections.", ["app_id"], () =>
    [...counts.succeeded].map(([app_id, value]) => [{ app_id }, value]),
  );
  counter(`${prefix}_failed_total`, "The total number of failed sidecar injections.", ["app_id", "reason"], () =>
    [...counts.failed].map(([key, value]) => {
      const [app_id = "", reason = ""] = key.split("\n");
      return [{ app_id, reason }, value];
    }),
  );
  const bundle = "outrigger_injector_ca_bundle_failures_total";
  counter(bundle, "Tries to put our CA into the webhook configuration that failed and are made again.", [], () => [
    [{}, counts.caBundleFailed],
  ]);
  return registry;
}
