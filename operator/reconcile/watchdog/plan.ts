// Which pods lack the sidecar that they ask for, and what is done about each: pure. A pod that something will make anew is
// deleted, so that its successor passes the injector. A pod that nobody would make anew, and one whose predecessors came
// back without a sidecar again and again, are only reported: deleting them would lose work or go on for ever.

import { annotationOf, arrayOf, at, type KubeObject, objectOf } from "../../../lib/kube/object.ts";
import { bool } from "../../../lib/resources/annotation-readers.ts";

export const injectedLabel = "dapr.io/sidecar-injected";
export const patchedLabel = "dapr.io/watchdog-patched";
const sidecarName = "daprd";

/** How often the pods of one owner are deleted in `restartWindowMs` before they are left alone. */
export const restartsPerOwnerMax = 3;
export const restartWindowMs = 600_000;

export type Verdict =
  | { readonly kind: "fine" }
  /** It has a sidecar that our injector did not put there. */
  | { readonly kind: "label" }
  | { readonly kind: "restart"; readonly owner: string }
  | { readonly kind: "report"; readonly cause: string };

const fine: Verdict = Object.freeze({ kind: "fine" });

/** By its metadata: whether a pod is worth a closer look. */
export function isSuspect({ metadata }: KubeObject): boolean {
  const labels = objectOf(metadata.labels);
  if (Object.hasOwn(labels, injectedLabel) || Object.hasOwn(labels, patchedLabel)) return false;
  return !metadata.deletionTimestamp;
}

/** `restarts`: when pods of an owner were deleted, milliseconds. */
export function judge(pod: KubeObject, restarts: ReadonlyMap<string, readonly number[]>, now: number): Verdict {
  if (!isSuspect(pod) || !bool(annotationOf(pod, "dapr.io/enabled") ?? "").value) return fine;
  if (hasSidecar(pod)) return { kind: "label" };
  const phase = at(pod, "status", "phase");
  if (phase === "Succeeded" || phase === "Failed") return fine;
  const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined) return { kind: "report", cause: "no controller would make it anew: delete it and create it again" };
  const recent = (restarts.get(owner.uid) ?? []).filter((at) => now - at < restartWindowMs);
  if (recent.length < restartsPerOwnerMax) return { kind: "restart", owner: owner.uid };
  const cause = `${recent.length} pods of ${owner.kind} ${owner.name} were deleted for that, and the next had none either: see the injector's log`;
  return { kind: "report", cause };
}

function hasSidecar(pod: KubeObject): boolean {
  const containers = [...arrayOf(at(pod, "spec", "containers")), ...arrayOf(at(pod, "spec", "initContainers"))];
  return containers.some((container) => objectOf(container)["name"] === sidecarName);
}
