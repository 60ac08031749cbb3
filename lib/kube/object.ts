// Kubernetes objects as they stand in JSON: read field by field, since what comes from a cluster may be anything. Types of
// kinds that a service works with belong to that service.

export type Json = Readonly<Record<string, unknown>>;

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string | null;
  readonly deletionTimestamp?: string | null;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

export interface KubeList {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: string;
  /** Where the next page begins; empty: there is none. */
  readonly continueFrom: string;
}

/** A JSON object, or an empty one for anything else. */
export function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

export function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A string, or an empty one for anything else. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The value at a path of fields, e.g. `at(pod, "spec", "nodeName")`; undefined when a field on the way is missing. */
export function at(value: unknown, ...fields: readonly string[]): unknown {
  let current = value;
  for (const field of fields) {
    const object = objectOf(current);
    if (!Object.hasOwn(object, field)) return undefined;
    current = object[field];
  }
  return current;
}

/** `namespace/name`; a cluster's own objects have an empty namespace. */
export function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name ?? ""}`;
}

export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf("/");
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

export function annotationOf(object: KubeObject, name: string): string | null {
  const annotations = objectOf(object.metadata.annotations);
  return Object.hasOwn(annotations, name) ? textOf(annotations[name]) : null;
}

/** Any JSON as an object with metadata, which may be empty. */
export function kubeObject(value: unknown): KubeObject {
  const object = objectOf(value);
  return { ...object, metadata: objectOf(object["metadata"]) as ObjectMeta };
}
