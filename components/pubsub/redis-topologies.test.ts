// pubsub.redis on a cluster, and behind a sentinel whose master dies.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { startCluster, startSentinel } from "../shared/redis-test-topologies.ts";
import { driverContext } from "../shared/test-context.ts";
import type { PubSub } from "./broker.ts";
import { Inbox, text, textOf } from "./conformance.ts";
import { create } from "./redis.ts";

const signal = new AbortController().signal;

async function open(metadata: Readonly<Record<string, string>>): Promise<PubSub & AsyncDisposable> {
  const short = { processingTimeout: "300ms", redeliverInterval: "100ms", redisMaxRetryInterval: "200ms" };
  const driver = create(driverContext("pubsub.redis", { ...short, ...metadata }, systemClock));
  await driver.init(signal);
  return Object.assign(driver, { [Symbol.asyncDispose]: () => driver.close() });
}

function publish(driver: PubSub, topic: string, body: string): Promise<void> {
  return driver.publish({ topic, data: text(body), contentType: "", metadata: {} }, signal);
}

describe("pubsub.redis on several servers", { timeout: 120_000 }, () => {
  it("serves streams of every slot of a cluster, with redelivery", async () => {
    await using cluster = await startCluster();
    await using driver = await open({ redisHost: cluster.addresses, redisType: "cluster" });
    const inbox = new Inbox();
    const refused = new Set<string>();
    const topics = ["a", "b", "c", "d", "e", "f"];
    for (const topic of topics) {
      await driver.subscribe(
        { topic, metadata: {} },
        async (message) => {
          inbox.put(message);
          if (textOf(message) !== "a0" || refused.has("a0")) return;
          refused.add("a0");
          throw new Error("again");
        },
        signal,
      );
    }
    for (let n = 0; n < 10; n++) for (const topic of topics) await publish(driver, topic, `${topic}${n}`);
    const seen = await inbox.texts(61);
    assert.equal(new Set(seen).size, 60);
    assert.equal(seen.filter((body) => body === "a0").length, 2);
  });

  it("goes on with the new master when the old one dies", async () => {
    await using sentinel = await startSentinel();
    await using driver = await open({ redisHost: sentinel.address, failover: "true", sentinelMasterName: sentinel.masterName });
    const inbox = new Inbox();
    await driver.subscribe({ topic: "t", metadata: {} }, async (message) => inbox.put(message), signal);
    await publish(driver, "t", "before");
    await inbox.next();
    await sentinel.master.stop();
    let published = false;
    while (!published) {
      published = await publish(driver, "t", "after").then(
        () => true,
        () => false,
      );
    }
    let body = textOf(await inbox.next());
    // What the old master did not tell the replica in time, such as an acknowledgement, is gone with it.
    while (body === "before") body = textOf(await inbox.next());
    assert.equal(body, "after");
  });
});
