// sentry's metrics: Dapr's names (`dapr_sentry_…`) and ours (`outrigger_sentry_…`). The collector is loaded with the first
// scrape; counting before that is plain numbers.
import { registerProcessMetrics } from "./process-metrics.ts";

export const rotationPhases = ["steady", "distributing", "retiring"] as const;
export type RotationPhase = (typeof rotationPhases)[number];

export interface SentryMetrics {
  requestReceived(): void;
  signed(): void;
  /** `reason` is one of a closed list. */
  refused(reason: string): void;
  serverCertificateFailed(reason: string): void;
  issuerChanged(): void;
  /** Milliseconds since the epoch. */
  issuerExpires(at: number): void;
  /** Null: nothing rotates here. `nextAt` in milliseconds since the epoch. */
  rotation(phase: RotationPhase | null, nextAt: number, anchors: number): void;
  rotationStep(step: string): void;
  rotationFailed(): void;
  /** Prometheus text exposition format, version 0.0.4. */
  text(): Promise<string>;
}

interface Counts {
  received: number;
  signed: number;
  readonly refused: Map<string, number>;
  readonly serverFailed: Map<string, number>;
  issuerChanged: number;
  issuerEndsAt: number;
  phase: RotationPhase | null;
  nextAt: number;
  anchors: number;
  readonly steps: Map<string, number>;
  rotationFailed: number;
}

export function createSentryMetrics(): SentryMetrics {
  const counts: Counts = {
    received: 0,
    signed: 0,
    refused: new Map(),
    serverFailed: new Map(),
    issuerChanged: 0,
    issuerEndsAt: 0,
    phase: null,
    nextAt: 0,
    anchors: 0,
    steps: new Map(),
    rotationFailed: 0,
  };
  let registry: Promise<{ metrics(): Promise<string> }> | null = null;
  return {
    requestReceived: () => void counts.received++,
    signed: () => void counts.signed++,
    refused: (reason) => count(counts.refused, reason),
    serverCertificateFailed: (reason) => count(counts.serverFailed, reason),
    issuerChanged: () => void counts.issuerChanged++,
    issuerExpires(at) {
      counts.issuerEndsAt = at;
    },
    rotation(phase, nextAt, anchors) {
      Object.assign(counts, { phase, nextAt, anchors });
    },
    rotationStep: (step) => count(counts.steps, step),
    rotationFailed: () => void counts.rotationFailed++,
    async text() {
      registry ??= newRegistry(counts);
      return (await registry).metrics();
    },
  };
}

function count(counts: Map<string, number>, label: string): void {
  counts.set(label, (counts.get(label) ?? 0) + 1);
}

async function newRegistry(counts: Counts) {
  // The package is CommonJS: bundled, its members hang on the default export.
  const library = (await import("prom-client")).default;
  const { Counter, Gauge, Registry } = library;
  const registry = new Registry();
  registerProcessMetrics(registry, library);
  const counter = (name: string, help: string, value: () => number): void => {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  };
  const labelled = (name: string, help: string, label: string, values: ReadonlyMap<string, number>): void => {
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        this.reset();
        for (const [key, value] of values) this.inc({ [label]: key }, value);
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
  counter("dapr_sentry_cert_sign_request_received_total", "The number of CSRs received.", () => counts.received);
  counter("dapr_sentry_cert_sign_success_total", "The number of certificates issuances that have succeeded.", () => counts.signed);
  labelled("dapr_sentry_cert_sign_failure_total", "The number of errors occurred when signing the CSR.", "reason", counts.refused);
  const issueFailed = "dapr_sentry_servercert_issue_failed_total";
  labelled(issueFailed, "The number of server TLS certificate issuance failures.", "reason", counts.serverFailed);
  const changed = "The number of issuer cert updates, when issuer cert or key is changed";
  counter("dapr_sentry_issuercert_changed_total", changed, () => counts.issuerChanged);
  const expiry = "The unix timestamp, in seconds, when issuer/root cert will expire.";
  gauge("dapr_sentry_issuercert_expiry_timestamp", expiry, () => Math.floor(counts.issuerEndsAt / 1000));
  const phase = "Phase of the root's rotation: 0 steady, 1 distributing, 2 retiring, -1 nothing rotates here.";
  gauge("outrigger_sentry_rotation_phase", phase, () => (counts.phase === null ? -1 : rotationPhases.indexOf(counts.phase)));
  const next = "The unix timestamp, in seconds, of the rotation's next step; 0 when nothing rotates here.";
  gauge("outrigger_sentry_rotation_next_step_timestamp", next, () => Math.floor(counts.nextAt / 1000));
  gauge("outrigger_sentry_trust_anchors", "The number of trust anchors handed out.", () => counts.anchors);
  labelled("outrigger_sentry_rotation_steps_total", "Steps of the root's rotation that were saved.", "step", counts.steps);
  counter(
    "outrigger_sentry_rotation_failures_total",
    "Steps of the rotation that failed and are tried again.",
    () => counts.rotationFailed,
  );
  return registry;
}
