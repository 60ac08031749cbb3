// state.redis v1: one hash per key on a Redis server, cluster or sentinel-watched master, laid out as Dapr's Go driver lays it out, so
// that both may use the same server. Every write is one script, checked and done in one step; a transaction is one script too, so it is
// all or nothing, except across the slots of a cluster. RedisJSON is not used: values of any content type are stored as they are.
import { messageOf } from "../../lib/kit/errors.ts";
import type { DriverContext } from "../driver.ts";
import { RedisConnection } from "../shared/redis.ts";
import { isReplyError } from "../shared/redis-errors.ts";
import { type RedisSettings, readRedisSettings, stateDefaults } from "../shared/redis-settings.ts";
import { likeGlob, likePattern } from "./like.ts";
import { expectedByDelete, transactionArguments, upsertOf } from "./redis/operations.ts";
import { deleteScript, transactionScript, upsertScript } from "./redis/scripts.ts";
import { bySlot } from "./redis/slots.ts";
import {
  type BulkGetItem,
  BulkStoreError,
  type DeleteRequest,
  EtagError,
  type GetRequest,
  type KeysLikePage,
  type KeysLikeRequest,
  type RequestMetadata,
  type SetRequest,
  type StateFeature,
  type StateItem,
  type StateStore,
  type TransactionOperation,
} from "./store.ts";
import { expiryMetadata } from "./ttl.ts";

/** How long a write with strong consistency waits for the replicas. */
const replicasWaitMs = 1000;
/** Keys that one SCAN step looks at. */
const scanStepKeys = 1000;
const ttlMaxSeconds = 2 ** 31 - 1;

export function create(context: DriverContext): StateStore {
  const { properties } = context;
  const settings = readRedisSettings(properties, stateDefaults);
  const ttl = properties.integer("ttlInSeconds", 0, { min: -1, max: ttlMaxSeconds });
  if (properties.string("queryIndexes", "") !== "") {
    properties.problem("queryIndexes is not supported: querying needs the RediSearch module, which this driver does not use; remove it");
  }
  properties.check();
  for (const warning of settings.warnings) context.log.warn(warning);
  return new RedisStore(context, settings, ttl > 0 ? ttl : null);
}

/** A write with an etag or a first-write guard, repeated after it was done, would be refused. */
const once = { idempotent: false } as const;
const again = { idempotent: true } as const;

class RedisStore implements StateStore {
  readonly features: readonly StateFeature[] = ["ETAG", "TRANSACTIONAL", "TTL", "KEYS_LIKE"];
  readonly #context: DriverContext;
  readonly #settings: RedisSettings;
  readonly #defaultTtlSeconds: number | null;
  readonly #closing = new AbortController();
  #connection: RedisConnection | null = null;
  /** For writes that wait for replicas, so that nobody else's commands wait behind them. */
  #strong: Promise<RedisConnection> | null = null;
  #replicas = 0;
  #warnedOfSlots = false;

  constructor(context: DriverContext, settings: RedisSettings, defaultTtlSeconds: number | null) {
    this.#context = context;
    this.#settings = settings;
    this.#defaultTtlSeconds = defaultTtlSeconds;
  }

  async init(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    this.#connection = await RedisConnection.open(this.#settings, { clock, log }, signal);
    const [master] = await this.#connection.masters(signal);
    const replication = String(await master?.(["INFO", "replication"]));
    this.#replicas = Number(/^connected_slaves:(\d+)/m.exec(replication)?.[1] ?? 0);
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error("the state store is closing"));
    this.#connection?.close();
    const strong = await this.#strong?.catch(() => null);
    strong?.close();
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#open().send(null, ["PING"], signal);
  }

  async get({ key }: GetRequest, signal: AbortSignal): Promise<StateItem | null> {
    const connection = this.#open();
    try {
      const [fields, ttl] = await Promise.all([
        connection.send(key, ["HMGET", key, "data", "version"], signal),
        connection.send(key, ["PTTL", key], signal),
      ]);
      return this.#toItem(key, fields as readonly (Buffer | null)[], ttl as number);
    } catch (error) {
      if (!isReplyError(error, "WRONGTYPE")) throw error;
      return this.#plainItem(key, signal);
    }
  }

  bulkGet(requests: readonly GetRequest[], signal: AbortSignal): Promise<readonly BulkGetItem[]> {
    return Promise.all(
      requests.map(async (request): Promise<BulkGetItem> => {
        try {
          return { key: request.key, item: await this.get(request, signal), error: null };
        } catch (error) {
          return { key: request.key, item: null, error: messageOf(error) };
        }
      }),
    );
  }

  async set(request: SetRequest, signal: AbortSignal): Promise<void> {
    const { expected, guarded, mark, seconds, data } = upsertOf(request, this.#defaultTtlSeconds);
    const options = expected === "" && mark === "0" ? again : once;
    const strong = request.consistency === "strong" && this.#replicas > 0;
    const connection = strong ? await this.#openStrong() : this.#open();
    const written = upsertScript.run(connection, [request.key], [expected, guarded, mark, seconds, data], signal, options);
    if ((await written) !== 1) throw new EtagError("mismatch");
    if (strong) {
      const wait = ["WAIT", String(this.#replicas), String(replicasWaitMs)];
      await connection.send(request.key, wait, signal, { idempotent: true, blocksMs: replicasWaitMs });
    }
  }

  async delete(request: DeleteRequest, signal: AbortSignal): Promise<void> {
    const expected = expectedByDelete(request);
    if (expected === "") {
      await this.#open().send(request.key, ["DEL", request.key], signal);
    } else if ((await deleteScript.run(this.#open(), [request.key], [expected], signal, once)) !== 1) {
      throw new EtagError("mismatch");
    }
  }

  bulkSet(requests: readonly SetRequest[], signal: AbortSignal): Promise<void> {
    return each(requests, (request) => this.set(request, signal));
  }

  bulkDelete(requests: readonly DeleteRequest[], signal: AbortSignal): Promise<void> {
    return each(requests, (request) => this.delete(request, signal));
  }

  async transact(operations: readonly TransactionOperation[], _metadata: RequestMetadata, signal: AbortSignal): Promise<void> {
    if (operations.length === 0) return;
    const connection = this.#open();
    const parts = connection.mode === "cluster" ? bySlot(operations) : [operations];
    if (parts.length > 1) this.#warnOfSlots();
    for (const part of parts) {
      const keys = part.map(({ request }) => request.key);
      const args = part.flatMap((operation) => transactionArguments(operation, this.#defaultTtlSeconds));
      if ((await transactionScript.run(connection, keys, args, signal, once)) !== 1) throw new EtagError("mismatch");
    }
  }

  /** Keys in the order of their bytes; a page goes on behind the last key of the one before, whatever was written in between. */
  async keysLike({ pattern, pageSize, continuationToken }: KeysLikeRequest, signal: AbortSignal): Promise<KeysLikePage> {
    if (pattern === "") throw new Error("keys like pattern cannot be empty");
    const form = likePattern(pattern);
    const found = new Set<string>();
    for (const master of await this.#open().masters(signal)) {
      for (let cursor = "0"; ; ) {
        signal.throwIfAborted();
        const [next, keys] = (await master(["SCAN", cursor, "MATCH", likeGlob(pattern), "COUNT", String(scanStepKeys)])) as [
          Buffer,
          Buffer[],
        ];
        for (const key of keys) {
          const text = key.toString();
          if (form.test(text) && (continuationToken === null || isAfter(text, continuationToken))) found.add(text);
        }
        cursor = next.toString();
        if (cursor === "0") break;
      }
    }
    const sorted = [...found].sort((a, b) => (isAfter(a, b) ? 1 : -1));
    if (pageSize === null || sorted.length <= pageSize) return { keys: sorted, continuationToken: null };
    const keys = sorted.slice(0, pageSize);
    return { keys, continuationToken: keys.at(-1) ?? null };
  }

  #toItem(key: string, [data, version]: readonly (Buffer | null)[], ttlMs: number): StateItem | null {
    if (!data && !version) return null;
    if (!data || !version) throw new Error(`required hash field 'data' or 'version' was not found in key ${key}`);
    const expiresAt = ttlMs < 0 ? null : this.#context.clock.now() + ttlMs;
    return { data, etag: version.toString(), metadata: expiryMetadata(expiresAt), contentType: null };
  }

  /** Keys that something else wrote as plain strings can be read, without an etag. */
  async #plainItem(key: string, signal: AbortSignal): Promise<StateItem | null> {
    const data = (await this.#open().send(key, ["GET", key], signal)) as Buffer | null;
    return data === null ? null : { data, etag: null, metadata: expiryMetadata(null), contentType: null };
  }

  #open(): RedisConnection {
    this.#closing.signal.throwIfAborted();
    if (this.#connection === null) throw new Error("the state store is not initialised");
    return this.#connection;
  }

  #openStrong(): Promise<RedisConnection> {
    this.#strong ??= this.#open().another(this.#closing.signal);
    this.#strong.catch(() => {
      this.#strong = null;
    });
    return this.#strong;
  }

  #warnOfSlots(): void {
    if (this.#warnedOfSlots) return;
    this.#warnedOfSlots = true;
    this.#context.log.warn(
      "a transaction touched keys of several cluster slots: each slot's part is all or nothing, the whole is not; " +
        "give such keys a common {hash tag}, or use a server without cluster mode",
    );
  }
}

/** By bytes, as Redis and Dapr order keys. */
function isAfter(key: string, other: string): boolean {
  return Buffer.compare(Buffer.from(key), Buffer.from(other)) > 0;
}

/** All at once, which the connection makes one write of; those that fail are named. */
async function each<R extends { readonly key: string }>(requests: readonly R[], run: (request: R) => Promise<void>): Promise<void> {
  const failures = new Map<string, Error>();
  const fail = (key: string) => (error: Error) => void failures.set(key, error);
  await Promise.all(requests.map((request) => run(request).catch(fail(request.key))));
  if (failures.size > 0) throw new BulkStoreError(failures);
}
