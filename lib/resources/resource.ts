// What all resources share: group and kind, metadata, scopes, and name-value pairs with references.
import { ProblemList } from "./problem.ts";
import { type Fields, isObject, ObjectReader } from "./reader.ts";
import type { Value } from "./yaml.ts";

export interface ResourceMetadata {
  readonly name: string;
  readonly namespace: string;
  /** App ids the resource is for; empty: all. */
  readonly scopes: readonly string[];
}

export interface SecretKeyRef {
  readonly name: string;
  /** Empty: the same as name. */
  readonly key: string;
}

/** A property given as text, by reference to a secret, or to an environment variable. */
export interface NameValue {
  readonly name: string;
  /** Null: not given. */
  readonly value: string | null;
  readonly secretKeyRef: SecretKeyRef | null;
  /** Name of the variable; empty: none. */
  readonly envRef: string;
}

export interface ResourceType {
  readonly apiVersion: string;
  readonly kind: string;
}

/** What a document says it is, or null when it is no resource at all. */
export function resourceType(value: Value): ResourceType | null {
  if (!isObject(value)) return null;
  const reader = new ObjectReader(new ProblemList(""), value, "");
  const [apiVersion, kind] = [reader.value("apiVersion"), reader.value("kind")];
  return typeof apiVersion === "string" && typeof kind === "string" ? { apiVersion, kind } : null;
}

/** The name of a document that need not be readable otherwise; empty when it has none. */
export function resourceName(value: Value): string {
  return isObject(value) ? new ObjectReader(new ProblemList(""), value, "").part("metadata").string("name") : "";
}

/** Opens a document for reading: metadata and scopes are read, `spec` and the rest are the caller's. */
export function openResource(value: Value, file: string): { readonly reader: ObjectReader; readonly list: ProblemList } & ResourceMetadata {
  const list = new ProblemList(file);
  const fields: Fields = isObject(value) ? value : Object.create(null);
  if (!isObject(value)) list.error("", "the document is not a mapping", "write apiVersion, kind, metadata and spec");
  const reader = new ObjectReader(list, fields, "");
  reader.value("apiVersion");
  reader.value("kind");
  reader.value("status");
  const metadata = reader.part("metadata");
  const name = metadata.string("name");
  checkName(name, metadata);
  return { reader, list, name, namespace: metadata.string("namespace"), scopes: reader.strings("scopes") };
}

/** Kubernetes' rule for a name that becomes a segment of a path. Dapr takes an empty name and so do we, with a warning. */
function checkName(name: string, metadata: ObjectReader): void {
  const at = metadata.at("name");
  if (name === "") metadata.list.warning(at, "the name is empty", "give the resource a name to refer to it by");
  if (name === "." || name === "..") metadata.list.error(at, `invalid name "${name}": may not be '${name}'`, "choose another name");
  for (const part of ["/", "%"]) {
    if (name.includes(part)) metadata.list.error(at, `invalid name "${name}": may not contain '${part}'`, "choose another name");
  }
}

/** Name-value pairs of a list field. */
export function nameValues(reader: ObjectReader, field: string): readonly NameValue[] {
  return Object.freeze(reader.objects(field).map(nameValue));
}

function nameValue(reader: ObjectReader): NameValue {
  const name = reader.required("name", "name the property");
  const reference = secretKeyRef(reader);
  const pair = { name, value: dynamicText(reader.value("value")), secretKeyRef: reference, envRef: reader.string("envRef") };
  reader.end();
  return Object.freeze(pair);
}

/** Reads `secretKeyRef`; a reference without a name counts as none, as in Dapr. */
export function secretKeyRef(reader: ObjectReader): SecretKeyRef | null {
  const reference = reader.object("secretKeyRef");
  if (reference === null) return null;
  const name = reference.string("name");
  const key = reference.string("key");
  reference.end();
  return name === "" ? null : Object.freeze({ name, key });
}

/** Any value as the text drivers read: text as it is, everything else as JSON with sorted keys. */
export function dynamicText(value: Value): string | null {
  if (value === null) return null;
  return typeof value === "string" ? value : JSON.stringify(sorted(value));
}

function sorted(value: Value): Value {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const object: Record<string, Value> = Object.create(null);
  for (const key of Object.keys(value).sort()) object[key] = sorted(value[key] as Value);
  return object;
}
