// configuration.redis v1: plain keys with `value||version`, as in Dapr's Go driver; changes are heard from the server's keyspace events, which
// are switched on when somebody subscribes. After an outage everything subscribed is looked at again. In a cluster, whose events reach only
// the listeners of one node, subscribed keys are looked at every two seconds instead.
import { assert } from "../../lib/kit/assert.ts";
import type { Timer } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { DriverContext } from "../driver.ts";
import { RedisConnection } from "../shared/redis.ts";
import type { Unlisten } from "../shared/redis-engine.ts";
import { isConnectionError, isReplyError } from "../shared/redis-errors.ts";
import { configurationDefaults, type RedisSettings, readRedisSettings } from "../shared/redis-settings.ts";
import { channelOf, itemOf, keyOf, withNeededFlags } from "./redis/values.ts";
import type {
  ConfigurationHandler,
  ConfigurationItem,
  ConfigurationItems,
  ConfigurationRequest,
  ConfigurationStore,
  ConfigurationSubscription,
} from "./store.ts";
import { Watch } from "./watch.ts";

const scanStepKeys = 1000;
/** Values asked for at once. */
const readBatchKeys = 500;
const clusterPollMs = 2000;
const setAgainMs = 1000;

export function create(context: DriverContext): ConfigurationStore {
  const settings = readRedisSettings(context.properties, configurationDefaults);
  context.properties.check();
  for (const warning of settings.warnings) context.log.warn(warning);
  return new RedisConfiguration(context, settings);
}

class RedisConfiguration implements ConfigurationStore {
  readonly #context: DriverContext;
  readonly #settings: RedisSettings;
  readonly #watches = new Set<Watch>();
  readonly #closing = new AbortController();
  #connection: RedisConnection | null = null;
  /** Hears keyspace events; made with the first subscription. */
  #ears: Promise<RedisConnection> | null = null;
  #poll: Timer | null = null;
  #setAgain: Timer | null = null;

  constructor(context: DriverContext, settings: RedisSettings) {
    this.#context = context;
    this.#settings = settings;
  }

  async init(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    this.#connection = await RedisConnection.open(this.#settings, { clock, log }, signal);
  }

  async close(): Promise<void> {
    this.#poll?.cancel();
    this.#setAgain?.cancel();
    await Promise.all([...this.#watches].map((watch) => watch.stop()));
    this.#closing.abort(new Error("the configuration store is closing"));
    const ears = await this.#ears?.catch(() => null);
    ears?.close();
    this.#connection?.close();
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#open().send(null, ["PING"], signal);
  }

  get({ keys }: ConfigurationRequest, signal: AbortSignal): Promise<ConfigurationItems> {
    return this.#read(keys, signal);
  }

  async subscribe({ keys }: ConfigurationRequest, handler: ConfigurationHandler, signal: AbortSignal): Promise<ConfigurationSubscription> {
    const { clock, log } = this.#context;
    const unlistens: Unlisten[] = [];
    const unlisten = () => Promise.all(unlistens.map((end) => end()));
    const read = (some: readonly string[], abort: AbortSignal) => this.#read(some, abort);
    const watch = new Watch({ keys, handler, read, unlisten, clock, log });
    try {
      if (this.#open().listens) await this.#listen(watch, keys, unlistens, signal);
      else this.#pollLater();
      await watch.start(signal);
    } catch (error) {
      await watch.stop();
      throw error;
    }
    this.#watches.add(watch);
    return {
      stop: async () => {
        this.#watches.delete(watch);
        await watch.stop();
      },
    };
  }

  async #listen(watch: Watch, keys: readonly string[], unlistens: Unlisten[], signal: AbortSignal): Promise<void> {
    const ears = await this.#openEars();
    const { database } = this.#settings;
    const channels =
      keys.length === 0
        ? [{ name: channelOf("*", database), pattern: true }]
        : keys.map((key) => ({ name: channelOf(key, database), pattern: false }));
    const heard = (channel: string) => watch.touch(keyOf(channel, database));
    await Promise.all(channels.map(async (channel) => unlistens.push(await ears.listen(channel, heard, signal))));
  }

  #openEars(): Promise<RedisConnection> {
    this.#ears ??= this.#openEarsNow();
    this.#ears.catch(() => {
      this.#ears = null;
    });
    return this.#ears;
  }

  async #openEarsNow(): Promise<RedisConnection> {
    const ears = await this.#open().another(this.#closing.signal, () => void this.#lookAgain());
    await this.#switchEventsOn();
    return ears;
  }

  /** After an outage: the server may be another, and may have changed while nobody heard it. Never rejects. */
  async #lookAgain(): Promise<void> {
    await this.#switchEventsOn();
    for (const watch of this.#watches) watch.touchAll();
  }

  /** Adds to the server's setting what is missing; where that is forbidden, its administrator has to. Never rejects. */
  async #switchEventsOn(): Promise<void> {
    const { signal } = this.#closing;
    try {
      const [, current] = (await this.#open().send(null, ["CONFIG", "GET", "notify-keyspace-events"], signal)) as readonly unknown[];
      const flags = withNeededFlags(String(current ?? ""));
      if (flags !== null) await this.#open().send(null, ["CONFIG", "SET", "notify-keyspace-events", flags], signal);
    } catch (error) {
      if (signal.aborted) return;
      if (isConnectionError(error)) this.#setAgain ??= this.#context.clock.after(setAgainMs, () => void this.#setOnceMore());
      this.#context.log.warn(
        `updates may be missed: the server's notify-keyspace-events cannot be set (${messageOf(error)}); set it to Kg$xe on the server`,
      );
    }
  }

  #setOnceMore(): Promise<void> {
    this.#setAgain = null;
    return this.#lookAgain();
  }

  #pollLater(): void {
    this.#poll ??= this.#context.clock.after(clusterPollMs, () => {
      this.#poll = null;
      for (const watch of this.#watches) watch.touchAll();
      if (this.#watches.size > 0) this.#pollLater();
    });
  }

  async #read(keys: readonly string[], signal: AbortSignal): Promise<ConfigurationItems> {
    const all = keys.length === 0 ? await this.#allKeys(signal) : keys;
    const items = new Map<string, ConfigurationItem>();
    for (let start = 0; start < all.length; start += readBatchKeys) {
      const batch = all.slice(start, start + readBatchKeys);
      const found = await Promise.all(batch.map((key) => this.#readOne(key, signal)));
      for (const [index, item] of found.entries()) if (item !== null) items.set(batch[index] as string, item);
    }
    return items;
  }

  /** Null for what is missing, empty, or no string: others keep their own things on the same server. */
  async #readOne(key: string, signal: AbortSignal): Promise<ConfigurationItem | null> {
    try {
      const value = (await this.#open().send(key, ["GET", key], signal)) as Buffer | null;
      return value === null ? null : itemOf(value.toString());
    } catch (error) {
      if (isReplyError(error, "WRONGTYPE")) return null;
      throw error;
    }
  }

  async #allKeys(signal: AbortSignal): Promise<readonly string[]> {
    const found = new Set<string>();
    for (const master of await this.#open().masters(signal)) {
      for (let cursor = "0"; ; ) {
        signal.throwIfAborted();
        const [next, keys] = (await master(["SCAN", cursor, "COUNT", String(scanStepKeys)])) as [Buffer, Buffer[]];
        for (const key of keys) found.add(key.toString());
        cursor = next.toString();
        if (cursor === "0") break;
      }
    }
    return [...found];
  }

  #open(): RedisConnection {
    this.#closing.signal.throwIfAborted();
    assert(this.#connection !== null, "init comes first");
    return this.#connection;
  }
}
