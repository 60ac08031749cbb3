// The little of OpenAPI that our CRDs are written in, as builders: a field whose name ends in `*` is required, and every
// field has a description, since that is what `kubectl explain` shows. Pure data; tools/gen-crds.ts makes YAML of it.

export interface Schema {
  readonly description?: string;
  readonly type?: "object" | "array" | "string" | "integer" | "boolean";
  readonly format?: "int32";
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minLength?: number;
  readonly minItems?: number;
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly "x-kubernetes-preserve-unknown-fields"?: true;
  readonly "x-kubernetes-list-type"?: "set";
  readonly "x-kubernetes-validations"?: readonly { readonly message: string; readonly rule: string }[];
}

export function text(description: string, more: Pick<Schema, "enum" | "minLength" | "default"> = {}): Schema {
  return { description, type: "string", ...more };
}

export function bool(description: string): Schema {
  return { description, type: "boolean" };
}

export function integer(description: string): Schema {
  return { description, type: "integer" };
}

export function int32(description: string): Schema {
  return { description, type: "integer", format: "int32" };
}

/** Any JSON. */
export function any(description: string): Schema {
  return { description, "x-kubernetes-preserve-unknown-fields": true };
}

/** An object of whatever fields. */
export function anyObject(description: string): Schema {
  return { description, type: "object", "x-kubernetes-preserve-unknown-fields": true };
}

export function list(description: string, items: Schema, more: Pick<Schema, "minItems" | "x-kubernetes-list-type"> = {}): Schema {
  return { description, type: "array", ...more, items };
}

export function map(description: string, additionalProperties: Schema): Schema {
  return { description, type: "object", additionalProperties };
}

export function object(
  description: string,
  fields: Readonly<Record<string, Schema>>,
  more: Pick<Schema, "default" | "x-kubernetes-validations"> = {},
): Schema {
  const entries = Object.entries(fields).map(([name, schema]) => [name.replace(/\*$/, ""), schema] as const);
  const required = Object.keys(fields)
    .filter((name) => name.endsWith("*"))
    .map((name) => name.slice(0, -1));
  const properties = Object.fromEntries(entries.toSorted(([one], [other]) => (one < other ? -1 : 1)));
  return { description, type: "object", ...more, properties, ...(required.length === 0 ? {} : { required: required.toSorted() }) };
}

/** A text in a list or a map, where the list says what it is. */
export const plainText: Schema = { type: "string" };

export const secretKeyRef: Schema = object("A value in a secret store.", {
  "name*": text("Name of the secret."),
  key: text("Key in the secret; the secret's name when not given."),
});

export function nameValue(what: string): Schema {
  return object(`${what}: a name and where its value comes from.`, {
    "name*": text("Name."),
    value: any("The value itself, as text, number or boolean."),
    secretKeyRef,
    envRef: text("Name of an environment variable of the sidecar that holds the value."),
  });
}

export const scopes: Schema = list("App ids that the resource is for; every app of the namespace when empty.", plainText);

export function secretStoreAuth(what: string): Schema {
  return object(`Where ${what} reads secrets from.`, {
    "secretStore*": text("Name of the secret store component; in a cluster Kubernetes secrets when empty."),
  });
}
