// What changes the cluster, part by part. On every replica: nothing. On the leader: all of it.
import type { Clock } from "../lib/kit/clock.ts";
import type { KubeClient } from "../lib/kube/client.ts";
import type { EventRecorder } from "../lib/kube/recorder.ts";
import type { Security } from "../lib/security/security.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { OperatorMetrics } from "../lib/telemetry/operator-metrics.ts";
import type { OperatorConfig } from "./config.ts";
import type { Pods } from "./pods.ts";

export interface ReconcileOptions {
  readonly config: OperatorConfig;
  readonly client: KubeClient;
  readonly security: Security;
  readonly pods: Pods;
  readonly recorder: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  readonly webhookReady: () => void;
}

/** Resolves when the signal has aborted. */
export async function reconcile({ webhookReady }: ReconcileOptions, _signal: AbortSignal): Promise<void> {
  webhookReady();
}
