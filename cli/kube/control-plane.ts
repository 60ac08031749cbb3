// The services of the control plane and how they are doing, from their pods.
import type { KubeClient } from "../../lib/kube/client.ts";
import { arrayOf, at, type KubeObject, textOf } from "../../lib/kube/object.ts";
import { kubeResources } from "../../lib/kube/resource.ts";
import { times } from "./output.ts";

/** Labels `app` of the services, as `dapr status` looks for them. */
export const services = [
  "dapr-operator",
  "dapr-sentry",
  "dapr-sidecar-injector",
  "dapr-placement-server",
  "dapr-scheduler-server",
] as const;

export interface ServiceStatus {
  readonly name: string;
  readonly namespace: string;
  readonly healthy: boolean;
  readonly status: string;
  readonly replicas: number;
  readonly version: string;
  readonly age: string;
  readonly created: string;
}

/** One for each service and namespace that has pods of it. */
export async function serviceStatuses(
  client: Pick<KubeClient, "list">,
  now: number,
  signal: AbortSignal,
): Promise<readonly ServiceStatus[]> {
  const { items } = await client.list(kubeResources.pods, { labelSelector: `app in (${services.join(",")})` }, signal);
  const groups = Map.groupBy(items, ({ metadata }) => `${metadata.namespace}/${metadata.labels?.["app"]}`);
  return [...groups.values()].map((pods) => statusOf(pods, now)).toSorted((a, b) => a.name.localeCompare(b.name));
}

function statusOf(pods: readonly KubeObject[], now: number): ServiceStatus {
  const oldest = pods.toSorted((a, b) => textOf(a.metadata.creationTimestamp).localeCompare(textOf(b.metadata.creationTimestamp)))[0];
  const first = oldest as KubeObject;
  const states = pods.map(podState);
  const bad = states.find(({ healthy }) => !healthy);
  return {
    name: first.metadata.labels?.["app"] ?? "",
    namespace: first.metadata.namespace ?? "",
    healthy: bad === undefined,
    status: (bad ?? states[0])?.status ?? "",
    replicas: pods.length,
    version: versionOf(textOf(at(arrayOf(at(first, "spec", "containers"))[0], "image"))),
    ...times(first, now),
  };
}

export interface PodState {
  readonly healthy: boolean;
  /** `Running`, or why not. */
  readonly status: string;
}

export function podState(pod: KubeObject): PodState {
  const containers = [...arrayOf(at(pod, "status", "initContainerStatuses")), ...arrayOf(at(pod, "status", "containerStatuses"))];
  for (const container of containers) {
    const waiting = at(container, "state", "waiting");
    if (waiting !== undefined) return { healthy: false, status: `Waiting (${textOf(at(waiting, "reason")) || "no reason given"})` };
    const ended = at(container, "state", "terminated");
    if (ended !== undefined && at(ended, "exitCode") !== 0)
      return { healthy: false, status: `Terminated (${textOf(at(ended, "reason"))})` };
  }
  const unready = arrayOf(at(pod, "status", "containerStatuses")).find((container) => at(container, "ready") !== true);
  const phase = textOf(at(pod, "status", "phase")) || "Unknown";
  if (phase !== "Running") return { healthy: false, status: phase };
  return unready === undefined ? { healthy: true, status: "Running" } : { healthy: false, status: "Running (not ready)" };
}

/** The tag of an image; its digest when it has no tag. */
export function versionOf(image: string): string {
  const [name = "", digest = ""] = image.split("@");
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(colon + 1) : digest;
}
