// pubsub.sqlite: a durable queue in one SQLite file, shared by every process on the machine that names it. At least once; consumer
// groups by consumerID, whose members compete; every group gets every message published after it first subscribed, also the ones from while
// it was away, until `retention`. Publishing is acknowledged once the message is on disk.

import { assert } from "../../lib/kit/assert.ts";
import type { Timer } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { DriverContext } from "../driver.ts";
import { openSqlite, type SqliteDatabase } from "../shared/sqlite.ts";
import type { Statement } from "../shared/sqlite-protocol.ts";
import { WakeListener } from "../shared/sqlite-wake.ts";
import type {
  BrokerSubscription,
  BulkPublishRequest,
  FailedEntry,
  MessageHandler,
  PublishRequest,
  PubSub,
  PubSubFeature,
  SubscribeRequest,
} from "./broker.ts";
import { timeToLiveMs } from "./request-metadata.ts";
import { Consumer } from "./sqlite/consumer.ts";
import { concurrencyMax, readSettings, type Settings } from "./sqlite/settings.ts";
import { clean, createTables, joinGroup, publish, seen } from "./sqlite/tables.ts";

export function create(context: DriverContext): PubSub {
  return new SqlitePubSub(context);
}

class SqlitePubSub implements PubSub {
  readonly features: readonly PubSubFeature[] = ["MESSAGE_TTL", "BULK_PUBSUB"];
  readonly #context: DriverContext;
  readonly #consumers = new Set<Consumer>();
  readonly #closing = new AbortController();
  #settings: Settings | null = null;
  #database: SqliteDatabase | null = null;
  #listener: WakeListener | null = null;
  #cleaning: Timer | null = null;
  #consumersMade = 0;

  constructor(context: DriverContext) {
    this.#context = context;
  }

  async init(signal: AbortSignal): Promise<void> {
    const { appId, clock, log, properties } = this.#context;
    this.#settings = readSettings(properties, appId);
    for (const warning of this.#settings.sqlite.warnings) log.warn(warning);
    this.#database = await openSqlite(this.#settings.sqlite, clock, signal);
    await this.#database.write(createTables, signal);
    this.#listener = await WakeListener.open(this.#database.path, () => this.#wakeAll(), { clock });
    this.#cleanLater();
  }

  async close(): Promise<void> {
    this.#cleaning?.cancel();
    this.#listener?.close();
    this.#closing.abort(new Error("component is closed"));
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
    await this.#database?.close();
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#open().database.query("SELECT 1", [], signal);
  }

  async publish(request: PublishRequest, signal: AbortSignal): Promise<void> {
    await this.#write(request.topic, this.#statements(request.topic, request), signal);
  }

  /** All or none, in their order. */
  async bulkPublish({ topic, entries }: BulkPublishRequest, signal: AbortSignal): Promise<readonly FailedEntry[]> {
    if (entries.length === 0) return [];
    const statements = entries.flatMap((entry) => this.#statements(topic, entry));
    await this.#write(topic, statements, signal);
    return [];
  }

  #statements(topic: string, { data, metadata }: Pick<PublishRequest, "data" | "metadata">): readonly Statement[] {
    const { retentionMs } = this.#open().settings;
    const expiresAt = Math.ceil(this.#context.clock.now() + Math.min(timeToLiveMs(metadata) ?? retentionMs, retentionMs));
    return publish(topic, data, JSON.stringify(metadata), expiresAt);
  }

  async #write(topic: string, statements: readonly Statement[], signal: AbortSignal): Promise<void> {
    await this.#open().database.write(statements, signal, { wake: true });
    for (const consumer of this.#consumers) if (consumer.topic === topic) consumer.wake();
  }

  async subscribe(request: SubscribeRequest, handler: MessageHandler, signal: AbortSignal): Promise<BrokerSubscription> {
    const { database, settings } = this.#open();
    const { clock, instanceId, log, name } = this.#context;
    const results = await database.write([joinGroup(request.topic, settings.consumerGroup, clock.now())], signal);
    const group = results[0]?.rows[0]?.[0];
    assert(group !== undefined, "joining a group gives its id");
    const consumer = new Consumer({
      database,
      group,
      topic: request.topic,
      lease: `${instanceId}/${name}/${this.#consumersMade++}/${process.pid}`,
      settings: gathering(settings, request.gathers ?? 1),
      handler,
      clock,
      log,
      signal: this.#closing.signal,
    });
    this.#consumers.add(consumer);
    consumer.wake();
    return {
      stop: async () => {
        await consumer.stop();
        this.#consumers.delete(consumer);
      },
    };
  }

  #open(): { readonly database: SqliteDatabase; readonly settings: Settings } {
    this.#closing.signal.throwIfAborted();
    assert(this.#database !== null && this.#settings !== null, "init comes first");
    return { database: this.#database, settings: this.#settings };
  }

  #wakeAll(): void {
    for (const consumer of this.#consumers) consumer.wake();
  }

  #cleanLater(): void {
    const { database, settings } = this.#open();
    this.#cleaning = this.#context.clock.after(settings.cleanupMs, () => {
      const now = this.#context.clock.now();
      // Our own groups are seen first, however long ago they joined.
      const statements = [...[...this.#consumers].map((consumer) => seen(consumer.group, now)), ...clean(now, now - settings.retentionMs)];
      database.write(statements, this.#closing.signal).catch((error: unknown) => {
        if (!this.#closing.signal.aborted) this.#context.log.warn(`error cleaning up old messages, will try again: ${messageOf(error)}`);
      });
      this.#cleanLater();
    });
  }
}

/** A subscription that gathers handles as many at once as it gathers, unless its component asks for one at a time. */
function gathering(settings: Settings, gathers: number): Settings {
  return settings.concurrency === 1
    ? settings
    : { ...settings, concurrency: Math.max(settings.concurrency, Math.min(gathers, concurrencyMax)) };
}
