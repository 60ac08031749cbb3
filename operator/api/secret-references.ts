// Where a resource refers to secrets of Kubernetes, and the resource with their values in place: pure. A sidecar has no
// right to read secrets; it is given those that its own resources name, in the form that Dapr's sidecar takes: base64 text
// in the place of the value (in a Configuration, the text itself).
import { arrayOf, at, type KubeObject, objectOf, textOf } from "../../lib/kube/object.ts";

/** How resources of a kind refer to secrets. */
export type SecretRules = (object: KubeObject) => readonly SecretReference[];

type Path = readonly (string | number)[];

export interface SecretReference {
  /** Of the object that has `secretKeyRef` and gets `value`. */
  readonly path: Path;
  readonly secret: string;
  readonly key: string;
  /** What the value is, for people: `metadata redisPassword`. */
  readonly what: string;
  readonly encoding: "base64" | "text";
}

/** `spec.metadata` of a Component. */
export const componentSecrets: SecretRules = (object) => {
  return usesKubernetes(object) ? ofPairs(object, ["spec", "metadata"], "metadata") : [];
};

/** Headers and the client certificate of an HTTPEndpoint. */
export const httpEndpointSecrets: SecretRules = (object) => {
  if (!usesKubernetes(object)) return [];
  const tls = ["certificate", "privateKey", "rootCA"].flatMap((part) => {
    return ofPart(object, ["spec", "clientTLS", part], `clientTLS ${part}`);
  });
  return [...ofPairs(object, ["spec", "headers"], "header"), ...tls];
};

/** Headers, or the environment of a program, of an MCPServer. */
export const mcpServerSecrets: SecretRules = (object) => {
  const places: readonly Path[] = [
    ["spec", "endpoint", "streamableHTTP", "headers"],
    ["spec", "endpoint", "sse", "headers"],
    ["spec", "endpoint", "stdio", "env"],
  ];
  return places.flatMap((path) => {
    const auth = at(object, ...(path.slice(0, -1) as string[]), "auth", "secretStore");
    return isKubernetes(auth) ? ofPairs(object, path, path.at(-1) === "env" ? "env" : "header") : [];
  });
};

/** Headers of the OpenTelemetry exporter of a Configuration. */
export const configurationSecrets: SecretRules = (object) => {
  return ofPairs(object, ["spec", "tracing", "otel", "headers"], "tracing header").map((reference) => ({ ...reference, encoding: "text" }));
};

export const noSecrets: SecretRules = () => [];

function usesKubernetes(object: KubeObject): boolean {
  return isKubernetes(at(object, "auth", "secretStore"));
}

function isKubernetes(store: unknown): boolean {
  return textOf(store) === "" || store === "kubernetes";
}

function ofPairs(object: KubeObject, path: Path, what: string): readonly SecretReference[] {
  return arrayOf(read(object, path)).flatMap((pair, index) => {
    return ofPart(object, [...path, index], `${what} ${textOf(objectOf(pair)["name"])}`);
  });
}

function ofPart(object: KubeObject, path: Path, what: string): readonly SecretReference[] {
  const reference = objectOf(objectOf(read(object, path))["secretKeyRef"]);
  const secret = textOf(reference["name"]);
  if (secret === "") return [];
  return [{ path, secret, key: textOf(reference["key"]) || secret, what, encoding: "base64" }];
}

function read(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((current, step) => {
    if (typeof step === "number") return arrayOf(current)[step];
    return at(current, step);
  }, value);
}

/** The object with a value at each reference that has one. */
export function withValues(object: KubeObject, values: ReadonlyMap<SecretReference, Buffer>): KubeObject {
  let result: unknown = object;
  for (const [{ path, encoding }, bytes] of values) {
    const value = bytes.toString(encoding === "base64" ? "base64" : "utf8");
    result = replace(result, path, (part) => ({ ...objectOf(part), value }));
  }
  return result as KubeObject;
}

function replace(value: unknown, path: Path, change: (part: unknown) => unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return change(value);
  if (typeof step === "number") return arrayOf(value).with(step, replace(arrayOf(value)[step], rest, change));
  return { ...objectOf(value), [step]: replace(objectOf(value)[step], rest, change) };
}
