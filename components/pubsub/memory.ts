// pubsub.in-memory: one bus per component, alive as long as the process. Every subscription gets every message published after it
// subscribed, one at a time and in order; what its handler refuses is logged and gone. A subscription to `orders*` gets every
// topic that begins with `orders` and is longer, and sees its own pattern as the topic, as in Dapr.
import { messageOf } from "../../lib/kit/errors.ts";
import type { DriverContext } from "../driver.ts";
import type {
  BrokerMessage,
  BrokerSubscription,
  MessageHandler,
  PublishRequest,
  PubSub,
  PubSubFeature,
  SubscribeRequest,
} from "./broker.ts";

/** Messages that wait for a slow subscriber before publishers have to. */
const queueMaxMessages = 1000;

export function create(context: DriverContext): PubSub {
  return new MemoryPubSub(context);
}

class MemoryPubSub implements PubSub {
  readonly features: readonly PubSubFeature[] = ["SUBSCRIBE_WILDCARDS"];
  readonly #context: DriverContext;
  readonly #lanes = new Set<Lane>();
  readonly #closing = new AbortController();

  constructor(context: DriverContext) {
    this.#context = context;
  }

  async init(): Promise<void> {}

  async close(): Promise<void> {
    this.#closing.abort(new Error("component is closed"));
    for (const lane of this.#lanes) lane.drop();
    this.#lanes.clear();
  }

  async publish(request: PublishRequest, signal: AbortSignal): Promise<void> {
    this.#closing.signal.throwIfAborted();
    for (const lane of this.#lanes) {
      if (!lane.takes(request.topic)) continue;
      while (lane.full) await lane.room(signal);
      lane.push(request);
    }
  }

  async subscribe(request: SubscribeRequest, handler: MessageHandler): Promise<BrokerSubscription> {
    this.#closing.signal.throwIfAborted();
    const onRefused = (error: unknown) => this.#context.log.error(messageOf(error));
    const lane = new Lane(request.topic, (message) => handler(message, this.#closing.signal), onRefused);
    this.#lanes.add(lane);
    return {
      stop: () => {
        this.#lanes.delete(lane);
        return lane.idle();
      },
    };
  }
}

/** What one subscription has yet to see. Accepted messages are handed over even while it stops: the bus cannot keep them for anybody. */
class Lane {
  readonly #topic: string;
  readonly #prefix: string | null;
  readonly #handle: (message: BrokerMessage) => Promise<void>;
  readonly #onRefused: (error: unknown) => void;
  #queue: BrokerMessage[] = [];
  #next = 0;
  #running = false;
  #room: (() => void)[] = [];
  #idle: (() => void)[] = [];

  constructor(topic: string, handle: (message: BrokerMessage) => Promise<void>, onRefused: (error: unknown) => void) {
    this.#topic = topic;
    this.#prefix = topic.endsWith("*") ? topic.slice(0, -1) : null;
    this.#handle = handle;
    this.#onRefused = onRefused;
  }

  takes(topic: string): boolean {
    if (topic === this.#topic) return true;
    return this.#prefix !== null && topic.startsWith(this.#prefix) && topic.length > this.#prefix.length;
  }

  get full(): boolean {
    return this.#queue.length - this.#next >= queueMaxMessages;
  }

  push(request: PublishRequest): void {
    this.#queue.push({ topic: this.#topic, data: request.data, contentType: null, metadata: request.metadata });
    if (this.#running) return;
    this.#running = true;
    // The handler starts in its own turn, so that no subscriber's work runs inside a publisher's call.
    setImmediate(() => void this.#run());
  }

  /** Resolves when there is room, rejects when `signal` aborts. */
  room(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#room.push(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
    });
  }

  /** Resolves when everything accepted has been handled. */
  idle(): Promise<void> {
    return this.#running ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve();
  }

  drop(): void {
    this.#queue = [];
    this.#next = 0;
    this.#release();
  }

  async #run(): Promise<void> {
    while (this.#next < this.#queue.length) {
      const message = this.#queue[this.#next++] as BrokerMessage;
      try {
        await this.#handle(message);
      } catch (error) {
        this.#onRefused(error);
      }
      if (this.#next >= queueMaxMessages || this.#next >= this.#queue.length) this.#compact();
      if (!this.full) this.#release();
    }
    this.#running = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #compact(): void {
    this.#queue = this.#queue.slice(this.#next);
    this.#next = 0;
  }

  #release(): void {
    for (const resolve of this.#room.splice(0)) resolve();
  }
}
