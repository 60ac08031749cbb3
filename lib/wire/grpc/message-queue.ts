// Messages of one direction of a stream on their way to one consumer. The source is paused while more than a few wait.

/** A consumer this far behind stops the source; what its last chunk holds still comes. */
const waitingMax = 16;

export interface QueueSource {
  pause(): void;
  resume(): void;
  /** Called when the consumer leaves its loop early. */
  readonly cancel: (() => void) | null;
}

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/** One consumer only: a second iterator shares the messages of the first. */
export class MessageQueue<T> implements AsyncIterable<T>, AsyncIterator<T, undefined> {
  readonly #source: QueueSource;
  #messages: T[] = [];
  #head = 0;
  #waiters: Waiter<T>[] = [];
  #paused = false;
  #ended = false;
  #error: { readonly error: unknown } | null = null;

  constructor(source: QueueSource) {
    this.#source = source;
  }

  push(message: T): void {
    if (this.#ended) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: message });
      return;
    }
    this.#messages.push(message);
    if (!this.#paused && this.#messages.length - this.#head > waitingMax) {
      this.#paused = true;
      this.#source.pause();
    }
  }

  /** No more messages; those waiting are still delivered. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const waiter of this.#waiters.splice(0)) waiter.resolve({ done: true, value: undefined });
  }

  /** Like `end`, but the consumer gets `error` after the messages that wait. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = { error };
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#head < this.#messages.length) return Promise.resolve({ done: false, value: this.#shift() });
    if (this.#error !== null) return Promise.reject(this.#error.error);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<T, undefined>> {
    const live = !this.#ended;
    this.end();
    this.#messages = [];
    this.#head = 0;
    if (live) this.#source.cancel?.();
    if (this.#paused) this.#source.resume();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return this;
  }

  #shift(): T {
    const message = this.#messages[this.#head++] as T;
    if (this.#head === this.#messages.length) {
      this.#messages = [];
      this.#head = 0;
      if (this.#paused && !this.#ended) {
        this.#paused = false;
        this.#source.resume();
      }
    }
    return message;
  }
}
