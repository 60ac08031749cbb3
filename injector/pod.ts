// What the injector reads of a pod and writes into it, in the API's own words and field names, and the check that a JSON
// document is one: the API server has checked it already, but the port is open to others too.
// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: Readonly<Record<string, unknown>>;
}

export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
}

export interface Volume {
  readonly name: string;
  readonly emptyDir?: { readonly medium?: string };
  readonly projected?: { readonly defaultMode?: number; readonly sources?: readonly Readonly<Record<string, unknown>>[] };
}

export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly env?: readonly EnvVar[] | null;
  readonly ports?: readonly ContainerPort[] | null;
  readonly volumeMounts?: readonly VolumeMount[] | null;
  readonly [field: string]: unknown;
}

export interface Toleration {
  readonly key?: string;
  readonly operator?: string;
  readonly value?: string;
  readonly effect?: string;
  readonly tolerationSeconds?: number;
}

export interface Pod {
  readonly name: string;
  readonly generateName: string;
  readonly labels: Readonly<Record<string, string>> | null;
  readonly annotations: Readonly<Record<string, string>>;
  /** False: the object has none at all, and a patch must make them. */
  readonly hasAnnotations: boolean;
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
  readonly volumes: readonly Volume[];
  readonly tolerations: readonly Toleration[];
  readonly runAsUser: number | null;
  /** `spec.os.name`, else what the node selector says; empty: not said, which is Linux. */
  readonly os: string;
}

export class PodError extends Error {}

type Json = Readonly<Record<string, unknown>>;

/** Throws PodError, with the path of what is wrong. */
export function readPod(object: unknown): Pod {
  const pod = record(object, "object");
  const metadata = record(pod["metadata"] ?? {}, "metadata");
  const spec = record(pod["spec"] ?? {}, "spec");
  const annotations = texts(metadata["annotations"], "metadata.annotations");
  const security = record(spec["securityContext"] ?? {}, "spec.securityContext");
  return {
    name: text(metadata["name"]),
    generateName: text(metadata["generateName"]),
    labels: texts(metadata["labels"], "metadata.labels"),
    annotations: annotations ?? {},
    hasAnnotations: annotations !== null,
    containers: containers(spec["containers"], "spec.containers"),
    initContainers: containers(spec["initContainers"], "spec.initContainers"),
    volumes: named(spec["volumes"], "spec.volumes") as unknown as readonly Volume[],
    tolerations: records(spec["tolerations"], "spec.tolerations") as readonly Toleration[],
    runAsUser: typeof security["runAsUser"] === "number" ? security["runAsUser"] : null,
    os: osOf(spec),
  };
}

function osOf(spec: Json): string {
  const name = text(record(spec["os"] ?? {}, "spec.os")["name"]);
  return name || text(record(spec["nodeSelector"] ?? {}, "spec.nodeSelector")["kubernetes.io/os"]);
}

function containers(value: unknown, path: string): readonly Container[] {
  const list = named(value, path);
  list.forEach((container, i) => {
    named(container["env"], `${path}[${i}].env`);
    named(container["volumeMounts"], `${path}[${i}].volumeMounts`);
    records(container["ports"], `${path}[${i}].ports`);
  });
  return list as readonly Container[];
}

/** A list of objects with a name. */
function named(value: unknown, path: string): readonly Json[] {
  const list = records(value, path);
  list.forEach((item, i) => {
    if (typeof item["name"] !== "string") throw new PodError(`${path}[${i}].name is not text`);
  });
  return list;
}

function records(value: unknown, path: string): readonly Json[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new PodError(`${path} is not a list`);
  return value.map((item, i) => record(item, `${path}[${i}]`));
}

/** Null when absent. */
function texts(value: unknown, path: string): Readonly<Record<string, string>> | null {
  if (value === undefined || value === null) return null;
  const map = record(value, path);
  for (const [key, item] of Object.entries(map)) {
    if (typeof item !== "string") throw new PodError(`${path}[${key.slice(0, 80)}] is not text`);
  }
  return map as Readonly<Record<string, string>>;
}

function record(value: unknown, path: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  throw new PodError(`${path} is not an object`);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
