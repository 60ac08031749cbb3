// Component, dapr.io/v1alpha1.
import { parseDuration } from "../kit/duration.ts";
import type { Parsed } from "./problem.ts";
import { type NameValue, nameValues, openResource, type ResourceMetadata, type ResourceType } from "./resource.ts";
import type { Value } from "./yaml.ts";

export const componentType: ResourceType = Object.freeze({ apiVersion: "dapr.io/v1alpha1", kind: "Component" });

export interface Component extends ResourceMetadata {
  /** E.g. `state.sqlite`, as written. */
  readonly type: string;
  /** As written; empty means v1. */
  readonly version: string;
  readonly ignoreErrors: boolean;
  readonly initTimeoutMs: number;
  /** Store that secretKeyRef reads from; empty: the mode's default. */
  readonly secretStore: string;
  readonly metadata: readonly NameValue[];
}

export const defaultInitTimeoutMs = 5_000;

export function parseComponent(value: Value, file: string): Parsed<Component> {
  const { reader, list, name, namespace, scopes } = openResource(value, file);
  const spec = reader.part("spec");
  const auth = reader.object("auth");
  const component: Component = Object.freeze({
    name,
    namespace,
    scopes,
    type: spec.required("type", "name the driver, e.g. state.in-memory"),
    version: spec.string("version"),
    ignoreErrors: spec.boolean("ignoreErrors") ?? false,
    initTimeoutMs: initTimeout(spec.string("initTimeout")),
    secretStore: auth?.string("secretStore") ?? "",
    metadata: nameValues(spec, "metadata"),
  });
  if (spec.has("initTimeout") && parseDuration(spec.string("initTimeout")) === undefined) {
    spec.list.warning(spec.at("initTimeout"), "this is not a duration; 5s is used", "write a duration such as 30s or 1m");
  }
  spec.end();
  auth?.end();
  reader.end();
  return list.result(component);
}

function initTimeout(text: string): number {
  return Math.min(parseDuration(text) ?? defaultInitTimeoutMs, 2 ** 31 - 1);
}

/** How logs name a component: `name (type/version)`. */
export function componentLogName(component: { readonly name: string; readonly type: string; readonly version: string }): string {
  return `${component.name} (${component.type}${component.version === "" ? "" : `/${component.version}`})`;
}
