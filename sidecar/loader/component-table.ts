// The live view of one kind's components that blocks hold: a Map underneath, changed only by the loader.
import type { ComponentTable, Loaded } from "../contract/ports.ts";

export class Table<D> implements ComponentTable<D> {
  readonly #byName = new Map<string, Loaded<D>>();

  get(name: string): Loaded<D> | undefined {
    return this.#byName.get(name);
  }

  get size(): number {
    return this.#byName.size;
  }

  values(): IterableIterator<Loaded<D>> {
    return this.#byName.values();
  }

  put(loaded: Loaded<D>): void {
    this.#byName.set(loaded.name, loaded);
  }

  remove(name: string): void {
    this.#byName.delete(name);
  }
}
