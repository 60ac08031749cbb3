// state.redis on a cluster, and behind a sentinel whose master dies.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { startCluster, startSentinel, type TestCluster } from "../shared/redis-test-topologies.ts";
import { driverContext } from "../shared/test-context.ts";
import { getRequest, setRequest } from "./conformance.ts";
import { create } from "./redis.ts";
import { EtagError, type StateStore } from "./store.ts";

const signal = new AbortController().signal;

async function open(metadata: Readonly<Record<string, string>>): Promise<StateStore & AsyncDisposable> {
  const store = create(driverContext("state.redis", { redisMinRetryInterval: "20ms", ...metadata }, systemClock));
  await store.init(signal);
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() });
}

async function value(store: StateStore, key: string): Promise<string | null> {
  const item = await store.get(getRequest(key), signal);
  return item === null ? null : Buffer.from(item.data).toString();
}

describe("state.redis on a cluster", { timeout: 120_000 }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster[Symbol.asyncDispose]());

  test("keys of every slot, in bulk, by pattern and with etags", async () => {
    await using store = await open({ redisHost: cluster.addresses, redisType: "cluster" });
    const keys = Array.from({ length: 50 }, (_, n) => `app||key${String(n).padStart(2, "0")}`);
    await store.bulkSet?.(
      keys.map((key) => setRequest(key, key)),
      signal,
    );
    const items = await store.bulkGet?.(keys.map(getRequest), signal);
    assert.deepEqual(
      items?.map(({ item }) => Buffer.from(item?.data ?? []).toString()),
      keys,
    );
    for (const server of cluster.servers) assert.ok(Number(await server.command("DBSIZE")) > 0);
    const page = await store.keysLike?.({ pattern: "app||key%", pageSize: 20, continuationToken: null }, signal);
    assert.deepEqual(page?.keys, keys.slice(0, 20));
    await assert.rejects(store.set(setRequest(keys[3] as string, "x", { etag: "9" }), signal), EtagError);
  });

  test("a transaction within one slot is all or nothing, one over several is each slot's", async () => {
    await using store = await open({ redisHost: cluster.servers[0]?.address ?? "", redisType: "cluster" });
    const upsert = (key: string, etag: string | null = null) => ({ operation: "upsert" as const, request: setRequest(key, "1", { etag }) });
    await store.transact?.([upsert("{one}a"), upsert("{one}b")], {}, signal);
    await assert.rejects(store.transact?.([upsert("{one}c"), upsert("{one}a", "9")], {}, signal) ?? Promise.resolve(), EtagError);
    assert.deepEqual([await value(store, "{one}b"), await value(store, "{one}c")], ["1", null]);
    await store.transact?.([upsert("x"), upsert("y"), upsert("z")], {}, signal);
    assert.deepEqual([await value(store, "x"), await value(store, "y"), await value(store, "z")], ["1", "1", "1"]);
  });

  test("a node that dies and comes back is found again", async () => {
    await using store = await open({
      redisHost: cluster.addresses,
      redisType: "cluster",
      redisMaxRetries: "20",
      redisMaxRetryInterval: "200ms",
    });
    const node = cluster.servers[2] as (typeof cluster.servers)[number];
    await node.stop();
    await node.restart();
    for (let n = 0; n < 30; n++) await store.set(setRequest(`again${n}`, "1"), signal);
    assert.equal(await value(store, "again7"), "1");
  });

  test("nobody there is an error with a remedy", async () => {
    const metadata = { redisHost: "127.0.0.1:1", redisType: "cluster", dialTimeout: "200ms" };
    await assert.rejects(open(metadata), /error connecting to redis at 127\.0\.0\.1:1: .*; check that the server runs/);
  });
});

describe("state.redis behind sentinels", { timeout: 120_000 }, () => {
  test("goes on with the new master when the old one dies", async () => {
    await using sentinel = await startSentinel();
    const login = { redisHost: sentinel.address, failover: "true", sentinelMasterName: sentinel.masterName };
    await using store = await open({ ...login, redisMaxRetries: "100", redisMaxRetryInterval: "200ms" });
    await store.set(setRequest("kept", "before", { consistency: "strong" }), signal);
    await sentinel.master.stop();
    let stored = false;
    while (!stored) {
      stored = await store.set(setRequest("new", "after"), signal).then(
        () => true,
        () => false,
      );
    }
    assert.deepEqual([await value(store, "kept"), await value(store, "new")], ["before", "after"]);
    assert.equal(await sentinel.replica.command("HGET", "new", "data"), "after");
  });

  test("nobody there is an error with a remedy", async () => {
    const metadata = { redisHost: "127.0.0.1:1", failover: "true", sentinelMasterName: "m", dialTimeout: "200ms" };
    await assert.rejects(open(metadata), /error connecting to redis at 127\.0\.0\.1:1: .*; check that the server runs/);
  });
});
