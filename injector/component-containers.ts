// Containers of pluggable components: those of the pod that an annotation names, and those that Components bring along in
// their `dapr.io/component-container` annotation. They and the sidecar share a folder of sockets.
import type { AnnotationValues } from "../lib/resources/annotation-rows.ts";
import type { ProblemList } from "../lib/resources/problem.ts";
import type { PatchBuilder } from "./json-patch.ts";
import type { Container, Pod, VolumeMount } from "./pod.ts";
import type { SidecarSettings } from "./settings.ts";
import { componentSocketsVariable } from "./sidecar-container.ts";
import { componentSocketsVolumeName, has } from "./volumes.ts";

/** A Component as the API server lists it, as far as it matters here. */
export interface ComponentObject {
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly scopes: readonly string[];
}

export interface ComponentContainers {
  /** Of the pod, by index. */
  readonly own: ReadonlySet<number>;
  readonly injected: readonly Container[];
  /** Null: there are none. */
  readonly mount: VolumeMount | null;
}

/** Which containers are components. `injected`: what the Components of the namespace bring along for this app. */
export function componentContainers(
  pod: Pod,
  a: AnnotationValues,
  settings: SidecarSettings,
  injected: readonly Container[],
  problems: ProblemList,
): ComponentContainers {
  const names = new Set(a["pluggable-components"]);
  const own = new Set(pod.containers.flatMap(({ name }, i) => (names.has(name) ? [i] : [])));
  const present = new Set([...pod.containers, ...pod.initContainers].map(({ name }) => name));
  for (const name of names) {
    const field = "metadata.annotations[dapr.io/pluggable-components]";
    if (!present.has(name)) problems.warning(field, `the pod has no container ${name}`, "correct the name or leave it out");
  }
  const fresh = injected.filter(({ name }) => !present.has(name));
  const mountPath = a["pluggable-components-sockets-folder"] || settings.componentSocketsFolder;
  const mount = own.size + fresh.length === 0 ? null : { name: componentSocketsVolumeName, mountPath };
  return { own, injected: fresh, mount };
}

/** Adds the injected containers with their volumes, which are empty folders unless the pod has them. */
export function addComponentContainers(patch: PatchBuilder, pod: Pod, { injected, mount }: ComponentContainers): void {
  const made = new Set([componentSocketsVolumeName]);
  for (const container of injected) {
    for (const { name } of container.volumeMounts ?? []) {
      if (made.has(name) || has(pod, name)) continue;
      made.add(name);
      patch.append("/spec/volumes", pod.volumes.length, { name, emptyDir: {} });
    }
    patch.append("/spec/containers", pod.containers.length, {
      ...container,
      env: [...(container.env ?? []), { name: componentSocketsVariable, value: mount?.mountPath ?? "" }],
      volumeMounts: [...(container.volumeMounts ?? []), ...(mount === null ? [] : [mount])],
    });
  }
}

/** The containers that Components ask for, each image once, for the app `appId`. `onProblem` hears of what cannot be read. */
export function injectableContainers(
  components: readonly ComponentObject[],
  appId: string,
  onProblem: (problem: string) => void,
): readonly Container[] {
  const images = new Set<string>();
  const found: Container[] = [];
  for (const { name, annotations, scopes } of components) {
    const text = annotations["dapr.io/component-container"] ?? "";
    if (text === "" || (scopes.length > 0 && !scopes.includes(appId))) continue;
    const container = readContainer(text, name);
    if (container === null) onProblem(`Component ${name}: the annotation dapr.io/component-container is no container; write it as JSON`);
    else if (!images.has(container.image ?? "")) {
      images.add(container.image ?? "");
      found.push(container);
    }
  }
  return found;
}

/** A container without a name has its Component's. */
function readContainer(text: string, component: string): Container | null {
  try {
    const container: unknown = JSON.parse(text);
    if (typeof container !== "object" || container === null || Array.isArray(container)) return null;
    const { name, image, env, volumeMounts } = container as Record<string, unknown>;
    const lists = [env, volumeMounts].every((list) => list === undefined || list === null || Array.isArray(list));
    if (!lists || typeof image !== "string" || image === "") return null;
    return { ...container, name: typeof name === "string" && name !== "" ? name : component } as Container;
  } catch {
    return null;
  }
}
