// Looks at regular intervals for pods that ask for a sidecar and run without one, and acts on them as plan.ts says, as soon
// as an injector is there that would do better with the next. Nothing is deleted faster than the given rate, and only the
// very pod that was looked at.
import { type Clock, sleep } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import { isStatus } from "../../../lib/kube/error.ts";
import { at, type KubeObject, keyOf } from "../../../lib/kube/object.ts";
import type { EventRecorder } from "../../../lib/kube/recorder.ts";
import { kubeResources } from "../../../lib/kube/resource.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { OperatorMetrics } from "../../../lib/telemetry/operator-metrics.ts";
import { isSuspect, judge, patchedLabel, restartWindowMs } from "./plan.ts";

export interface WatchdogOptions {
  readonly client: Pick<KubeClient, "get" | "list" | "delete" | "patch">;
  /** Those that ask for a sidecar, by their metadata. Throws as long as they are not known. */
  readonly pods: () => Iterable<KubeObject>;
  readonly controlPlaneNamespace: string;
  /** Null: one look. */
  readonly intervalMs: number | null;
  /** 0: without limit. */
  readonly maxRestartsPerMinute: number;
  readonly canPatchLabels: boolean;
  readonly recorder: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

const { deployments, pods: podResource } = kubeResources;
const injectorName = "dapr-sidecar-injector";
const retryMs = 5_000;
const minuteMs = 60_000;

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #restarts = new Map<string, number[]>();
  #trouble = "";

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** Resolves when the signal has aborted, or after the one look that was asked for. */
  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs, clock, log } = this.#options;
    log.info("DaprWatchdog worker started");
    while (!signal.aborted) {
      const looked = await this.#tryLook(signal);
      if (looked && intervalMs === null) return;
      await sleep(clock, looked ? (intervalMs ?? 0) : retryMs, signal).catch(ignore);
    }
  }

  async #tryLook(signal: AbortSignal): Promise<boolean> {
    const { log, metrics } = this.#options;
    try {
      const without = await this.#look(signal);
      metrics.podsWithoutSidecar(without);
      if (this.#trouble !== "") log.info("DaprWatchdog works again");
      this.#trouble = "";
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      metrics.reconcileFailed("watchdog");
      const trouble = messageOf(error);
      if (trouble !== this.#trouble) log.warn(`DaprWatchdog cannot look at pods, trying again: ${trouble}`);
      this.#trouble = trouble;
      return false;
    }
  }

  /** Answers how many pods have no sidecar. */
  async #look(signal: AbortSignal): Promise<number> {
    const suspects = [...this.#options.pods()].filter(isSuspect);
    let without = 0;
    let injectorRuns: boolean | null = null;
    this.#forgetOldRestarts();
    for (const { metadata } of suspects) {
      const pod = await this.#options.client.get(podResource, metadata.namespace ?? "", metadata.name ?? "", signal);
      if (pod === null || pod.metadata.uid !== metadata.uid) continue;
      const verdict = judge(pod, this.#restarts, this.#options.clock.now());
      if (verdict.kind === "restart" || verdict.kind === "report") without++;
      if (verdict.kind === "label") await this.#label(pod, signal);
      if (verdict.kind === "report") this.#report(pod, verdict.cause);
      if (verdict.kind !== "restart") continue;
      injectorRuns ??= await this.#injectorRuns(signal);
      if (injectorRuns) await this.#restart(pod, verdict.owner, signal);
      else this.#report(pod, `no ${injectorName} is ready; it is made anew as soon as one is`);
    }
    return without;
  }

  async #injectorRuns(signal: AbortSignal): Promise<boolean> {
    const { client, controlPlaneNamespace: namespace } = this.#options;
    const { items } = await client.list(deployments, { namespace, labelSelector: `app=${injectorName}` }, signal);
    return items.some((deployment) => Number(at(deployment, "status", "readyReplicas") ?? 0) > 0);
  }

  async #restart(pod: KubeObject, owner: string, signal: AbortSignal): Promise<void> {
    const { client, maxRestartsPerMinute, recorder, metrics, clock, log } = this.#options;
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    log.warn(`Pod ${keyOf(pod)} does not have the Dapr sidecar and will be deleted`);
    recorder.record(
      podResource,
      pod,
      "Warning",
      "SidecarMissing",
      "the pod asks for a sidecar and has none; it is deleted to be made anew",
    );
    try {
      await client.delete(podResource, namespace, name, { uid }, signal);
    } catch (error) {
      // Another pod of that name by now.
      if (isStatus(error, 409)) return;
      throw error;
    }
    this.#restarts.set(owner, [...(this.#restarts.get(owner) ?? []), clock.now()]);
    metrics.podRestarted();
    log.info(`Deleted pod ${keyOf(pod)}`);
    if (maxRestartsPerMinute > 0) await sleep(clock, minuteMs / maxRestartsPerMinute, signal);
  }

  #report(pod: KubeObject, cause: string): void {
    const message = `the pod asks for a sidecar and has none; ${cause}`;
    this.#options.log.warn(`Pod ${keyOf(pod)}: ${message}`);
    this.#options.recorder.record(podResource, pod, "Warning", "SidecarMissing", message);
  }

  async #label(pod: KubeObject, signal: AbortSignal): Promise<void> {
    const { client, canPatchLabels } = this.#options;
    if (!canPatchLabels) return;
    const { namespace = "", name = "", uid } = pod.metadata;
    const patch = { metadata: { uid, labels: { [patchedLabel]: "true" } } };
    await client.patch(podResource, namespace, name, "merge", patch, signal);
  }

  #forgetOldRestarts(): void {
    const now = this.#options.clock.now();
    for (const [owner, times] of this.#restarts) {
      const recent = times.filter((time) => now - time < restartWindowMs);
      if (recent.length === 0) this.#restarts.delete(owner);
      else this.#restarts.set(owner, recent);
    }
  }
}

function ignore(): void {}
