// What one sidecar is told of a change, and the queue in which it waits to be sent. Invariants: (1) an app sees a resource
// come when it gets into its scope and go when it leaves it; (2) per resource at most one change waits, the newest, so a
// sidecar that reads slowly costs no more than the resources it may see, and delays nobody; (3) what is told of one
// resource ends with its last state, and a deletion is never left out.

import type { MirrorEvent } from "../../lib/kube/mirror.ts";
import { type KubeObject, keyOf } from "../../lib/kube/object.ts";
import { type Caller, isVisible } from "./caller.ts";

export type ChangeType = "created" | "updated" | "deleted";

export interface Change {
  readonly type: ChangeType;
  readonly object: KubeObject;
}

/** Null: none of this caller's business. */
export function changeFor(caller: Caller, event: MirrorEvent): Change | null {
  const sees = isVisible(event.object, caller);
  if (event.type !== "updated") return sees ? { type: event.type === "added" ? "created" : "deleted", object: event.object } : null;
  const saw = isVisible(event.old, caller);
  if (sees) return { type: saw ? "updated" : "created", object: event.object };
  return saw ? { type: "deleted", object: event.old } : null;
}

/** Of two changes of one resource, the one that says both. */
export function mergeChanges(earlier: Change, later: Change): Change {
  if (later.type === "deleted") return later;
  if (earlier.type === "deleted") return { type: "updated", object: later.object };
  return { type: earlier.type, object: later.object };
}

export class ChangeQueue {
  readonly #waiting = new Map<string, Change>();
  #wake: (() => void) | null = null;
  #isClosed = false;

  push(change: Change): void {
    const key = keyOf(change.object);
    const earlier = this.#waiting.get(key);
    this.#waiting.set(key, earlier === undefined ? change : mergeChanges(earlier, change));
    this.#wake?.();
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** No change comes any more; those that wait are not sent. */
  close(): void {
    this.#isClosed = true;
    this.#wake?.();
  }

  /** The next change, oldest resource first; waits for one. Null once the signal has aborted, and after `close`. */
  async next(signal: AbortSignal): Promise<Change | null> {
    while (this.#waiting.size === 0 && !this.#isClosed && !signal.aborted) await this.#changed(signal);
    if (this.#isClosed || signal.aborted) return null;
    const [[key, change]] = this.#waiting as unknown as [[string, Change]];
    this.#waiting.delete(key);
    return change;
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#wake = null;
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}
