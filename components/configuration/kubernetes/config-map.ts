// A ConfigMap as configuration items, and what changed between two of them. Pure.
import { type KubeObject, objectOf, textOf } from "../../../lib/kube/object.ts";
import type { ConfigurationItem } from "../store.ts";

export type Items = ReadonlyMap<string, ConfigurationItem>;

const plain = Object.freeze({});
const binary = Object.freeze({ encoding: "base64" });
const deleted = Object.freeze({ deleted: "true" });

export function itemsOf(configMap: KubeObject): Items {
  const version = configMap.metadata.resourceVersion ?? "";
  const items = new Map<string, ConfigurationItem>();
  for (const [field, metadata] of [
    ["data", plain],
    ["binaryData", binary],
  ] as const) {
    for (const [key, value] of Object.entries(objectOf(configMap[field]))) items.set(key, { value: textOf(value), version, metadata });
  }
  return items;
}

/** New and changed items, and the ones that are gone, which have the version of their end. */
export function changedItems(before: Items, after: Items, version: string): Items {
  const changed = new Map<string, ConfigurationItem>();
  for (const [key, item] of after) {
    const old = before.get(key);
    if (old?.value !== item.value || old.metadata !== item.metadata) changed.set(key, item);
  }
  for (const key of before.keys()) if (!after.has(key)) changed.set(key, { value: "", version, metadata: deleted });
  return changed;
}

/** Those of `keys` that there are; all without keys. */
export function picked(items: Items, keys: readonly string[]): Items {
  if (keys.length === 0) return items;
  const chosen = new Map<string, ConfigurationItem>();
  for (const key of keys) {
    const item = items.get(key);
    if (item !== undefined) chosen.set(key, item);
  }
  return chosen;
}
