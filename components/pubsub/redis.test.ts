// pubsub.redis on a real redis-server: the conformance suite, the layout that Go sidecars share, redelivery and outages.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { RedisTestServer } from "../shared/redis-test-server.ts";
import { driverContext } from "../shared/test-context.ts";
import type { BrokerMessage, BrokerSubscription, MessageHandler, PubSub } from "./broker.ts";
import { Inbox, pubSubConformance, text, textOf } from "./conformance.ts";
import { create } from "./redis.ts";

const signal = new AbortController().signal;
let server: RedisTestServer;
before(async () => {
  server = await RedisTestServer.start();
});
after(() => server[Symbol.asyncDispose]());

async function open(group: string, metadata: Readonly<Record<string, string>> = {}): Promise<PubSub & AsyncDisposable> {
  const properties = { redisHost: server.address, consumerID: group, processingTimeout: "300", redeliverInterval: "100ms", ...metadata };
  const driver = create(driverContext("pubsub.redis", properties, systemClock));
  await driver.init(signal);
  return Object.assign(driver, { [Symbol.asyncDispose]: () => driver.close() });
}

function subscribe(driver: PubSub, topic: string, handler: MessageHandler): Promise<BrokerSubscription> {
  return driver.subscribe({ topic, metadata: {} }, handler, signal);
}

function publish(driver: PubSub, topic: string, body: string, metadata: Record<string, string> = {}): Promise<void> {
  return driver.publish({ topic, data: text(body), contentType: "", metadata }, signal);
}

async function pendingOf(topic: string, group: string, at = server): Promise<number> {
  return Number(((await at.command("XPENDING", topic, group)) as [number])[0]);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

pubSubConformance("pubsub.redis", { open, redelivers: true, durable: true, competes: true, wildcards: false, drainsBy: "giving back" });

describe("pubsub.redis", { timeout: 120_000 }, () => {
  it("writes entries that a Go sidecar reads, and reads any that have data", async () => {
    await using driver = await open("layout");
    await publish(driver, "layout", "body", { k: "v" });
    const [[, fields]] = (await server.command("XRANGE", "layout", "-", "+")) as [[string, string[]]];
    assert.deepEqual(fields, ["data", "body", "metadata", '{"k":"v"}']);
    await server.command("XADD", "layout", "*", "data", "bare");
    await server.command("XADD", "layout", "*", "metadata", "no json", "data", "odd");
    await server.command("XADD", "layout", "*", "metadata", '{"a":1,"b":"2"}', "other", "x");
    const seen: [string, Record<string, string>][] = [];
    await subscribe(driver, "layout", async (message: BrokerMessage) => void seen.push([textOf(message), { ...message.metadata }]));
    await until(() => seen.length === 4);
    assert.deepEqual(seen, [
      ["body", { k: "v" }],
      ["bare", {}],
      ["odd", {}],
      ["", { b: "2" }],
    ]);
    await until(async () => (await pendingOf("layout", "layout")) === 0);
  });

  it("takes over what a consumer that is gone left pending, once idle long enough", async () => {
    await server.command("XGROUP", "CREATE", "orphans", "g", "0", "MKSTREAM");
    for (let n = 0; n < 250; n++) await server.command("XADD", "orphans", "*", "data", String(n));
    await server.command("XREADGROUP", "GROUP", "g", "g", "COUNT", "250", "STREAMS", "orphans", ">");
    const read = performance.now();
    await using driver = await open("g", { queueDepth: "20" });
    const inbox = new Inbox();
    await subscribe(driver, "orphans", async (message) => inbox.put(message));
    const first = await inbox.next();
    assert.ok(performance.now() - read >= 295, "not before processingTimeout");
    const seen = new Set([textOf(first), ...(await inbox.texts(249))]);
    assert.equal(seen.size, 250);
    await until(async () => (await pendingOf("orphans", "g")) === 0);
  });

  it("delivers a refused message again after processingTimeout, and keeps it pending until then", async () => {
    await using driver = await open("refused");
    const times: number[] = [];
    await subscribe(driver, "refused", async () => {
      times.push(performance.now());
      if (times.length < 3) throw new Error("not now");
    });
    await publish(driver, "refused", "x");
    await until(() => times.length === 1);
    assert.equal(await pendingOf("refused", "refused"), 1);
    await until(async () => times.length === 3 && (await pendingOf("refused", "refused")) === 0);
    const pauses = times.slice(1).map((time, index) => time - (times[index] as number));
    assert.ok(Math.min(...pauses) >= 200, String(pauses));
  });

  it("never delivers again when redelivery is off", async () => {
    await using driver = await open("off", { redeliverInterval: "0" });
    let deliveries = 0;
    const subscription = await subscribe(driver, "off", async () => {
      deliveries++;
      throw new Error("no");
    });
    await publish(driver, "off", "x");
    await publish(driver, "off", "y");
    await until(() => deliveries === 2);
    await subscription.stop();
    assert.deepEqual([deliveries, await pendingOf("off", "off")], [2, 2]);
  });

  it("keeps to itself what waits for a busy handler, longer than processingTimeout", async () => {
    await using busy = await open("busy", { concurrency: "1", processingTimeout: "150" });
    await using idle = await open("busy", { processingTimeout: "150", redeliverInterval: "20ms" });
    const [first, second] = [new Inbox(), new Inbox()];
    let starts = 0;
    await subscribe(busy, "busy", async (message) => {
      first.put(message);
      // The first ends in time; the rest has long waited by then.
      if (++starts % 2 === 1) await new Promise((resolve) => setTimeout(resolve, 100));
    });
    for (let n = 0; n < 10; n++) await publish(busy, "busy", String(n));
    await first.next();
    await subscribe(idle, "busy", async (message) => second.put(message));
    await first.texts(9);
    assert.deepEqual([second.seen, new Set(first.seen).size], [[], 10]);
  });

  it("tells a handler that takes too long to end, and lets another take the message over", async () => {
    await using slow = await open("late");
    await using quick = await open("late", { redeliverInterval: "20ms" });
    const aborted = Promise.withResolvers<unknown>();
    const stuck = await subscribe(slow, "late", async (_message, abort) => {
      await new Promise((_, reject) => abort.addEventListener("abort", () => reject(abort.reason)));
    }).then((subscription) => ({ subscription }));
    await publish(slow, "late", "x");
    const inbox = new Inbox();
    await until(async () => (await pendingOf("late", "late")) === 1);
    await subscribe(quick, "late", async (message, abort) => {
      inbox.put(message);
      aborted.resolve(abort.aborted);
    });
    assert.equal(textOf(await inbox.next()), "x");
    assert.equal(await aborted.promise, false);
    await until(async () => (await pendingOf("late", "late")) === 0);
    await stuck.subscription.stop();
  });

  it("forgets pending entries that were trimmed away", async () => {
    await using driver = await open("trimmed", { maxLenApprox: "1" });
    await server.command("XGROUP", "CREATE", "trimmed", "trimmed", "0", "MKSTREAM");
    for (let n = 0; n < 5; n++) await server.command("XADD", "trimmed", "*", "data", String(n));
    await server.command("XREADGROUP", "GROUP", "trimmed", "trimmed", "STREAMS", "trimmed", ">");
    await server.command("XTRIM", "trimmed", "MAXLEN", "1");
    const inbox = new Inbox();
    await subscribe(driver, "trimmed", async (message) => inbox.put(message));
    assert.equal(textOf(await inbox.next()), "4");
    await until(async () => (await pendingOf("trimmed", "trimmed")) === 0);
  });

  it("trims streams by length and by age", async () => {
    await using byLength = await open("trim", { maxLenApprox: "100" });
    await using byAge = await open("trim", { streamTTL: "1ms" });
    for (let n = 0; n < 1000; n++) await publish(byLength, "trim-length", String(n));
    assert.ok(Number(await server.command("XLEN", "trim-length")) < 300);
    for (let n = 0; n < 1000; n++) await publish(byAge, "trim-age", String(n));
    assert.ok(Number(await server.command("XLEN", "trim-age")) < 300);
  });

  it("handles as many messages at once as concurrency says, over all subscriptions, none starving", async () => {
    await using driver = await open("lanes", { concurrency: "3" });
    let [now, most] = [0, 0];
    const inbox = new Inbox();
    const handler = async (message: BrokerMessage) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 2));
      now--;
      inbox.put(message);
    };
    for (let n = 0; n < 80; n++) await publish(driver, "lanes-a", `a${n}`);
    await publish(driver, "lanes-b", "b");
    await subscribe(driver, "lanes-b", handler);
    await subscribe(driver, "lanes-a", handler);
    const seen = await inbox.texts(81);
    assert.equal(most, 3);
    assert.ok(seen.indexOf("b") < 40, `b came ${seen.indexOf("b")}th`);
  });

  it("hands a gathering handler as many as it gathers", async () => {
    await using driver = await open("gather");
    const all = Promise.withResolvers<void>();
    let gathered = 0;
    const handler = async () => {
      if (++gathered === 40) all.resolve();
      await all.promise;
    };
    await driver.subscribe({ topic: "gather", metadata: {}, gathers: 40 }, handler, signal);
    for (let n = 0; n < 40; n++) await publish(driver, "gather", String(n));
    await all.promise;
    await until(async () => (await pendingOf("gather", "gather")) === 0);
  });

  it("loses nothing acknowledged while the server comes and goes, and delivers all of it", async () => {
    await using own = await RedisTestServer.start({ config: ["appendonly yes", "appendfsync always"] });
    await using driver = await open("outage", { redisHost: own.address });
    const seen = new Set<string>();
    await subscribe(driver, "outage", async (message) => void seen.add(textOf(message)));
    const published: string[] = [];
    let stopped = false;
    const publisher = (async () => {
      for (let n = 0; !stopped; n++) {
        await publish(driver, "outage", String(n)).then(
          () => published.push(String(n)),
          () => new Promise((resolve) => setTimeout(resolve, 5)),
        );
      }
    })();
    for (let outage = 0; outage < 3; outage++) {
      const goal = published.length + 50;
      await until(() => published.length >= goal);
      await own.stop();
      await own.restart();
    }
    const goal = published.length + 50;
    await until(() => published.length >= goal);
    stopped = true;
    await publisher;
    await until(() => published.every((body) => seen.has(body)));
    await until(async () => (await pendingOf("outage", "outage", own)) === 0);
  });

  it("makes its group again when the server has lost it", async () => {
    await using driver = await open("lost");
    const inbox = new Inbox();
    await subscribe(driver, "lost", async (message) => inbox.put(message));
    await publish(driver, "lost", "1");
    await inbox.next();
    await server.command("DEL", "lost");
    await publish(driver, "lost", "2");
    assert.equal(textOf(await inbox.next()), "2");
  });

  it("ends handlers and gives everything back when it is closed without stopping", async () => {
    const driver = await open("closed", { processingTimeout: "60s", queueDepth: "50" });
    let reason: unknown = null;
    await subscribe(driver, "closed", async (_message, abort) => {
      await new Promise((_, reject) =>
        abort.addEventListener("abort", () => {
          reason = abort.reason;
          reject(abort.reason);
        }),
      );
    });
    for (let n = 0; n < 30; n++) await publish(driver, "closed", String(n));
    await until(async () => (await pendingOf("closed", "closed")) === 30);
    await driver.close();
    assert.match(String(reason), /component is closed/);
    await using next = await open("closed", { processingTimeout: "60s" });
    const inbox = new Inbox();
    await subscribe(next, "closed", async (message) => inbox.put(message));
    assert.equal(new Set(await inbox.texts(30)).size, 30);
    await assert.rejects(publish(driver, "closed", "x"), /component is closed/);
  });

  it("reports every wrong property at once", () => {
    const bad = { redisHost: "", queueDepth: "0", concurrency: "many", processingTimeout: "soon", maxLenApprox: "-1", streamTTL: "x" };
    assert.throws(
      () => create(driverContext("pubsub.redis", bad, systemClock)),
      (error: { problems: string[] }) => {
        for (const name of Object.keys(bad))
          assert.ok(
            error.problems.some((problem) => problem.includes(name)),
            name,
          );
        return true;
      },
    );
  });
});
