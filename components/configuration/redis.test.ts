// configuration.redis on a real redis-server.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createClient } from "redis";
import { systemClock } from "../../lib/kit/clock.ts";
import { RedisTestServer } from "../shared/redis-test-server.ts";
import { startCluster, startSentinel } from "../shared/redis-test-topologies.ts";
import { driverContext } from "../shared/test-context.ts";
import { configurationConformance } from "./conformance.ts";
import { withNeededFlags } from "./redis/values.ts";
import { create } from "./redis.ts";
import type { ConfigurationStore } from "./store.ts";

const signal = new AbortController().signal;
let server: RedisTestServer;
/** Of whoever writes the configuration. */
let writer: ReturnType<typeof createClient>;
before(async () => {
  server = await RedisTestServer.start();
  writer = createClient({ socket: { host: "127.0.0.1", port: server.port }, database: 3 });
  await writer.connect();
});
after(async () => {
  writer.destroy();
  await server[Symbol.asyncDispose]();
});

async function open(metadata: Readonly<Record<string, string>> = {}): Promise<ConfigurationStore & AsyncDisposable> {
  const properties = { redisHost: server.address, redisMaxRetryInterval: "100ms", ...metadata };
  const store = create(driverContext("configuration.redis", properties, systemClock));
  await store.init(signal);
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() });
}

configurationConformance("configuration.redis", async () => {
  return {
    store: await open({ redisDB: "3" }),
    put: async (key, value, version) => void (await writer.set(key, version === "" ? value : `${value}||${version}`)),
    remove: async (key) => void (await writer.del(key)),
    oddKeys: ["a b", "a:b", "||", "ключ", "*", "[a]", "?", "__proto__", "__keyspace@3__:x", "a\u0001b"],
  };
});

/** The values told for `key`, and a way to wait for one. */
async function values(store: ConfigurationStore, key: string) {
  const seen: string[] = [];
  const wakes = new Set<() => void>();
  const subscription = await store.subscribe(
    { keys: [key], metadata: {} },
    async (items) => {
      seen.push(items.get(key)?.value ?? "another key");
      for (const wake of wakes) wake();
    },
    signal,
  );
  const until = (value: string) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (seen.at(-1) === value) resolve();
      };
      wakes.add(look);
      look();
    });
  return { seen, until, stop: () => subscription.stop() };
}

describe("configuration.redis", { timeout: 120_000 }, () => {
  test("leaves out what is no configuration: other types and empty values", async () => {
    await using store = await open();
    await server.command("RPUSH", "list", "x");
    await server.command("HSET", "hash", "data", "x");
    await server.command("SET", "empty", "");
    await server.command("SET", "only-version", "||v1");
    await server.command("SET", "three", "a||b||c");
    const items = await store.get({ keys: [], metadata: {} }, signal);
    assert.deepEqual(
      [...items].map(([key, { value, version }]) => [key, value, version]),
      [["three", "a", "b"]],
    );
    assert.equal((await store.get({ keys: ["list", "empty"], metadata: {} }, signal)).size, 0);
  });

  test("tells of keys that expire, and not of values set again", async () => {
    await using store = await open();
    const told = await values(store, "expiring");
    await server.command("SET", "expiring", "1");
    await told.until("1");
    await server.command("SET", "expiring", "1");
    await server.command("SET", "expiring", "2", "PX", "50");
    await told.until("2");
    await told.until("");
    assert.deepEqual(told.seen, ["1", "2", ""]);
  });

  test("adds to the server's events setting and takes nothing from it", async () => {
    await using own = await RedisTestServer.start({ config: ["notify-keyspace-events Elx"] });
    await using store = await open({ redisHost: own.address });
    await values(store, "k");
    const [, flags] = (await own.command("CONFIG", "GET", "notify-keyspace-events")) as [string, string];
    assert.deepEqual([...flags].sort(), [..."EKg$lxe"].sort());
    assert.deepEqual(["KA", "AKE", "Kg$xe", "", "KEA"].map(withNeededFlags), [null, null, null, "Kg$xe", null]);
  });

  test("subscribes with a login that may not change the server's settings", async () => {
    const config = ["user app on >pw ~* &* +@all -config", "notify-keyspace-events KA"];
    await using own = await RedisTestServer.start({ config });
    await using store = await open({ redisHost: own.address, redisUsername: "app", redisPassword: "pw" });
    const told = await values(store, "k");
    await own.command("SET", "k", "1");
    await told.until("1");
  });

  test("tells after an outage what changed meanwhile, and hears again", async () => {
    const config = ["appendonly yes", "appendfsync always"];
    await using own = await RedisTestServer.start({ config });
    await using store = await open({ redisHost: own.address });
    await own.command("SET", "goes", "1");
    const [changes, goes] = [await values(store, "changes"), await values(store, "goes")];
    await own.stop();
    await own.restart();
    // Before anybody listens again, or after: both must be told.
    await own.command("SET", "changes", "meanwhile");
    await own.command("DEL", "goes");
    await Promise.all([changes.until("meanwhile"), goes.until("")]);
    await own.command("SET", "changes", "later");
    await changes.until("later");
    assert.deepEqual(changes.seen, ["meanwhile", "later"]);
  });

  test("stops and closes at once while the server is away", async () => {
    await using own = await RedisTestServer.start();
    const store = await open({ redisHost: own.address });
    const [one] = [await values(store, "one"), await values(store, "two")];
    await own.stop();
    await one.stop();
    await store.close();
    await assert.rejects(store.get({ keys: ["one"], metadata: {} }, signal), /closing/);
  });

  test("looks at its keys again and again in a cluster", async () => {
    await using cluster = await startCluster();
    await using store = await open({ redisHost: cluster.addresses, redisType: "cluster" });
    const told = await values(store, "k");
    const set = async (value: string) => {
      // The other two answer MOVED.
      await Promise.allSettled(cluster.servers.map((node) => node.command("SET", "k", value)));
    };
    await set("1");
    await told.until("1");
    assert.equal((await store.get({ keys: [], metadata: {} }, signal)).get("k")?.value, "1");
  });

  test("hears the new master when the old one dies", async () => {
    await using sentinel = await startSentinel();
    const login = { redisHost: sentinel.address, failover: "true", sentinelMasterName: sentinel.masterName };
    await using store = await open({ ...login, redisMaxRetries: "50" });
    const told = await values(store, "k");
    await sentinel.master.command("SET", "k", "1");
    await told.until("1");
    await sentinel.master.stop();
    for (let written = false; !written; ) {
      written = await sentinel.replica.command("SET", "k", "2").then(
        () => true,
        () => false,
      );
    }
    await told.until("2");
    await sentinel.replica.command("SET", "k", "3");
    await told.until("3");
  });
});
