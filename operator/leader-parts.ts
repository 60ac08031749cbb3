// What changes the cluster, part by part, on the one replica that leads. A part that fails is logged and tries again; it
// takes no other with it.
import type { Clock } from "../lib/kit/clock.ts";
import { messageOf } from "../lib/kit/errors.ts";
import { outriggerVersion } from "../lib/kit/version.ts";
import type { KubeClient } from "../lib/kube/client.ts";
import { Leader } from "../lib/kube/leader.ts";
import type { EventRecorder } from "../lib/kube/recorder.ts";
import { kubeResources } from "../lib/kube/resource.ts";
import type { TrustBundle } from "../lib/security/trust-bundle.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { OperatorMetrics } from "../lib/telemetry/operator-metrics.ts";
import type { OperatorConfig } from "./config.ts";
import type { Pods } from "./pods.ts";
import { reconcileCrds } from "./reconcile/crds/controller.ts";
import { ServicesController } from "./reconcile/services/controller.ts";
import { Watchdog } from "./reconcile/watchdog/controller.ts";

export interface LeaderPartsOptions {
  readonly config: OperatorConfig;
  readonly client: KubeClient;
  readonly bundle: TrustBundle | null;
  readonly pods: Pods;
  readonly recorder: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Dapr's, so that an operator of Dapr and ours never lead at once. */
const leaseName = "operator.dapr.io";

/** Resolves when the signal has aborted and everything has ended. */
export async function runLeaderParts(options: LeaderPartsOptions, signal: AbortSignal): Promise<void> {
  const { config, client, clock, metrics, log } = options;
  const lead = async (term: AbortSignal): Promise<void> => {
    metrics.leading(true);
    await Promise.all(partsOf(options).map(({ name, run }) => whole(name, run(term), term, log)));
    await untilAborted(term);
    metrics.leading(false);
  };
  if (!config.leaderElection) return lead(signal);
  const { namespace, instance: identity } = config;
  const leader = new Leader({ client, namespace, name: leaseName, identity, lead, log: log.scope("dapr.operator.leader"), clock });
  await leader.run(signal);
}

interface Part {
  readonly name: string;
  readonly run: (signal: AbortSignal) => Promise<void>;
}

function partsOf({ config, client, bundle, pods, recorder, metrics, clock, log }: LeaderPartsOptions): readonly Part[] {
  const { namespace, watchNamespace, services, webhook, applyCrds } = config;
  const parts: Part[] = [];
  if (applyCrds || webhook !== null) {
    const crdLog = log.scope("dapr.operator.crds");
    const trusted = webhook === null ? null : bundle;
    const options = { client, namespace, version: outriggerVersion, bundle: trusted, apply: applyCrds, metrics, clock, log: crdLog };
    parts.push({ name: "CRDs", run: (signal) => reconcileCrds(options, signal) });
  }
  if (services !== null) {
    const { deployments, statefulSets, rollouts } = kubeResources;
    const resources = services.rollouts ? [deployments, statefulSets, rollouts] : [deployments, statefulSets];
    const scope = log.scope("dapr.operator.handlers");
    const controller = () => new ServicesController({ client, resources, namespace: watchNamespace, recorder, metrics, clock, log: scope });
    parts.push({ name: "Services", run: (signal) => controller().run(signal) });
  }
  if (config.watchdog === null) log.info("Dapr Watchdog is not enabled");
  else {
    const options = {
      client,
      pods: () => pods.values(),
      controlPlaneNamespace: namespace,
      ...config.watchdog,
      recorder,
      metrics,
      clock,
      log,
    };
    const watchdog = async (signal: AbortSignal): Promise<void> => {
      await Promise.race([pods.synced(), untilAborted(signal)]);
      await new Watchdog(options).run(signal);
    };
    parts.push({ name: "watchdog", run: watchdog });
  }
  return parts;
}

/** A part reports and retries by itself; one that ends all the same has a bug, and the others go on. */
async function whole(name: string, running: Promise<void>, signal: AbortSignal, log: Logger): Promise<void> {
  try {
    await running;
  } catch (error) {
    if (!signal.aborted) log.error(`The part of the operator for ${name} has ended (a bug, please report it): ${messageOf(error)}`);
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
