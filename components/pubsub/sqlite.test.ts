import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, it } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import { Properties } from "../metadata.ts";
import type { PubSub } from "./broker.ts";
import { Inbox, pubSubConformance, text, textOf } from "./conformance.ts";
import { create } from "./sqlite.ts";

const signal = new AbortController().signal;
const folder = mkdtempSync(join(tmpdir(), "pubsub-sqlite-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

function newFile(): string {
  return join(folder, `${files++}.db`);
}

async function open(file: string, group: string, metadata: Record<string, string> = {}): Promise<PubSub> {
  const properties = new Properties(Object.entries({ connectionString: file, consumerID: group, redeliverDelay: "50ms", ...metadata }));
  const instanceId = crypto.randomUUID();
  const driver = create({
    name: "pub",
    type: "pubsub.sqlite",
    version: "v1",
    properties,
    appId: "app",
    namespace: "",
    instanceId,
    log: silentLogger,
    clock: systemClock,
  });
  await driver.init(signal);
  return driver;
}

function publish(driver: PubSub, topic: string, body: string, metadata: Record<string, string> = {}): Promise<void> {
  return driver.publish({ topic, data: text(body), contentType: "", metadata }, signal);
}

function rows(file: string, table: string): number {
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    return Number((db.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number }).n);
  } finally {
    db.close();
  }
}

const shared = newFile();
pubSubConformance("pubsub.sqlite", {
  open: (group) => open(shared, group),
  redelivers: true,
  durable: true,
  competes: true,
  wildcards: false,
  drainsBy: "giving back",
});
pubSubConformance("pubsub.sqlite in memory", {
  open: (group) => open(":memory:", group),
  redelivers: true,
  durable: false,
  competes: false,
  wildcards: false,
  drainsBy: "giving back",
});

describe("pubsub.sqlite", { timeout: 60_000 }, () => {
  it("reports every wrong property at once", async () => {
    const metadata = { concurrencyMode: "some", concurrency: "0", leaseDuration: "-1s", connectionString: "" };
    await assert.rejects(open("", "g", metadata), (error: Error) => {
      for (const name of ["concurrencyMode", "concurrency", "leaseDuration", "connection string"])
        assert.match(error.message, new RegExp(name));
      return true;
    });
  });

  it("keeps nothing once every group has acknowledged", async () => {
    const file = newFile();
    const [one, two] = [await open(file, "one"), await open(file, "two")];
    const [a, b] = [new Inbox(), new Inbox()];
    const subscriptions = [
      await one.subscribe({ topic: "t", metadata: {} }, async (m) => a.put(m), signal),
      await two.subscribe({ topic: "t", metadata: {} }, async (m) => b.put(m), signal),
    ];
    for (let n = 0; n < 10; n++) await publish(one, "t", String(n));
    await Promise.all([a.texts(10), b.texts(10)]);
    await Promise.all(subscriptions.map((subscription) => subscription.stop()));
    assert.deepEqual([rows(file, "pubsub_messages"), rows(file, "pubsub_deliveries")], [0, 0]);
    await Promise.all([one.close(), two.close()]);
  });

  it("keeps nothing for topics without a group", async () => {
    const file = newFile();
    const driver = await open(file, "g");
    await publish(driver, "nobody", "x");
    assert.equal(rows(file, "pubsub_messages"), 0);
    await driver.close();
  });

  it("leaves a message with its consumer for as long as the handler runs", async () => {
    const file = newFile();
    const [slow, quick] = [await open(file, "g", { leaseDuration: "300ms" }), await open(file, "g", { leaseDuration: "300ms" })];
    const [slowInbox, quickInbox] = [new Inbox(), new Inbox()];
    const gate = Promise.withResolvers<void>();
    const subscription = await slow.subscribe({ topic: "t", metadata: {} }, (m) => slowInbox.putAnd(m, gate.promise), signal);
    await publish(slow, "t", "kept");
    await slowInbox.next();
    await quick.subscribe({ topic: "t", metadata: {} }, async (m) => quickInbox.put(m), signal);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    gate.resolve();
    await subscription.stop();
    assert.deepEqual([slowInbox.pending, quickInbox.pending, rows(file, "pubsub_messages")], [0, 0, 0]);
    await Promise.all([slow.close(), quick.close()]);
  });

  it("hands a dead consumer's message to another when the lease has run out", async () => {
    const file = newFile();
    const driver = await open(file, "g");
    await (await driver.subscribe({ topic: "t", metadata: {} }, async () => {}, signal)).stop();
    await publish(driver, "t", "orphan");
    const db = new DatabaseSync(file);
    const leasedUntil = Date.now() + 300;
    db.exec(`UPDATE pubsub_deliveries SET lease = 'dead', attempts = 1, due_at = ${leasedUntil}`);
    db.close();
    const inbox = new Inbox();
    await driver.subscribe({ topic: "t", metadata: {} }, async (m) => inbox.put(m), signal);
    assert.equal(textOf(await inbox.next()), "orphan");
    assert.ok(Date.now() >= leasedUntil);
    await driver.close();
  });

  it("redelivers with growing pauses", async () => {
    const driver = await open(newFile(), "g", { redeliverDelay: "40ms" });
    const times: number[] = [];
    const done = Promise.withResolvers<void>();
    await driver.subscribe(
      { topic: "t", metadata: {} },
      async () => {
        times.push(performance.now());
        if (times.length < 4) throw new Error("again");
        done.resolve();
      },
      signal,
    );
    await publish(driver, "t", "x");
    await done.promise;
    const pauses = times.slice(1).map((time, index) => time - (times[index] as number));
    assert.ok((pauses[0] as number) >= 39 && (pauses[1] as number) >= 79 && (pauses[2] as number) >= 159, String(pauses));
    await driver.close();
  });

  it("drops what has outlived its time to live", async () => {
    const file = newFile();
    {
      const driver = await open(file, "g");
      const subscription = await driver.subscribe({ topic: "t", metadata: {} }, async () => {}, signal);
      await subscription.stop();
      await publish(driver, "t", "short", { ttl: "1ms" });
      await publish(driver, "t", "long", { ttlInSeconds: "60" });
      await driver.close();
    }
    const driver = await open(file, "g");
    const inbox = new Inbox();
    const subscription = await driver.subscribe({ topic: "t", metadata: {} }, async (m) => inbox.put(m), signal);
    assert.deepEqual(await inbox.texts(1), ["long"]);
    await subscription.stop();
    assert.equal(rows(file, "pubsub_messages"), 0);
    await driver.close();
  });

  it("cleans up expired messages and groups that never came back", async () => {
    const file = newFile();
    const gone = await open(file, "gone");
    await (await gone.subscribe({ topic: "t", metadata: {} }, async () => {}, signal)).stop();
    await publish(gone, "t", "x");
    await gone.close();
    const db = new DatabaseSync(file);
    db.exec("UPDATE pubsub_groups SET seen_at = 1; UPDATE pubsub_messages SET expires_at = 1");
    db.close();
    const driver = await open(file, "here", { cleanupInterval: "20ms" });
    for (let tries = 0; tries < 200 && rows(file, "pubsub_groups") > 0; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(
      ["pubsub_groups", "pubsub_messages", "pubsub_deliveries"].map((table) => rows(file, table)),
      [0, 0, 0],
    );
    await driver.close();
  });

  it("handles one message at a time in single mode, and ten in parallel", async () => {
    for (const [metadata, expected] of [
      [{ concurrencyMode: "single" }, 1],
      [{}, 10],
      [{ concurrency: "3" }, 3],
    ] as const) {
      const driver = await open(newFile(), "g", metadata);
      let [now, most] = [0, 0];
      const inbox = new Inbox();
      await driver.subscribe(
        { topic: "t", metadata: {} },
        async (message) => {
          most = Math.max(most, ++now);
          await new Promise((resolve) => setTimeout(resolve, 5));
          now--;
          inbox.put(message);
        },
        signal,
      );
      await Promise.all(Array.from({ length: 40 }, (_, n) => publish(driver, "t", String(n))));
      await inbox.texts(40);
      assert.equal(most, expected);
      await driver.close();
    }
  });

  it("never blocks the main thread while another connection holds the write lock", async () => {
    const file = newFile();
    const driver = await open(file, "g");
    const inbox = new Inbox();
    await driver.subscribe({ topic: "t", metadata: {} }, async (m) => inbox.put(m), signal);
    const db = new DatabaseSync(file);
    db.exec("BEGIN IMMEDIATE");
    const published = publish(driver, "t", "late");
    let longest = 0;
    let last = performance.now();
    const until = last + 500;
    while (last < until) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
    db.exec("COMMIT");
    db.close();
    await published;
    assert.equal(textOf(await inbox.next()), "late");
    assert.ok(longest < 250, `the loop stood still for ${longest} ms`);
    await driver.close();
  });
});
