// state.redis on a real redis-server: the conformance suite, the layout that Go sidecars share, and outages.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { RedisServerClock, RedisTestServer } from "../shared/redis-test-server.ts";
import { driverContext } from "../shared/test-context.ts";
import { deleteRequest, getRequest, setRequest, stateConformance } from "./conformance.ts";
import { slotOf } from "./redis/slots.ts";
import { create } from "./redis.ts";
import { EtagError, type SetRequest, type StateStore } from "./store.ts";

const signal = new AbortController().signal;
let server: RedisTestServer;
before(async () => {
  server = await RedisTestServer.start();
});
after(() => server[Symbol.asyncDispose]());

async function open(metadata: Readonly<Record<string, string>> = {}, clock = systemClock): Promise<StateStore & AsyncDisposable> {
  const store = create(driverContext("state.redis", { redisHost: server.address, redisMinRetryInterval: "10ms", ...metadata }, clock));
  await store.init(signal);
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() });
}

stateConformance("state.redis", async () => {
  const clock = new RedisServerClock(server);
  return { store: await open({}, clock), clock, foreignEtag: "9999999" };
});

const set = (store: StateStore, key: string, value: string, change: Partial<SetRequest> = {}) =>
  store.set(setRequest(key, value, change), signal);
const read = async (store: StateStore, key: string) => {
  const item = await store.get(getRequest(key), signal);
  return item === null ? null : { value: Buffer.from(item.data).toString(), etag: item.etag };
};
const refused = (kind: EtagError["kind"]) => (error: unknown) => error instanceof EtagError && error.kind === kind;

describe("state.redis", { timeout: 120_000 }, () => {
  test("stores what a Go sidecar reads", async () => {
    await using store = await open();
    await set(store, "app||a", '"1"');
    await set(store, "app||a", '"2"');
    assert.deepEqual(await server.command("HGETALL", "app||a"), ["version", "2", "data", '"2"']);
    assert.equal(await server.command("TTL", "app||a"), -1);
    await set(store, "app||first", "1", { concurrency: "first-write", metadata: { ttlInSeconds: "100" } });
    assert.equal(await server.command("HGET", "app||first", "first-write"), "0");
    assert.ok(Number(await server.command("TTL", "app||first")) > 90);
  });

  test("reads what a Go sidecar stored, and plain strings without an etag", async () => {
    await using store = await open();
    await server.command("HSET", "go", "data", '{"a":1}', "version", "7", "first-write", "0");
    assert.deepEqual(await read(store, "go"), { value: '{"a":1}', etag: "7" });
    await assert.rejects(set(store, "go", "2"), refused("mismatch"));
    await set(store, "go", "2", { etag: "7" });
    assert.deepEqual(await read(store, "go"), { value: "2", etag: "8" });
    await server.command("SET", "plain", "text");
    assert.deepEqual(await read(store, "plain"), { value: "text", etag: null });
    await set(store, "plain", "now ours");
    assert.deepEqual(await read(store, "plain"), { value: "now ours", etag: "1" });
    await server.command("HSET", "foreign", "data", "x");
    await assert.rejects(read(store, "foreign"), /'data' or 'version' was not found in key foreign/);
  });

  test("an etag that is no version is invalid; 0 is none; last-write does not look at it", async () => {
    await using store = await open();
    await assert.rejects(set(store, "etags", "1", { etag: "abc" }), refused("invalid"));
    await assert.rejects(set(store, "etags", "1", { etag: "1.5" }), refused("invalid"));
    await set(store, "etags", "1", { etag: "0" });
    await set(store, "etags", "2", { etag: "01" });
    await set(store, "etags", "3", { etag: "77", concurrency: "last-write" });
    await assert.rejects(store.delete(deleteRequest("etags", { etag: "abc" }), signal), refused("mismatch"));
    assert.deepEqual(await read(store, "etags"), { value: "3", etag: "3" });
  });

  test("a key of another type is refused with an etag and otherwise replaced", async () => {
    await using store = await open();
    await server.command("RPUSH", "list", "x");
    await assert.rejects(set(store, "list", "1", { etag: "1" }), refused("mismatch"));
    assert.equal(await server.command("LLEN", "list"), 1);
    await set(store, "list", "1");
    assert.deepEqual(await read(store, "list"), { value: "1", etag: "1" });
  });

  test("the component's ttlInSeconds is for requests that say nothing", async () => {
    await using store = await open({ ttlInSeconds: "100" });
    await set(store, "d1", "1");
    await set(store, "d2", "1", { metadata: { ttlInSeconds: "-1" } });
    await set(store, "d3", "1", { metadata: { ttlInSeconds: "50" } });
    await store.transact?.([{ operation: "upsert", request: setRequest("d4", "1") }], {}, signal);
    const ttls = await Promise.all(["d1", "d2", "d3", "d4"].map((key) => server.command("TTL", key)));
    assert.deepEqual(
      ttls.map((ttl) => Math.round(Number(ttl) / 50) * 50 + 0),
      [100, 0, 50, 100],
    );
  });

  test("keysLike counts characters, takes globs literally and goes on behind the last key", async () => {
    await using store = await open();
    for (const key of ["l|é1", "l|ab1", "l|*?[", "l|b2"]) await set(store, key, "1");
    const like = (pattern: string, pageSize: number | null = null, continuationToken: string | null = null) =>
      store.keysLike?.({ pattern, pageSize, continuationToken }, signal);
    assert.deepEqual((await like("l|_1"))?.keys, ["l|é1"]);
    assert.deepEqual((await like("l|*?[%"))?.keys, ["l|*?["]);
    const first = await like("l|%", 2);
    await set(store, "l|aaa", "written between the pages, before their end");
    assert.deepEqual(
      [first?.keys, (await like("l|%", 2, first?.continuationToken))?.keys],
      [
        ["l|*?[", "l|ab1"],
        ["l|b2", "l|é1"],
      ],
    );
  });

  test("scripts are sent again to a server that forgot them", async () => {
    await using store = await open();
    await set(store, "forgotten", "1");
    await server.command("SCRIPT", "FLUSH");
    await Promise.all([set(store, "forgotten", "2"), store.transact?.([{ operation: "delete", request: deleteRequest("x") }], {}, signal)]);
    assert.deepEqual(await read(store, "forgotten"), { value: "2", etag: "2" });
  });

  test("nothing acknowledged is lost while the server comes and goes", async () => {
    await using own = await RedisTestServer.start({ config: ["appendonly yes", "appendfsync always"] });
    await using store = await open({ redisHost: own.address, redisMaxRetries: "3", redisMaxRetryInterval: "20ms" });
    const acknowledged: string[] = [];
    let stopped = false;
    const writer = async (name: number) => {
      for (let n = 0; !stopped; n++) {
        const key = `w${name}-${n}`;
        await set(store, key, "1").then(
          () => acknowledged.push(key),
          () => new Promise((resolve) => setTimeout(resolve, 5)),
        );
      }
    };
    const writers = Promise.all([1, 2, 3, 4].map(writer));
    for (let outage = 0; outage < 3; outage++) {
      const goal = acknowledged.length + 100;
      while (acknowledged.length < goal) await new Promise((resolve) => setTimeout(resolve, 5));
      await own.stop();
      await own.restart();
    }
    const goal = acknowledged.length + 100;
    while (acknowledged.length < goal) await new Promise((resolve) => setTimeout(resolve, 5));
    stopped = true;
    await writers;
    const items = (await store.bulkGet?.(acknowledged.map(getRequest), signal)) ?? [];
    assert.deepEqual(
      items.filter(({ item }) => item === null),
      [],
    );
    assert.equal(items.length, acknowledged.length);
  });

  test("strong consistency waits for the replicas", async () => {
    await using primary = await RedisTestServer.start({ config: ["repl-diskless-sync-delay 0"] });
    await using replica = await RedisTestServer.start({ config: [`replicaof 127.0.0.1 ${primary.port}`] });
    const synced = async () => /^slave0:.*state=online/m.test(String(await primary.command("INFO", "replication")));
    while (!(await synced())) await new Promise((resolve) => setTimeout(resolve, 20));
    await using store = await open({ redisHost: primary.address });
    await set(store, "strong", "1", { consistency: "strong" });
    assert.equal(await replica.command("HGET", "strong", "data"), "1");
  });

  test("bad metadata is reported whole, with names", () => {
    const bad = {
      redisHost: "redis://u:pw@h:1",
      redisType: "ring",
      useEntraID: "true",
      redisDB: "x",
      dialTimeout: "soon",
      queryIndexes: "[]",
      failover: "true",
    };
    assert.throws(
      () => create(driverContext("state.redis", bad, systemClock)),
      (error: { problems: string[]; message: string }) => {
        for (const name of ["redisHost", "redisType", "useEntraID", "redisDB", "dialTimeout", "queryIndexes", "sentinelMasterName"]) {
          assert.ok(
            error.problems.some((problem) => problem.includes(name)),
            name,
          );
        }
        assert.doesNotMatch(error.message, /pw/);
        return true;
      },
    );
  });
});

test("slots are the cluster's own", () => {
  assert.deepEqual(
    ["123456789", "foo", "{user1000}.following", "foo{}{bar}", "foo{{bar}}zap"].map(slotOf),
    [12739, 12182, 3443, 8363, 4015],
  );
});
