// The metrics of the sidecar so far: the process's, error codes, and certificates. Dapr's others (inventory §8.1) come with telemetry.
import { errorCategory } from "./error-category.ts";
import { registerProcessMetrics } from "./process-metrics.ts";
import { PubSubMetrics } from "./pubsub-metrics.ts";
import { ResiliencyMetrics } from "./resiliency-metrics.ts";

/** Why an attempt to get a certificate failed: the label `reason`, a closed list. */
export const certificateFailures = [
  /** Our own token for sentry cannot be read. */
  "token",
  /** No connection. */
  "unreachable",
  "timeout",
  /** Somebody was reached who did not prove to be our sentry. */
  "handshake",
  /** Sentry has said no. */
  "refused",
  /** Sentry answered with another error. */
  "sentry_error",
  /** What came is not ours, or our peers would not trust it. */
  "bad_certificate",
  "other",
] as const;
export type CertificateFailure = (typeof certificateFailures)[number];

export interface Metrics {
  /** An answer with this errorCode went out; counted only with `recordErrorCodes`. */
  readonly errorCode: ((code: string, category?: string) => void) | null;
  /** A certificate came, the first or a renewed one; or an attempt to get one failed, for this reason (`other` by default). */
  readonly certificate: (outcome: "first" | "renewed" | "failed", reason?: CertificateFailure) => void;
  readonly resiliency: ResiliencyMetrics;
  readonly pubsub: PubSubMetrics;
  /** Prometheus text exposition format, version 0.0.4. */
  text(): Promise<string>;
}

export interface MetricsOptions {
  readonly appId: string;
  /** Configuration: spec.metrics.recordErrorCodes. */
  readonly recordErrorCodes: boolean;
  /** The label of component metrics; empty by default, as in standalone mode. */
  readonly namespace?: string;
  /** Configuration: spec.metrics.latencyDistributionBuckets, milliseconds; Dapr's by default. */
  readonly latencyBuckets?: readonly number[];
}

/** Loads the collector with the first scrape: a sidecar that nobody watches does not pay for it. */
export function createMetrics({ appId, recordErrorCodes, namespace = "", latencyBuckets = [] }: MetricsOptions): Metrics {
  const errorCodes = new Map<string, { readonly category: string; count: number }>();
  const certificates: CertificateCounts = { first: 0, renewed: 0, failed: new Map() };
  const resiliency = new ResiliencyMetrics();
  const pubsub = new PubSubMetrics(appId, namespace, latencyBuckets);
  let registry: Promise<{ metrics(): Promise<string> }> | null = null;
  return {
    resiliency,
    pubsub,
    errorCode: recordErrorCodes
      ? (code, category = errorCategory(code)) => {
          const entry = errorCodes.get(code);
          if (entry) entry.count++;
          else errorCodes.set(code, { category, count: 1 });
        }
      : null,
    certificate(outcome, reason = "other") {
      if (outcome === "failed") certificates.failed.set(reason, (certificates.failed.get(reason) ?? 0) + 1);
      else certificates[outcome]++;
    },
    async text() {
      registry ??= newRegistry(appId, errorCodes, certificates, resiliency, pubsub);
      return (await registry).metrics();
    },
  };
}

interface CertificateCounts {
  first: number;
  renewed: number;
  readonly failed: Map<CertificateFailure, number>;
}

async function newRegistry(
  appId: string,
  errorCodes: ReadonlyMap<string, { readonly category: string; readonly count: number }>,
  certificates: Readonly<CertificateCounts>,
  resiliency: ResiliencyMetrics,
  pubsub: PubSubMetrics,
) {
  // The package is CommonJS: bundled, its members hang on the default export.
  const library = (await import("prom-client")).default;
  const { Counter, Registry } = library;
  const registry = new Registry();
  registerProcessMetrics(registry, library);
  resiliency.register(registry, library, appId);
  pubsub.register(registry, library);
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
  const counted: readonly (readonly [name: string, help: string, count: () => number])[] = [
    ["init_total", "1 once the sidecar has its identity.", () => certificates.first],
    [
      "workload_cert_rotated_total",
      "Certificates received from sentry, the first one too.",
      () => certificates.first + certificates.renewed,
    ],
  ];
  for (const [name, help, count] of counted) {
    new Counter({
      name: `dapr_runtime_mtls_${name}`,
      help,
      labelNames: ["app_id"],
      registers: [registry],
      collect() {
        this.reset();
        // A counter that never counted has no sample, as in Dapr.
        if (count() > 0) this.inc({ app_id: appId }, count());
      },
    });
  }
  new Counter({
    name: "dapr_runtime_mtls_workload_cert_rotated_fail_total",
    help: "Attempts to get a certificate that failed.",
    labelNames: ["app_id", "reason"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [reason, count] of certificates.failed) this.inc({ app_id: appId, reason }, count);
    },
  });
  return registry;
}
