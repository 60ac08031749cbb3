// Changes that wait to be made. They keep their order, but of one resource only the last word waits, so that a burst of any
// size is bounded by the number of resources.
import { type Change, isListing, type Listing } from "./feed.ts";

export class ChangeQueue {
  /** Maps of changes by resource, with listings between them. */
  readonly #waiting: (Map<string, Change> | Listing)[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  push(change: Change | Listing): void {
    const last = this.#waiting.at(-1);
    if (isListing(change)) {
      // A later listing of the same kinds says all that an earlier one said.
      if (last !== undefined && !(last instanceof Map) && covers(change, last)) this.#waiting.pop();
      this.#waiting.push(change);
      return;
    }
    const changes = last instanceof Map ? last : new Map<string, Change>();
    if (changes !== last) this.#waiting.push(changes);
    const key = `${change.kind}/${change.name}`;
    changes.delete(key);
    changes.set(key, change);
  }

  /** The next change or listing, or undefined. */
  shift(): Change | Listing | undefined {
    const first = this.#waiting[0];
    if (!(first instanceof Map)) return this.#waiting.shift() as Listing | undefined;
    const [key, change] = first.entries().next().value as [string, Change];
    first.delete(key);
    if (first.size === 0) this.#waiting.shift();
    return change;
  }
}

function covers(later: Listing, earlier: Listing): boolean {
  return Object.keys(earlier).every((kind) => kind in later);
}
