// Readiness as a set of named targets: ready when every one of them is. What /v1.0/healthz and /healthz answer from.

export interface ReadinessTarget {
  ready(): void;
  notReady(): void;
}

export class Readiness {
  readonly #unready = new Set<string>();
  #targets = 0;

  /** Adds a target, not ready yet. */
  target(name: string): ReadinessTarget {
    this.#targets++;
    this.#unready.add(name);
    return { ready: () => void this.#unready.delete(name), notReady: () => void this.#unready.add(name) };
  }

  /** False as long as there is no target at all. */
  get isReady(): boolean {
    return this.#targets > 0 && this.#unready.size === 0;
  }

  /** Names of the targets that are not ready, in the order they were added. */
  get unready(): readonly string[] {
    return [...this.#unready];
  }
}
