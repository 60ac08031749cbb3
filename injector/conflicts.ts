// What in a pod does not go together with a sidecar although each part is fine by itself: ports taken twice, amounts the
// wrong way round, an image that the installation does not allow.
import type { AnnotationValues } from "../lib/resources/annotation-rows.ts";
import type { ProblemList } from "../lib/resources/problem.ts";
import type { Pod } from "./pod.ts";
import type { SidecarSettings } from "./settings.ts";
import { sidecarPublicPort } from "./sidecar-arguments.ts";
import { portsOf } from "./sidecar-container.ts";

export function checkConflicts(pod: Pod, a: AnnotationValues, settings: SidecarSettings, problems: ProblemList): void {
  checkPorts(pod, a, problems);
  checkAmounts(a, problems);
  const image = a["sidecar-image"];
  if (image !== "" && settings.allowedImages !== null && !settings.allowedImages(image)) {
    const field = "metadata.annotations[dapr.io/sidecar-image]";
    problems.error(
      field,
      `this installation does not allow the image ${image}`,
      "leave the annotation out, or ask for the image to be allowed",
    );
  }
}

/** One network for all containers of a pod: whoever comes second cannot listen. */
function checkPorts(pod: Pod, a: AnnotationValues, problems: ProblemList): void {
  const ours = new Map<number, string>([[sidecarPublicPort, "health"]]);
  for (const { name = "", containerPort } of portsOf(a)) {
    const other = ours.get(containerPort);
    if (other !== undefined) {
      const cause = `the sidecar's ports ${other} and ${name} are both ${containerPort}`;
      problems.error("metadata.annotations", cause, "choose different ports");
    }
    ours.set(containerPort, name);
  }
  if (ours.has(a["app-port"])) {
    const cause = `${a["app-port"]} is the sidecar's port ${ours.get(a["app-port"])}`;
    problems.error("metadata.annotations[dapr.io/app-port]", cause, "let the app listen on another port, or move the sidecar's");
  }
  for (const container of pod.containers) {
    for (const { containerPort } of container.ports ?? []) {
      const name = ours.get(containerPort);
      if (name === undefined) continue;
      const cause = `container ${container.name} has port ${containerPort}, which is the sidecar's ${name}`;
      problems.warning("spec.containers", cause, "only one of the two can listen: change one of the ports");
    }
  }
}

function checkAmounts(a: AnnotationValues, problems: ProblemList): void {
  for (const kind of ["cpu", "memory"] as const) {
    const [request, limit] = [amount(a[`sidecar-${kind}-request`]), amount(a[`sidecar-${kind}-limit`])];
    if (request === null || limit === null || request <= limit) continue;
    const field = `metadata.annotations[dapr.io/sidecar-${kind}-request]`;
    problems.error(field, "the request is more than the limit", `ask for at most dapr.io/sidecar-${kind}-limit`);
  }
}

const scales: Readonly<Record<string, number>> = {
  ...{ n: 1e-9, u: 1e-6, m: 1e-3, "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 },
};

/** A quantity as a number, exact enough to compare; null when not given. */
function amount(text: string): number | null {
  const [, digits = "", suffix = ""] = /^\+?([\d.]+)(.*)$/.exec(text) ?? [];
  if (digits === "") return null;
  const scale = scales[suffix];
  return scale === undefined ? Number(`${digits}${suffix}`) : Number(digits) * scale;
}
