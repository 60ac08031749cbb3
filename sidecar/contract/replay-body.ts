// A request body that may have to be sent again. What has been read is remembered up to a limit; beyond it there is one
// attempt only. Leaving a reader does not end the source: the next attempt goes on where it stands.
import type { Readable } from "node:stream";
import { replayBufferMaxBytes } from "../../lib/kit/limits.ts";

export class ReplayBody {
  readonly #source: AsyncIterator<Uint8Array>;
  /** Null once the limit was passed. */
  #kept: Uint8Array[] | null;
  #keptBytes = 0;
  readonly #maxBytes: number;
  #latest: Uint8Array | null = null;
  #count = 0;
  #ended = false;
  #pull: Promise<void> | null = null;

  /** `maxBytes` 0: never remember. */
  constructor(source: Readable, maxBytes = replayBufferMaxBytes) {
    // It may break while nobody reads yet; whoever reads is told by the iterator.
    source.on("error", () => {});
    this.#source = source.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
    this.#maxBytes = maxBytes;
    this.#kept = maxBytes > 0 ? [] : null;
  }

  /** Whether another attempt would send the same bytes. */
  get canReplay(): boolean {
    return this.#kept !== null || (this.#count === 0 && this.#pull === null);
  }

  async *read(): AsyncGenerator<Uint8Array> {
    for (let at = 0; ; at++) {
      if (at === this.#count && !this.#ended) await (this.#pull ??= this.#next());
      if (at === this.#count) return;
      yield this.#piece(at);
    }
  }

  #piece(at: number): Uint8Array {
    if (this.#kept !== null) return this.#kept[at] as Uint8Array;
    // Two attempts never share a body that is too large to remember; sending wrong bytes would be worse than failing.
    if (at !== this.#count - 1) throw new Error("the request body is too large to be sent again");
    return this.#latest as Uint8Array;
  }

  async #next(): Promise<void> {
    try {
      const step = await this.#source.next();
      if (step.done) {
        this.#ended = true;
        return;
      }
      this.#latest = step.value;
      this.#count++;
      this.#keptBytes += step.value.length;
      if (this.#keptBytes > this.#maxBytes) this.#kept = null;
      else this.#kept?.push(step.value);
    } finally {
      this.#pull = null;
    }
  }
}
