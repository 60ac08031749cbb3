// The metrics of the sidecar so far: the process's, and error codes. Dapr's others (inventory §8.1) come with telemetry.
import { errorCategory } from "./error-category.ts";

export interface Metrics {
  /** An answer with this errorCode went out; counted only with `recordErrorCodes`. */
  readonly errorCode: ((code: string, category?: string) => void) | null;
  /** Prometheus text exposition format, version 0.0.4. */
  text(): Promise<string>;
}

export interface MetricsOptions {
  readonly appId: string;
  /** Configuration: spec.metrics.recordErrorCodes. */
  readonly recordErrorCodes: boolean;
}

/** Loads the collector with the first scrape: a sidecar that nobody watches does not pay for it. */
export function createMetrics({ appId, recordErrorCodes }: MetricsOptions): Metrics {
  const errorCodes = new Map<string, { readonly category: string; count: number }>();
  let registry: Promise<{ metrics(): Promise<string> }> | null = null;
  return {
    errorCode: recordErrorCodes
      ? (code, category = errorCategory(code)) => {
          const entry = errorCodes.get(code);
          if (entry) entry.count++;
          else errorCodes.set(code, { category, count: 1 });
        }
      : null,
    async text() {
      registry ??= newRegistry(appId, errorCodes);
      return (await registry).metrics();
    },
  };
}

async function newRegistry(appId: string, errorCodes: ReadonlyMap<string, { readonly category: string; readonly count: number }>) {
  // The package is CommonJS: bundled, its members hang on the default export.
  const { Counter, Registry, collectDefaultMetrics } = (await import("prom-client")).default;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Counter({
    name: "dapr_error_code_total",
    help: "Number of times an error with a specific error code was encountered.",
    labelNames: ["app_id", "category", "error_code"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [code, { category, count }] of errorCodes) this.inc({ app_id: appId, category, error_code: code }, count);
    },
  });
  return registry;
}
