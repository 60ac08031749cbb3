// app-max-concurrency: how many calls the app works on at once. Callers wait in order of arrival; nobody is refused.

export class ConcurrencyLimit {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(maxConcurrent: number) {
    this.#free = maxConcurrent;
  }

  /** How many callers wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Null when a slot was free; else resolves with the slot, or rejects with the signal's reason. */
  acquire(signal: AbortSignal): Promise<void> | null {
    if (this.#free > 0) {
      this.#free--;
      return null;
    }
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => {
        this.#waiting.delete(grant);
        reject(signal.reason);
      };
      const grant = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      this.#waiting.add(grant);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Gives the slot to the longest waiting caller. Once per acquire. */
  release(): void {
    for (const grant of this.#waiting) {
      this.#waiting.delete(grant);
      grant();
      return;
    }
    this.#free++;
  }
}
