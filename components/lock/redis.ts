// lock.redis v1: a lock is a key whose value is the owner and whose expiry is the lease, as in Dapr's Go driver, so that both may use the same
// server. One server, or the master that sentinels watch; a cluster, and a server with replicas but without sentinels, is refused,
// since a replica that takes over may not know a lock yet.
import { assert } from "../../lib/kit/assert.ts";
import type { DriverContext } from "../driver.ts";
import { RedisConnection } from "../shared/redis.ts";
import { RedisScript } from "../shared/redis-script.ts";
import { type RedisSettings, readRedisSettings, stateDefaults } from "../shared/redis-settings.ts";
import type { LockStore, TryLockRequest, UnlockRequest, UnlockStatus } from "./store.ts";

export function create(context: DriverContext): LockStore {
  const { log, properties } = context;
  const settings = readRedisSettings(properties, stateDefaults);
  if (settings.mode === "cluster") {
    properties.problem("this component does not support connecting to Redis Cluster: use a server of its own, or failover with sentinels");
  }
  properties.check();
  for (const warning of settings.warnings) log.warn(warning);
  return new RedisLock(context, settings);
}

/** Repeated, a lock that was got would look taken, and one that was given back lost. */
const once = { idempotent: false } as const;

/** KEYS: the lock. ARGV: the owner. Answers 1, or -1 when nobody holds it, or -2 when another does. */
const unlockScript = new RedisScript(`
local owner = redis.call('GET', KEYS[1])
if not owner then return -1 end
if owner ~= ARGV[1] then return -2 end
return redis.call('DEL', KEYS[1])`);

class RedisLock implements LockStore {
  readonly #context: DriverContext;
  readonly #settings: RedisSettings;
  #connection: RedisConnection | null = null;

  constructor(context: DriverContext, settings: RedisSettings) {
    this.#context = context;
    this.#settings = settings;
  }

  async init(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#context;
    this.#connection = await RedisConnection.open(this.#settings, { clock, log }, signal);
    if (this.#settings.mode === "node") await this.#refuseReplicas(signal);
  }

  async close(): Promise<void> {
    this.#connection?.close();
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#open().send(null, ["PING"], signal);
  }

  async tryLock({ resourceId, owner, expirySeconds }: TryLockRequest, signal: AbortSignal): Promise<boolean> {
    const args = ["SET", resourceId, owner, "EX", String(expirySeconds), "NX"];
    return (await this.#open().send(resourceId, args, signal, once)) !== null;
  }

  async unlock({ resourceId, owner }: UnlockRequest, signal: AbortSignal): Promise<UnlockStatus> {
    const outcome = await unlockScript.run(this.#open(), [resourceId], [owner], signal, once);
    if (outcome === -1) return "lock-does-not-exist";
    return outcome === -2 ? "lock-belongs-to-others" : "success";
  }

  async #refuseReplicas(signal: AbortSignal): Promise<void> {
    const replication = String(await this.#open().send(null, ["INFO", "replication"], signal));
    const replicas = Number(/^connected_slaves:(\d+)/m.exec(replication)?.[1] ?? 0);
    if (replicas === 0) return;
    this.#open().close();
    throw new Error("replication is not supported: a replica that takes over may not know a lock; set failover to true and use sentinels");
  }

  #open(): RedisConnection {
    assert(this.#connection !== null, "init comes first");
    return this.#connection;
  }
}
