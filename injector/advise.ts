// What is wrong with the pods of a workload, told when the workload is applied: the pod's own refusal would only reach a
// controller's events. It never refuses: a Deployment may be applied before its namespace or its Secrets are as they should be.
import { messageOf } from "../lib/kit/errors.ts";
import { at, type Json, objectOf, textOf } from "../lib/kube/object.ts";
import { problemText } from "../lib/resources/problem.ts";
import type { AdmissionOptions } from "./admission.ts";
import { inject, wantedBy } from "./patch.ts";
import { readPod } from "./pod.ts";
import type { ReviewRequest, Verdict } from "./review.ts";

export type Advise = (request: ReviewRequest) => Verdict;

type Inputs = Pick<AdmissionOptions, "settings" | "cluster" | "trustAnchors" | "log">;

export function createAdvice(inputs: Inputs): Advise {
  return (request) => {
    try {
      return { allowed: true, warnings: warningsFor(inputs, request) };
    } catch (error) {
      inputs.log.warn(`Could not look at ${request.kind} ${request.namespace}/${request.name}: ${messageOf(error)}`);
      return { allowed: true };
    }
  };
}

function warningsFor({ settings, cluster, trustAnchors }: Inputs, request: ReviewRequest): readonly string[] {
  const template = templateOf(request);
  if (template === null) return [];
  const pod = readPod(template);
  const namespace = cluster.namespace(request.namespace);
  const context = {
    namespace: request.namespace,
    namespaceAnnotations: namespace?.annotations ?? {},
    namespaceInjects: namespace?.labels["dapr.io/inject"] === "enabled",
    componentContainers: [],
  };
  const wanted = wantedBy(pod, context);
  if (wanted === null) return [];
  const facts = { trustAnchors: trustAnchors(), mtls: cluster.mtls, nativeSidecars: cluster.nativeSidecars };
  const { kind, problems } = inject(pod, wanted, context, settings, facts);
  // What refuses its pods matters most.
  const sorted = [...problems].sort((a, b) => Number(a.severity === "warning") - Number(b.severity === "warning"));
  return sorted.map(
    (problem) => (problem.severity === "error" && kind === "refused" ? "its pods will be refused: " : "") + problemText(problem),
  );
}

/** The pod as its controller will create it; null: the object has no pods. */
function templateOf({ kind, name, object }: ReviewRequest): Json | null {
  const template = at(object, "spec", "template") ?? at(object, "spec", "jobTemplate", "spec", "template");
  if (template === undefined) return null;
  const owner = textOf(at(object, "metadata", "name")) || name;
  // Only pods of a StatefulSet have their name before they are admitted.
  const named = kind === "StatefulSet" ? { name: `${owner}-0` } : { generateName: `${owner}-` };
  return { metadata: { ...objectOf(at(template, "metadata")), ...named }, spec: objectOf(at(template, "spec")) };
}
