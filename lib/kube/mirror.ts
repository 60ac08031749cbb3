// What a list and a watch make of a copy of objects: pure. Invariants: (1) the copy holds, per key, the newest object told
// of; (2) an event is emitted only when something changed, so a repeated list or watch event is silent; (3) events of one
// object come in the order added, updated…, deleted, even where the watch missed some and a list had to fill the gap.
import type { WatchEvent } from "./client.ts";
import { type KubeObject, keyOf } from "./object.ts";

export type MirrorEvent =
  | { readonly type: "added"; readonly object: KubeObject; readonly old: null }
  | { readonly type: "updated"; readonly object: KubeObject; readonly old: KubeObject }
  | { readonly type: "deleted"; readonly object: KubeObject; readonly old: null };

/** What is kept of an object; null: nothing, as if it were not there. */
export type Transform = (object: KubeObject) => KubeObject | null;

export class Mirror {
  readonly #objects = new Map<string, KubeObject>();
  readonly #transform: Transform;

  constructor(transform: Transform = withoutManagedFields) {
    this.#transform = transform;
  }

  get(namespace: string, name: string): KubeObject | null {
    return this.#objects.get(`${namespace}/${name}`) ?? null;
  }

  /** In the order in which they were first told of. */
  *values(namespace: string | null = null): IterableIterator<KubeObject> {
    for (const object of this.#objects.values()) if (namespace === null || object.metadata.namespace === namespace) yield object;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** A list: the whole truth of its moment. */
  replace(items: readonly KubeObject[]): readonly MirrorEvent[] {
    const events: MirrorEvent[] = [];
    const seen = new Set<string>();
    for (const item of items) {
      const kept = this.#transform(item);
      if (kept === null) continue;
      seen.add(keyOf(kept));
      const event = this.#put(kept);
      if (event !== null) events.push(event);
    }
    for (const [key, object] of this.#objects) {
      if (seen.has(key)) continue;
      this.#objects.delete(key);
      events.push({ type: "deleted", object, old: null });
    }
    return events;
  }

  /** One change of a watch; null when it changes nothing here. */
  apply(change: Exclude<WatchEvent, { type: "BOOKMARK" }>): MirrorEvent | null {
    const key = keyOf(change.object);
    const kept = change.type === "DELETED" ? null : this.#transform(change.object);
    if (kept !== null) return this.#put(kept);
    const before = this.#objects.get(key);
    if (before === undefined) return null;
    this.#objects.delete(key);
    const last = change.type === "DELETED" ? this.#transform(change.object) : null;
    return { type: "deleted", object: last ?? before, old: null };
  }

  #put(object: KubeObject): MirrorEvent | null {
    const key = keyOf(object);
    const old = this.#objects.get(key);
    if (old !== undefined && isSame(old, object)) return null;
    this.#objects.set(key, object);
    return old === undefined ? { type: "added", object, old: null } : { type: "updated", object, old };
  }
}

function isSame(one: KubeObject, other: KubeObject): boolean {
  const version = one.metadata.resourceVersion ?? "";
  if (version !== "" || (other.metadata.resourceVersion ?? "") !== "") return version === other.metadata.resourceVersion;
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Who set which field is a good part of an object, and of no use here. */
export function withoutManagedFields(object: KubeObject): KubeObject {
  if (!("managedFields" in object.metadata)) return object;
  const { managedFields: _, ...metadata } = object.metadata as KubeObject["metadata"] & { managedFields: unknown };
  return { ...object, metadata };
}
