// Bulks for brokers that deliver messages one by one. Invariants:
//  1. A bulk goes out when it is full or its first message has waited long enough, one bulk of a subscription at a time.
//  2. Every message gets the outcome that the bulk's handler has for it, whatever becomes of the others.
//  3. When the subscription stops, what has been gathered goes out at once: nobody waits for company that no longer comes.
import type {
  BrokerMessage,
  BrokerSubscription,
  BulkMessageHandler,
  BulkSubscribeRequest,
  PubSub,
} from "../../../components/pubsub/broker.ts";
import type { Clock, Timer } from "../../../lib/kit/clock.ts";

type BulkSubscribe = NonNullable<PubSub["bulkSubscribe"]>;

/** What stands for `bulkSubscribe` where the driver has none. */
export function subscribeGathering(driver: PubSub, clock: Clock): BulkSubscribe {
  return async (request, handler, signal): Promise<BrokerSubscription> => {
    const { maxMessages, metadata, topic } = request;
    const immediate = driver.features.includes("BULK_SUBSCRIBE_IMMEDIATE");
    const gatherer = new Gatherer(request, handler, clock, immediate);
    const subscription = await driver.subscribe(
      { topic, metadata, gathers: maxMessages },
      (message, messageSignal) => gatherer.add(message, messageSignal),
      signal,
    );
    return {
      stop() {
        gatherer.hurry();
        return subscription.stop();
      },
    };
  };
}

interface Gathered {
  readonly message: BrokerMessage;
  readonly signal: AbortSignal;
  /** Monotonic, milliseconds. */
  readonly since: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Gatherer {
  readonly #limits: Pick<BulkSubscribeRequest, "maxMessages" | "maxAwaitMs">;
  readonly #handler: BulkMessageHandler;
  readonly #clock: Clock;
  /** Nothing waits for company. */
  #hurried: boolean;
  #waiting: Gathered[] = [];
  #timer: Timer | null = null;
  #busy = false;

  constructor(
    limits: Pick<BulkSubscribeRequest, "maxMessages" | "maxAwaitMs">,
    handler: BulkMessageHandler,
    clock: Clock,
    immediate: boolean,
  ) {
    this.#limits = limits;
    this.#handler = handler;
    this.#clock = clock;
    this.#hurried = immediate;
  }

  /** Settles with the outcome of the message. */
  add(message: BrokerMessage, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, signal, since: this.#clock.monotonic(), resolve, reject });
      this.#next();
    });
  }

  hurry(): void {
    this.#hurried = true;
    this.#next();
  }

  #next(): void {
    const [first] = this.#waiting;
    if (this.#busy || first === undefined) return;
    const { maxAwaitMs, maxMessages } = this.#limits;
    const leftMs = first.since + maxAwaitMs - this.#clock.monotonic();
    if (this.#hurried || leftMs <= 0 || this.#waiting.length >= maxMessages) {
      this.#timer?.cancel();
      this.#timer = null;
      this.#busy = true;
      void this.#handOver(this.#waiting.splice(0, maxMessages));
      return;
    }
    this.#timer ??= this.#clock.after(leftMs, () => {
      this.#timer = null;
      this.#next();
    });
  }

  /** Never rejects. */
  async #handOver(bulk: readonly Gathered[]): Promise<void> {
    try {
      const messages = bulk.map(({ message }) => message);
      const outcomes = await this.#handler(messages, allAborted(bulk.map(({ signal }) => signal)));
      for (const [index, { resolve, reject }] of bulk.entries()) {
        const error = outcomes[index] ?? null;
        if (error === null) resolve();
        else reject(error);
      }
    } catch (error) {
      for (const { reject } of bulk) reject(error);
    } finally {
      this.#busy = false;
      this.#next();
    }
  }
}

/** A bulk is given up when nobody waits for any of its messages any more. */
function allAborted(signals: readonly AbortSignal[]): AbortSignal {
  const distinct = [...new Set(signals)];
  const [only] = distinct;
  if (only !== undefined && distinct.length === 1) return only;
  const all = new AbortController();
  let left = distinct.length;
  const onAbort = (reason: unknown) => {
    if (--left === 0) all.abort(reason);
  };
  for (const signal of distinct) {
    if (signal.aborted) onAbort(signal.reason);
    else signal.addEventListener("abort", () => onAbort(signal.reason), { once: true });
  }
  return all.signal;
}
