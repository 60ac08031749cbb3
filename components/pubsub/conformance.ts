// What every pub/sub driver must do, run against the driver's real broker. A driver that cannot do one of the optional things says so.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { BrokerMessage, BrokerSubscription, PubSub } from "./broker.ts";

export interface PubSubConformance {
  /** A fresh, initialised driver on the same broker; `group` is its consumer group. It is closed by the suite. */
  readonly open: (group: string) => Promise<PubSub>;
  /** Refused messages come again. */
  readonly redelivers: boolean;
  /** Groups keep what is published while they are away. */
  readonly durable: boolean;
  /** Members of one group share its messages. */
  readonly competes: boolean;
  readonly wildcards: boolean;
  /**
   * What becomes of messages that a subscription has but its handler has not, when it stops: the broker has them again, or, where
   * nobody could keep them, they are handed over before `stop()` resolves, one after the other.
   */
  readonly drainsBy: "giving back" | "handing over";
}

const signal = new AbortController().signal;

export function pubSubConformance(name: string, subject: PubSubConformance): void {
  describe(`${name} conforms to pub/sub`, { timeout: 60_000 }, () => {
    deliveryCases(subject);
    failureCases(subject);
    groupCases(subject);
    durabilityCases(subject);
    drainCases(subject);
    bulkCases(subject);
  });
}

function deliveryCases(subject: PubSubConformance): void {
  it("delivers bytes and metadata as published", async () => {
    await using driver = await opened(subject, "bytes");
    const inbox = new Inbox();
    await driver.subscribe("bytes", inbox);
    const data = new Uint8Array([0, 255, 10, 13]);
    await driver.publish("bytes", data, { ключ: "значение", __proto__x: "1" });
    const message = await inbox.next();
    assert.deepEqual(Buffer.from(message.data), Buffer.from(data));
    assert.equal(message.topic, "bytes");
    assert.equal(message.metadata["ключ"], "значение");
  });

  it("keeps the order of publication", async () => {
    await using driver = await opened(subject, "order");
    const inbox = new Inbox();
    await driver.subscribe("order", inbox);
    for (let n = 0; n < 100; n++) await driver.publish("order", text(String(n)));
    assert.deepEqual(
      await inbox.texts(100),
      Array.from({ length: 100 }, (_, n) => String(n)),
    );
  });

  it("gives nothing to other topics", async () => {
    await using driver = await opened(subject, "topics");
    const [a, b] = [new Inbox(), new Inbox()];
    await driver.subscribe("topics-a", a);
    await driver.subscribe("topics-b", b);
    await driver.publish("topics-a", text("a"));
    await driver.publish("topics-b", text("b"));
    assert.deepEqual(await a.texts(1), ["a"]);
    assert.deepEqual(await b.texts(1), ["b"]);
    assert.deepEqual([a.pending, b.pending], [0, 0]);
  });
}

function failureCases(subject: PubSubConformance): void {
  it("takes a publish that nobody listens to", async () => {
    await using driver = await opened(subject, "nobody");
    await driver.publish("nobody", text("x"));
  });

  it("survives a handler that fails, and goes on", async () => {
    await using driver = await opened(subject, "fails");
    const inbox = new Inbox();
    const failed = new Set<string>();
    await driver.subscribe("fails", inbox, async (message) => {
      const body = textOf(message);
      if (!body.startsWith("bad") || failed.has(body)) return;
      failed.add(body);
      throw new Error("refused on purpose");
    });
    await driver.publish("fails", text("bad"));
    await driver.publish("fails", text("good"));
    const expected = subject.redelivers ? ["bad", "good", "bad"] : ["bad", "good"];
    assert.deepEqual((await inbox.texts(expected.length)).sort(), [...expected].sort());
  });

  it("stop() waits for what is in flight, and delivers nothing afterwards", async () => {
    await using driver = await opened(subject, "stop");
    const inbox = new Inbox();
    const gate = Promise.withResolvers<void>();
    const subscription = await driver.subscribe("stop", inbox, () => gate.promise);
    await driver.publish("stop", text("1"));
    await inbox.next();
    let stopped = false;
    const stopping = subscription.stop().then(() => {
      stopped = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(stopped, false);
    gate.resolve();
    await stopping;
    await driver.publish("stop", text("2"));
    assert.equal(inbox.pending, 0);
  });
}

function groupCases(subject: PubSubConformance): void {
  it("every group gets every message", { skip: !subject.competes }, async () => {
    await using one = await opened(subject, "groups-1");
    await using two = await opened(subject, "groups-2");
    const [a, b] = [new Inbox(), new Inbox()];
    await one.subscribe("groups", a);
    await two.subscribe("groups", b);
    for (let n = 0; n < 20; n++) await one.publish("groups", text(String(n)));
    assert.equal((await a.texts(20)).length, 20);
    assert.equal((await b.texts(20)).length, 20);
  });

  it("members of a group share its messages", { skip: !subject.competes }, async () => {
    await using one = await opened(subject, "members");
    await using two = await opened(subject, "members");
    const both = new Inbox();
    await one.subscribe("members", both);
    await two.subscribe("members", both);
    for (let n = 0; n < 200; n++) await one.publish("members", text(String(n)));
    const seen = await both.texts(200);
    assert.equal(new Set(seen).size, 200);
    assert.equal(both.pending, 0);
  });
}

function durabilityCases(subject: PubSubConformance): void {
  it("a group that was away finds its messages", { skip: !subject.durable }, async () => {
    await using publisher = await opened(subject, "publisher");
    {
      await using away = await opened(subject, "away");
      await away.subscribe("away", new Inbox());
    }
    for (let n = 0; n < 5; n++) await publisher.publish("away", text(String(n)));
    await using back = await opened(subject, "away");
    const inbox = new Inbox();
    await back.subscribe("away", inbox);
    assert.deepEqual(await inbox.texts(5), ["0", "1", "2", "3", "4"]);
  });

  it("what was fetched but not handled when a subscription stops is there for the next", { skip: !subject.durable }, async () => {
    await using driver = await opened(subject, "unharmed");
    const gate = Promise.withResolvers<void>();
    const first = new Inbox();
    const subscription = await driver.subscribe("unharmed", first, () => gate.promise);
    for (let n = 0; n < 200; n++) await driver.publish("unharmed", text(String(n)));
    await first.next();
    const stopping = subscription.stop();
    gate.resolve();
    await stopping;
    const handled = 1 + first.pending;
    const second = new Inbox();
    await driver.subscribe("unharmed", second);
    const rest = await second.texts(200 - handled);
    assert.equal(new Set([...rest, ...first.seen]).size, 200);
  });

  it("wildcard subscriptions match prefixes", { skip: !subject.wildcards }, async () => {
    await using driver = await opened(subject, "wild");
    const inbox = new Inbox();
    await driver.subscribe("wild*", inbox);
    await driver.publish("wild", text("not me"));
    await driver.publish("wilder", text("me"));
    assert.deepEqual(await inbox.texts(1), ["me"]);
  });
}

/** The order of a drain: fetching ends, what is in flight finishes, its outcome is stored, `stop()` resolves. */
function drainCases(subject: PubSubConformance): void {
  it("stop() resolves when what was handled is acknowledged: nobody gets it again", { skip: !subject.durable }, async () => {
    await using driver = await opened(subject, "acknowledged");
    const gate = Promise.withResolvers<void>();
    const inbox = new Inbox();
    const subscription = await driver.subscribe("acknowledged", inbox, () => gate.promise);
    await driver.publish("acknowledged", text("handled"));
    await inbox.next();
    const stopping = subscription.stop();
    gate.resolve();
    await stopping;
    await using next = await opened(subject, "acknowledged");
    const second = new Inbox();
    await next.subscribe("acknowledged", second);
    await next.publish("acknowledged", text("new"));
    assert.deepEqual(await second.texts(1), ["new"]);
  });

  it("what is refused while the subscription stops is there for the next at once", { skip: !subject.durable }, async () => {
    await using driver = await opened(subject, "refused");
    const gate = Promise.withResolvers<void>();
    const inbox = new Inbox();
    const subscription = await driver.subscribe("refused", inbox, () => gate.promise);
    await driver.publish("refused", text("refused"));
    await inbox.next();
    const stopping = subscription.stop();
    gate.reject(new Error("refused on purpose"));
    await stopping;
    const second = new Inbox();
    await driver.subscribe("refused", second);
    assert.deepEqual(await second.texts(1), ["refused"]);
  });

  it("what it cannot give back is handed over in order before stop() resolves", { skip: subject.drainsBy !== "handing over" }, async () => {
    await using driver = await opened(subject, "handed");
    const gate = Promise.withResolvers<void>();
    const inbox = new Inbox();
    const subscription = await driver.subscribe("handed", inbox, () => gate.promise);
    for (const one of ["1", "2", "3"]) await driver.publish("handed", text(one));
    await inbox.next();
    const stopping = subscription.stop();
    await driver.publish("handed", text("too late"));
    gate.resolve();
    await stopping;
    assert.deepEqual(inbox.seen, ["1", "2", "3"]);
  });
}

function bulkCases(subject: PubSubConformance): void {
  it("takes several messages at once, in order, each with its metadata", async () => {
    const driver = await subject.open("bulk");
    const inbox = new Inbox();
    const handler = async (message: BrokerMessage) => inbox.put(message);
    const subscription = await driver.subscribe({ topic: "bulk", metadata: {} }, handler, signal);
    const entries = ["1", "2", "3"].map((id) => ({ entryId: id, data: text(id), contentType: "", metadata: { n: id } }));
    // Without the capability the block publishes one by one, which the other cases show.
    assert.deepEqual((await driver.bulkPublish?.({ topic: "bulk", entries, metadata: {} }, signal)) ?? [], []);
    if (driver.bulkPublish === undefined) for (const entry of entries) await driver.publish({ ...entry, topic: "bulk" }, signal);
    const messages = [await inbox.next(), await inbox.next(), await inbox.next()];
    assert.deepEqual(
      messages.map((message) => [textOf(message), message.metadata["n"]]),
      [
        ["1", "1"],
        ["2", "2"],
        ["3", "3"],
      ],
    );
    await subscription.stop();
    await driver.close();
  });

  it("hands a gathering handler as many as it gathers", { skip: subject.drainsBy !== "giving back" }, async () => {
    const driver = await subject.open("gather");
    const gathered = Promise.withResolvers<void>();
    let handed = 0;
    const handler = () => {
      if (++handed === 50) gathered.resolve();
      return gathered.promise;
    };
    const subscription = await driver.subscribe({ topic: "gather", metadata: {}, gathers: 50 }, handler, signal);
    for (let n = 0; n < 50; n++) await driver.publish({ topic: "gather", data: text("x"), contentType: "", metadata: {} }, signal);
    await gathered.promise;
    await subscription.stop();
    await driver.close();
  });
}

interface Opened extends AsyncDisposable {
  publish(topic: string, data: Uint8Array, metadata?: Record<string, string>): Promise<void>;
  subscribe(topic: string, inbox: Inbox, handle?: (message: BrokerMessage) => Promise<void>): Promise<BrokerSubscription>;
}

async function opened(subject: PubSubConformance, group: string): Promise<Opened> {
  const driver = await subject.open(group);
  const subscriptions: BrokerSubscription[] = [];
  return {
    publish: (topic, data, metadata = {}) => driver.publish({ topic, data, contentType: "", metadata }, signal),
    async subscribe(topic, inbox, handle = async () => {}) {
      const handler = (message: BrokerMessage) => {
        inbox.put(message);
        return handle(message);
      };
      const subscription = await driver.subscribe({ topic, metadata: {} }, handler, signal);
      subscriptions.push(subscription);
      return subscription;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
      await driver.close();
    },
  };
}

/** Messages as they reach a handler. */
export class Inbox {
  readonly seen: string[] = [];
  readonly #messages: BrokerMessage[] = [];
  readonly #waiting: ((message: BrokerMessage) => void)[] = [];

  get pending(): number {
    return this.#messages.length;
  }

  put(message: BrokerMessage): void {
    this.seen.push(textOf(message));
    const next = this.#waiting.shift();
    if (next) next(message);
    else this.#messages.push(message);
  }

  putAnd(message: BrokerMessage, until: Promise<void>): Promise<void> {
    this.put(message);
    return until;
  }

  next(): Promise<BrokerMessage> {
    const message = this.#messages.shift();
    return message ? Promise.resolve(message) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  async texts(count: number): Promise<string[]> {
    const texts: string[] = [];
    while (texts.length < count) texts.push(textOf(await this.next()));
    return texts;
  }
}

export function text(value: string): Uint8Array {
  return Buffer.from(value);
}

export function textOf(message: BrokerMessage): string {
  return Buffer.from(message.data).toString();
}
