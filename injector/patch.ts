// The heart of the injector: a pod and what is known around it in, a JSON patch out. Pure. Invariants: 1. a pod that has a
// sidecar gets none, so that patching twice is patching once; 2. nothing that the pod has is changed or removed, only added
// to; 3. an error means no patch at all; 4. the patch holds certificates, but never a key.

import { appIdProblem } from "../lib/resources/annotation-readers.ts";
import type { AnnotationName, AnnotationValues } from "../lib/resources/annotation-rows.ts";
import { type Annotations, readAnnotations } from "../lib/resources/annotations.ts";
import { type Problem, ProblemList } from "../lib/resources/problem.ts";
import { addComponentContainers, componentContainers } from "./component-containers.ts";
import { checkConflicts } from "./conflicts.ts";
import { type JsonPatch, PatchBuilder } from "./json-patch.ts";
import type { Container, EnvVar, Pod, VolumeMount } from "./pod.ts";
import type { ClusterFacts, PodContext, SidecarSettings } from "./settings.ts";
import { sidecarHttpPort } from "./sidecar-arguments.ts";
import { componentSocketsVariable, sidecarContainer, sidecarName } from "./sidecar-container.ts";
import { componentSocketsVolumeName, has, sidecarVolumes } from "./volumes.ts";

export type Injection =
  /** The pod wants no sidecar, or has one. */
  | { readonly kind: "skipped"; readonly problems: readonly Problem[] }
  | { readonly kind: "refused"; readonly problems: readonly Problem[] }
  | { readonly kind: "patched"; readonly patch: JsonPatch; readonly appId: string; readonly problems: readonly Problem[] };

/** On our own pods, which must start before anybody can inject. */
const controlPlaneAnnotation = "dapr.io/control-plane";
const mirrorAnnotation = "kubernetes.io/config.mirror";

/** What of the pod says that it wants a sidecar, read once; null: it wants none, and nothing else matters. */
export function wantedBy(pod: Pod, context: PodContext): Annotations | null {
  const read = readAnnotations(
    { name: `namespace ${context.namespace}`, annotations: context.namespaceAnnotations, shared: true },
    { name: "pod", annotations: pod.annotations },
  );
  const said = Object.hasOwn(pod.annotations, "dapr.io/enabled");
  const unclear = read.problems.some(({ field, severity }) => severity === "error" && field === "metadata.annotations[dapr.io/enabled]");
  const byNamespace = !said && context.namespaceInjects && !Object.hasOwn(pod.annotations, controlPlaneAnnotation);
  return read.values.enabled || unclear || byNamespace ? read : null;
}

export function inject(pod: Pod, wanted: Annotations, context: PodContext, settings: SidecarSettings, facts: ClusterFacts): Injection {
  const reason = reasonToSkip(pod);
  if (reason !== null) return { kind: "skipped", problems: reason };
  const list = new ProblemList("pod");
  list.problems.push(...wanted.problems);
  const appId = appIdOf(pod, wanted.values, context, list);
  checkConflicts(pod, wanted.values, settings, list);
  const patch = build({ pod, appId, annotations: wanted.values, given: wanted.given, context, settings, facts }, list);
  const failed = list.problems.some(({ severity }) => severity === "error");
  return failed ? { kind: "refused", problems: list.problems } : { kind: "patched", patch, appId, problems: list.problems };
}

/** Warnings to say with it; null: there is none. */
function reasonToSkip(pod: Pod): readonly Problem[] | null {
  const list = new ProblemList("pod");
  const own = [...pod.containers, ...pod.initContainers].some(({ name }) => name === sidecarName);
  if (own && pod.labels?.["dapr.io/sidecar-injected"] !== "true") {
    list.warning(
      "spec.containers",
      "the pod has a container daprd of its own; no sidecar is injected",
      "leave the container out to get one",
    );
  }
  if (Object.hasOwn(pod.annotations, mirrorAnnotation)) {
    list.warning("metadata.annotations", "a static pod cannot be changed; no sidecar is injected", "run the app as a Deployment");
  }
  // The API server will refuse it; with a sidecar in it, it would not.
  const empty = pod.containers.length === 0;
  return own || empty || list.problems.length > 0 ? list.problems : null;
}

function appIdOf(pod: Pod, a: AnnotationValues, context: PodContext, list: ProblemList): string {
  if (a["app-id"] !== "") return a["app-id"];
  const appId = pod.name || (context.namespaceInjects ? workloadName(pod) : "");
  const problem = appIdProblem(appId);
  const field = "metadata.annotations[dapr.io/app-id]";
  // A bad annotation has been reported already; it reads as none.
  if (problem !== null) list.error(field, problem, "set the annotation dapr.io/app-id in the pod, or in the template of its workload");
  return appId;
}

/** In a namespace that injects, nobody need have written an app id: the name of the app or of its workload is one. */
function workloadName({ labels, generateName }: Pod): string {
  const labelled = labels?.["app.kubernetes.io/name"] ?? labels?.["app"];
  if (labelled !== undefined) return labelled;
  const hash = labels?.["pod-template-hash"];
  const base = generateName.replace(/-$/, "");
  return hash !== undefined && base.endsWith(`-${hash}`) ? base.slice(0, -hash.length - 1) : base;
}

interface Inputs {
  readonly pod: Pod;
  readonly appId: string;
  readonly annotations: AnnotationValues;
  readonly given: ReadonlySet<AnnotationName>;
  readonly context: PodContext;
  readonly settings: SidecarSettings;
  readonly facts: ClusterFacts;
}

function build(inputs: Inputs, list: ProblemList): JsonPatch {
  const { pod, appId, annotations: a, context, settings, facts } = inputs;
  const patch = new PatchBuilder();
  const components = componentContainers(pod, a, settings, context.componentContainers, list);
  const volumes = sidecarVolumes(pod, a, settings, list);
  const native =
    a["enable-native-sidecar"] ?? (settings.nativeSidecar === "always" || (settings.nativeSidecar === "auto" && facts.nativeSidecars));
  const sidecar = sidecarContainer({
    ...{ pod, appId, annotations: a, settings, facts, native },
    namespace: context.namespace,
    volumeMounts: [...volumes.mounts, ...(components.mount === null ? [] : [components.mount])],
    componentSockets: components.mount?.mountPath ?? null,
  });
  const sockets =
    components.mount === null || has(pod, componentSocketsVolumeName) ? [] : [{ name: componentSocketsVolumeName, emptyDir: {} }];
  for (const volume of [...volumes.added, ...sockets]) patch.append("/spec/volumes", pod.volumes.length, volume);
  if (native) patch.append("/spec/initContainers", pod.initContainers.length, sidecar);
  else patch.append("/spec/containers", pod.containers.length, sidecar);
  addNames(patch, inputs);
  pod.containers.forEach((container, i) => {
    if (components.own.has(i)) addToComponent(patch, container, i, components.mount as VolumeMount);
    else addToApp(patch, container, i, a, volumes.appMount);
  });
  addComponentContainers(patch, pod, components);
  return patch.operations;
}

/** Labels for selectors; annotations too where they were not written, since sentry and the operator go by them. */
function addNames(patch: PatchBuilder, { pod, appId, annotations: a, given }: Inputs): void {
  const labels = "/metadata/labels";
  const has = pod.labels !== null;
  patch.set(labels, has, "dapr.io/sidecar-injected", "true");
  patch.set(labels, has, "dapr.io/app-id", appId);
  patch.set(labels, has, "dapr.io/metrics-enabled", String(a["enable-metrics"]));
  if (given.has("enabled")) return;
  patch.set("/metadata/annotations", pod.hasAnnotations, "dapr.io/enabled", "true");
  if (a["app-id"] === "") patch.set("/metadata/annotations", true, "dapr.io/app-id", appId);
}

function addToApp(patch: PatchBuilder, container: Container, index: number, a: AnnotationValues, mount: VolumeMount | null): void {
  const variables = [
    { name: "DAPR_HTTP_PORT", value: String(sidecarHttpPort) },
    { name: "DAPR_GRPC_PORT", value: String(a["grpc-port"]) },
    { name: "APP_PROTOCOL", value: appProtocol(a) },
  ];
  addVariables(patch, container, index, variables);
  if (mount !== null) addMount(patch, container, index, mount);
}

function addToComponent(patch: PatchBuilder, container: Container, index: number, mount: VolumeMount): void {
  addVariables(patch, container, index, [{ name: componentSocketsVariable, value: mount.mountPath }]);
  addMount(patch, container, index, mount);
}

/** What the container sets itself stays. */
function addVariables(patch: PatchBuilder, container: Container, index: number, variables: readonly EnvVar[]): void {
  const its = container.env ?? [];
  for (const variable of variables) {
    if (!its.some(({ name }) => name === variable.name)) patch.append(`/spec/containers/${index}/env`, its.length, variable);
  }
}

function addMount(patch: PatchBuilder, container: Container, index: number, mount: VolumeMount): void {
  const its = container.volumeMounts ?? [];
  const taken = its.some(({ name, mountPath }) => name === mount.name || mountPath === mount.mountPath);
  if (!taken) patch.append(`/spec/containers/${index}/volumeMounts`, its.length, mount);
}

function appProtocol(a: AnnotationValues): string {
  const plain = a["app-protocol"];
  return a["app-ssl"] && (plain === "http" || plain === "grpc") ? `${plain}s` : plain;
}
