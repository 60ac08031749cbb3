// Which Configuration an app's pods name: a sidecar is told of changes of that one and of no other. What counts is the
// annotation on the pod, as the API server knows it, not what a sidecar says.

import { annotationOf, type KubeObject } from "../../lib/kube/object.ts";
import { bool } from "../../lib/resources/annotation-readers.ts";
import type { Caller } from "./caller.ts";

/** Of the first pod of the app that names one: in a rollout some may not yet. Null: none does. */
export function assignedConfiguration(pods: Iterable<KubeObject>, { namespace, appId }: Caller): string | null {
  for (const pod of pods) {
    if (pod.metadata.namespace !== namespace || appIdOf(pod) !== appId) continue;
    const name = annotationOf(pod, "dapr.io/config") ?? "";
    if (name !== "") return name;
  }
  return null;
}

/** As the injector has it: the pod's name where the annotation is missing. */
export function appIdOf(pod: KubeObject): string {
  return annotationOf(pod, "dapr.io/app-id") || (pod.metadata.name ?? "");
}

/** What is kept of pods: those with a sidecar, and of them what tells who they are. */
export function slimPod(pod: KubeObject): KubeObject | null {
  if (!bool(annotationOf(pod, "dapr.io/enabled") ?? "").value) return null;
  const { name = "", namespace = "", uid = "", resourceVersion = "", labels = {}, annotations = {}, ownerReferences = [] } = pod.metadata;
  const { creationTimestamp = null, deletionTimestamp = null } = pod.metadata;
  const ours = (entries: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(entries).filter(([key]) => key.startsWith("dapr.io/")));
  const identity = { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp };
  return { metadata: { ...identity, labels: ours(labels), annotations: ours(annotations), ownerReferences } };
}
