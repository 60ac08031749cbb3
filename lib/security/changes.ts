// Who wants to know of a change: a list of callbacks, each called once per change, none able to keep the others from it.

export type Unsubscribe = () => void;

export class Changes {
  readonly #listeners = new Set<() => void>();

  add(listener: () => void): Unsubscribe {
    // A wrapper, so that the same function may be added twice.
    const entry = () => listener();
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  notify(): void {
    let failure: { readonly error: unknown } | null = null;
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== null) throw failure.error;
  }
}
