// Whether two resources are the same in everything that matters, as a digest: secrets among their values are not kept.
import { createHash } from "node:crypto";

/** Of a resource, and of its name-value pairs with references resolved; null: not resolved. Namespace and order of keys do not count. */
export function fingerprintOf(resource: object, pairs: readonly (readonly [string, string])[] | null = null): string {
  const { namespace: _, ...rest } = resource as { readonly namespace?: string };
  return createHash("sha256")
    .update(JSON.stringify([rest, pairs], sorted))
    .digest("base64");
}

function sorted(_key: string, value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
