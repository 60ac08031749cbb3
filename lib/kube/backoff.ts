// How long to wait before the next try: exponential with jitter, so that many who lost the same server do not come back at once.

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** In [0, 1). */
  readonly random?: () => number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Milliseconds until the next try: between a half and the whole of a span that doubles with every call. */
  next(): number {
    const { firstMs, maxMs, random = Math.random } = this.#options;
    const span = Math.min(maxMs, firstMs * 2 ** Math.min(this.#failures++, 30));
    return span / 2 + (random() * span) / 2;
  }

  /** It worked: begin anew. */
  reset(): void {
    this.#failures = 0;
  }

  get failures(): number {
    return this.#failures;
  }
}
