// The container of an injected sidecar: command, ports, environment, probes, resources and a security context that the
// restricted Pod Security level lets through. https://kubernetes.io/docs/concepts/security/pod-security-standards/
import type { AnnotationValues } from "../lib/resources/annotation-rows.ts";
import type { Container, ContainerPort, EnvVar, Pod, Toleration, VolumeMount } from "./pod.ts";
import type { ClusterFacts, SidecarSettings } from "./settings.ts";
import { sidecarArguments, sidecarHttpPort, sidecarPublicPort } from "./sidecar-arguments.ts";

export const sidecarName = "daprd";
export const componentSocketsVariable = "DAPR_COMPONENT_SOCKETS_FOLDER";
/** The user of the image. */
const defaultUser = 65_532;

export interface ContainerInputs {
  readonly pod: Pod;
  readonly appId: string;
  readonly namespace: string;
  readonly annotations: AnnotationValues;
  readonly settings: SidecarSettings;
  readonly facts: ClusterFacts;
  readonly native: boolean;
  readonly volumeMounts: readonly VolumeMount[];
  /** Folder of pluggable components' sockets; null without them. */
  readonly componentSockets: string | null;
}

export function sidecarContainer(inputs: ContainerInputs): Container {
  const { annotations: a, settings, native, volumeMounts } = inputs;
  const resources = resourcesOf(a);
  return {
    name: sidecarName,
    image: a["sidecar-image"] || settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    ...commandOf(inputs),
    ports: portsOf(a),
    env: environmentOf(inputs),
    ...(resources === null ? {} : { resources }),
    ...(volumeMounts.length === 0 ? {} : { volumeMounts }),
    ...probesOf(a),
    // Kubernetes keeps an init container with this policy running beside the others.
    ...(native ? { restartPolicy: "Always" } : {}),
    securityContext: securityOf(inputs),
  };
}

/** All in `args`, since an image may have an entrypoint; some virtual nodes ignore images' entrypoints and want a command. */
function commandOf({ pod, appId, annotations, settings, facts }: ContainerInputs): { command?: string[]; args: string[] } {
  const flags = sidecarArguments({ appId, annotations, settings, mtls: facts.mtls });
  const debug = annotations["enable-debug"];
  const command = debug ? "/dlv" : "/daprd";
  const args = debug ? [...debuggerArguments(annotations["debug-port"]), ...flags] : flags;
  const split = settings.ignoreEntrypointTolerations.some((known) => pod.tolerations.some((its) => sameToleration(known, its)));
  return split ? { command: [command], args } : { args: [command, ...args] };
}

function debuggerArguments(port: number): string[] {
  return ["--listen", `:${port}`, "--accept-multiclient", "--headless=true", "--log", "--api-version=2", "exec", "/daprd", "--"];
}

function sameToleration(a: Toleration, b: Toleration): boolean {
  const fields = ["key", "operator", "value", "effect", "tolerationSeconds"] as const;
  return fields.every((field) => (a[field] ?? "") === (b[field] ?? ""));
}

export function portsOf(a: AnnotationValues): readonly ContainerPort[] {
  return [
    { containerPort: sidecarHttpPort, name: "dapr-http" },
    { containerPort: a["grpc-port"], name: "dapr-grpc" },
    { containerPort: a["internal-grpc-port"], name: "dapr-internal" },
    { containerPort: a["metrics-port"], name: "dapr-metrics" },
    ...(a["enable-debug"] ? [{ containerPort: a["debug-port"], name: "dapr-debug" }] : []),
  ];
}

function environmentOf({ namespace, annotations: a, settings, facts, componentSockets }: ContainerInputs): readonly EnvVar[] {
  const keys = [...new Set([...a.env, ...a["env-from-secret"]].map(({ name }) => name))];
  const variables: readonly EnvVar[] = [
    { name: "NAMESPACE", value: namespace },
    { name: "DAPR_TRUST_ANCHORS", value: facts.trustAnchors },
    { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    { name: "DAPR_CONTROLPLANE_NAMESPACE", value: settings.controlPlaneNamespace },
    { name: "DAPR_CONTROLPLANE_TRUST_DOMAIN", value: settings.controlPlaneTrustDomain },
    ...(settings.downwardApis ? [{ name: "DAPR_HOST_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }] : []),
    ...a.env.map(({ name, value }) => ({ name, value })),
    ...a["env-from-secret"].map(({ name, secret, key }) => fromSecret(name, secret, key)),
    ...(keys.length === 0 ? [] : [{ name: "DAPR_ENV_KEYS", value: keys.join(" ") }]),
    ...(componentSockets === null ? [] : [{ name: componentSocketsVariable, value: componentSockets }]),
    ...(a["api-token-secret"] === "" ? [] : [fromSecret("DAPR_API_TOKEN", a["api-token-secret"], "token")]),
    ...(a["app-token-secret"] === "" ? [] : [fromSecret("APP_API_TOKEN", a["app-token-secret"], "token")]),
  ];
  // Of a name that stands twice Kubernetes takes the last too, and complains.
  return [...new Map(variables.map((variable) => [variable.name, variable])).values()];
}

function fromSecret(name: string, secret: string, key: string): EnvVar {
  return { name, valueFrom: { secretKeyRef: { name: secret, key } } };
}

function probesOf(a: AnnotationValues): Pick<Container, string> {
  return {
    readinessProbe: {
      httpGet: { path: "/v1.0/healthz", port: sidecarPublicPort },
      initialDelaySeconds: a["sidecar-readiness-probe-delay-seconds"],
      timeoutSeconds: a["sidecar-readiness-probe-timeout-seconds"],
      periodSeconds: a["sidecar-readiness-probe-period-seconds"],
      failureThreshold: a["sidecar-readiness-probe-threshold"],
    },
    livenessProbe: {
      tcpSocket: { port: sidecarPublicPort },
      initialDelaySeconds: a["sidecar-liveness-probe-delay-seconds"],
      timeoutSeconds: a["sidecar-liveness-probe-timeout-seconds"],
      periodSeconds: a["sidecar-liveness-probe-period-seconds"],
      failureThreshold: a["sidecar-liveness-probe-threshold"],
    },
  };
}

function resourcesOf(a: AnnotationValues): Readonly<Record<string, unknown>> | null {
  const amounts = (kind: "request" | "limit") => ({
    ...(a[`sidecar-cpu-${kind}`] === "" ? {} : { cpu: a[`sidecar-cpu-${kind}`] }),
    ...(a[`sidecar-memory-${kind}`] === "" ? {} : { memory: a[`sidecar-memory-${kind}`] }),
  });
  const [requests, limits] = [amounts("request"), amounts("limit")];
  const parts = { ...(isEmpty(requests) ? {} : { requests }), ...(isEmpty(limits) ? {} : { limits }) };
  return isEmpty(parts) ? null : parts;
}

function isEmpty(object: object): boolean {
  return Object.keys(object).length === 0;
}

function securityOf({ pod, annotations: a, settings }: ContainerInputs): Readonly<Record<string, unknown>> {
  const { runAsNonRoot, runAsUser, runAsGroup, readOnlyRootFilesystem, dropAllCapabilities } = settings.security;
  if (pod.os === "windows") return windowsSecurity(a);
  // A pod that runs as root would hand its user down, and the kubelet would not start a container that must not be root.
  const user = runAsUser ?? (runAsNonRoot && pod.runAsUser === 0 ? defaultUser : null);
  return {
    allowPrivilegeEscalation: false,
    runAsNonRoot,
    ...(user === null ? {} : { runAsUser: user }),
    ...(runAsGroup === null ? {} : { runAsGroup }),
    readOnlyRootFilesystem,
    seccompProfile: { type: a["sidecar-seccomp-profile-type"] || "RuntimeDefault" },
    ...(dropAllCapabilities ? { capabilities: { drop: ["ALL"] } } : {}),
  };
}

/** The API server refuses Linux' fields there, and only an administrator may add to the store of root certificates. */
function windowsSecurity(a: AnnotationValues): Readonly<Record<string, unknown>> {
  const addsRoots = [...a.env, ...a["env-from-secret"]].some(({ name }) => name === "SSL_CERT_DIR");
  return addsRoots ? { runAsNonRoot: false, windowsOptions: { runAsUserName: "ContainerAdministrator" } } : {};
}
