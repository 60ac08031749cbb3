// lock.redis on a real redis-server.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { RedisServerClock, RedisTestServer } from "../shared/redis-test-server.ts";
import { startSentinel } from "../shared/redis-test-topologies.ts";
import { driverContext } from "../shared/test-context.ts";
import { lockConformance } from "./conformance.ts";
import { create } from "./redis.ts";
import type { LockStore } from "./store.ts";

const signal = new AbortController().signal;
let server: RedisTestServer;
before(async () => {
  server = await RedisTestServer.start();
});
after(() => server[Symbol.asyncDispose]());

async function open(metadata: Readonly<Record<string, string>> = {}, clock = systemClock): Promise<LockStore & AsyncDisposable> {
  const properties = { redisHost: server.address, redisMinRetryInterval: "10ms", redisMaxRetryInterval: "50ms", ...metadata };
  const store = create(driverContext("lock.redis", properties, clock));
  await store.init(signal);
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() });
}

lockConformance("lock.redis", async () => {
  const clock = new RedisServerClock(server);
  return { store: await open({}, clock), clock };
});

describe("lock.redis", { timeout: 60_000 }, () => {
  test("shares its locks with a Go sidecar", async () => {
    await using store = await open();
    await store.tryLock({ resourceId: "lock||app||r", owner: "me", expirySeconds: 100 }, signal);
    assert.equal(await server.command("GET", "lock||app||r"), "me");
    assert.ok(Number(await server.command("TTL", "lock||app||r")) > 90);
    await server.command("SET", "lock||app||go", "it", "EX", "100", "NX");
    assert.equal(await store.tryLock({ resourceId: "lock||app||go", owner: "me", expirySeconds: 1 }, signal), false);
    assert.equal(await store.unlock({ resourceId: "lock||app||go", owner: "me" }, signal), "lock-belongs-to-others");
  });

  test("rejects while the server is away, and goes on when it is back", async () => {
    await using own = await RedisTestServer.start({ config: ["appendonly yes", "appendfsync always"] });
    await using store = await open({ redisHost: own.address });
    const request = { resourceId: "r", owner: "me", expirySeconds: 100 };
    assert.equal(await store.tryLock(request, signal), true);
    await own.stop();
    await assert.rejects(store.tryLock({ ...request, resourceId: "other" }, signal), /redis cannot be reached/);
    await own.restart();
    for (let back = false; !back; ) {
      back =
        (await store.ping?.(signal).then(
          () => true,
          () => false,
        )) ?? true;
    }
    assert.equal(await store.tryLock({ ...request, owner: "other" }, signal), false);
    assert.equal(await store.unlock(request, signal), "success");
  });

  test("refuses clusters, and replicas that nobody watches", async () => {
    await assert.rejects(open({ redisType: "cluster" }), /does not support connecting to Redis Cluster/);
    await using sentinel = await startSentinel();
    await assert.rejects(open({ redisHost: sentinel.master.address }), /replication is not supported/);
    await using store = await open({ redisHost: sentinel.address, failover: "true", sentinelMasterName: sentinel.masterName });
    assert.equal(await store.tryLock({ resourceId: "r", owner: "me", expirySeconds: 10 }, signal), true);
  });
});
