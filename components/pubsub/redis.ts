// pubsub.redis: a topic is a stream, a consumer group one of its consumer groups, laid out as Dapr's Go driver lays it out, so that both may
// serve the same app. At least once: a message is acknowledged once its handler accepts it; refused or abandoned ones are delivered
// again by whoever of the group finds them idle for processingTimeout. A group that is new gets what the stream still holds.
import { assert } from "../../lib/kit/assert.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { DriverContext } from "../driver.ts";
import { RedisConnection } from "../shared/redis.ts";
import type { RedisArgument } from "../shared/redis-engine.ts";
import type { BrokerSubscription, MessageHandler, PublishRequest, PubSub, PubSubFeature, SubscribeRequest } from "./broker.ts";
import { Consumer } from "./redis/consumer.ts";
import { Lanes } from "./redis/lanes.ts";
import { Reader } from "./redis/reader.ts";
import { concurrencyMax, readSettings, type Settings } from "./redis/settings.ts";
import { Stream } from "./redis/stream.ts";

export function create(context: DriverContext): PubSub {
  const settings = readSettings(context.properties, context.appId);
  for (const warning of settings.redis.warnings) context.log.warn(warning);
  if (settings.maxLenApprox > 0 && settings.streamTtlMs > 0) {
    context.log.warn("redis streams: maxLenApprox and streamTTL cannot be used together: streams are trimmed by maxLenApprox");
  }
  return new RedisPubSub(context, settings);
}

/** A message published twice is delivered twice. */
const once = { idempotent: false } as const;

class RedisPubSub implements PubSub {
  readonly features: readonly PubSubFeature[] = [];
  readonly #context: DriverContext;
  readonly #settings: Settings;
  readonly #lanes: Lanes;
  readonly #consumers = new Set<Consumer>();
  readonly #closing = new AbortController();
  #connection: RedisConnection | null = null;

  constructor(context: DriverContext, settings: Settings) {
    this.#context = context;
    this.#settings = settings;
    this.#lanes = new Lanes(settings.concurrency);
  }

  async init(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    this.#connection = await RedisConnection.open(this.#settings.redis, { clock, log }, signal);
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error("component is closed"));
    for (const consumer of this.#consumers) consumer.abort(this.#closing.signal.reason);
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
    this.#connection?.close();
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#open().send(null, ["PING"], signal);
  }

  async publish({ topic, data, metadata }: PublishRequest, signal: AbortSignal): Promise<void> {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const args: readonly RedisArgument[] = ["XADD", topic, ...this.#trimming(), "*", "data", bytes, "metadata", JSON.stringify(metadata)];
    try {
      await this.#open().send(topic, args, signal, once);
    } catch (error) {
      throw new Error(`redis streams: error from publish: ${messageOf(error)}`, { cause: error });
    }
  }

  async subscribe({ topic, gathers = 1 }: SubscribeRequest, handler: MessageHandler, signal: AbortSignal): Promise<BrokerSubscription> {
    const connection = this.#open();
    const { clock, log } = this.#context;
    const stream = new Stream(topic, this.#settings.group, connection);
    await stream.join(signal);
    const reader = new Reader(stream, connection, await connection.another(signal), clock);
    const settings = this.#settings;
    const consumer = new Consumer({
      stream,
      reader,
      lanes: this.#lanesFor(gathers),
      settings,
      handler,
      clock,
      log,
      signal: this.#closing.signal,
    });
    this.#consumers.add(consumer);
    consumer.start();
    return {
      stop: async () => {
        await consumer.stop();
        this.#consumers.delete(consumer);
      },
    };
  }

  /** A subscription that gathers needs more places than the component's, and its own, unless the component asks for one at a time. */
  #lanesFor(gathers: number): Lanes {
    const { concurrency } = this.#settings;
    return concurrency === 1 || gathers <= concurrency ? this.#lanes : new Lanes(Math.min(gathers, concurrencyMax));
  }

  #trimming(): readonly string[] {
    const { maxLenApprox, streamTtlMs } = this.#settings;
    if (maxLenApprox > 0) return ["MAXLEN", "~", String(maxLenApprox)];
    if (streamTtlMs > 0) return ["MINID", "~", `${Math.floor(this.#context.clock.now() - streamTtlMs)}-1`];
    return [];
  }

  #open(): RedisConnection {
    this.#closing.signal.throwIfAborted();
    assert(this.#connection !== null, "init comes first");
    return this.#connection;
  }
}
