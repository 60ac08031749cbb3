// What every configuration driver must do, run by its test against its real store. The suite's keys are unique per run.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { ConfigurationItem, ConfigurationItems, ConfigurationStore } from "./store.ts";

export interface Subject {
  readonly store: ConfigurationStore;
  /** Writes a value as the store's users do. */
  readonly put: (key: string, value: string, version: string) => Promise<void>;
  readonly remove: (key: string) => Promise<void>;
  /** Keys that the store can hold, besides plain ones. */
  readonly oddKeys: readonly string[];
}

const signal = new AbortController().signal;

/** What a handler was told, latest value by key. */
class Told {
  readonly items = new Map<string, ConfigurationItem>();
  readonly history: string[] = [];
  #waiting: (() => void)[] = [];

  readonly handler = async (items: ConfigurationItems): Promise<void> => {
    for (const [key, item] of items) {
      this.items.set(key, item);
      this.history.push(`${key}=${item.value}`);
    }
    for (const wake of this.#waiting.splice(0)) wake();
  };

  async until(key: string, value: string): Promise<ConfigurationItem> {
    for (;;) {
      const item = this.items.get(key);
      if (item?.value === value) return item;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

export function configurationConformance(name: string, open: () => Promise<Subject>): void {
  describe(`${name}: conformance`, { timeout: 60_000 }, () => {
    let subject: Subject;
    let runs = 0;
    const run = randomUUID().slice(0, 8);
    /** Fresh keys for each test. */
    const keysOf = (...texts: string[]) => {
      runs++;
      return texts.map((text) => `${run}-${runs}-${text}`) as [string, string, string];
    };
    const get = (keys: readonly string[]) => subject.store.get({ keys, metadata: {} }, signal);
    const subscribe = (keys: readonly string[], told: Told, handler = told.handler) =>
      subject.store.subscribe({ keys, metadata: {} }, handler, signal);

    before(async () => {
      subject = await open();
    });
    after(() => subject.store.close());

    test("gets the keys asked for that exist, with value and version", async () => {
      const [one, two, missing] = keysOf("one", "two", "missing");
      await subject.put(one, "1", "v1");
      await subject.put(two, "zwei", "v2");
      const items = await get([one, missing, two]);
      assert.deepEqual([...items.keys()].sort(), [one, two].sort());
      assert.deepEqual([items.get(one)?.value, items.get(one)?.version, items.get(two)?.value], ["1", "v1", "zwei"]);
    });

    test("gets everything without keys", async () => {
      const [one, two] = keysOf("one", "two");
      await subject.put(one, "1", "");
      await subject.put(two, "2", "");
      const items = await get([]);
      assert.deepEqual([items.get(one)?.value, items.get(two)?.value], ["1", "2"]);
    });

    test("tells a subscriber what changes from then on, and nothing else", async () => {
      const [mine, other, last] = keysOf("mine", "other", "last");
      await subject.put(mine, "before", "");
      const told = new Told();
      const subscription = await subscribe([mine, last], told);
      await subject.put(other, "not mine", "");
      await subject.put(mine, "after", "v2");
      assert.equal((await told.until(mine, "after")).version, "v2");
      await subject.put(last, "end", "");
      await told.until(last, "end");
      assert.deepEqual(told.history, [`${mine}=after`, `${last}=end`]);
      await subscription.stop();
    });

    test("tells a subscriber to everything about every key", async () => {
      const [one, two] = keysOf("one", "two");
      const told = new Told();
      const subscription = await subscribe([], told);
      await subject.put(one, "1", "");
      await subject.put(two, "2", "");
      await Promise.all([told.until(one, "1"), told.until(two, "2")]);
      await subscription.stop();
    });

    test("tells of a key that goes and comes again", async () => {
      const [key] = keysOf("goes");
      await subject.put(key, "1", "v1");
      const told = new Told();
      const subscription = await subscribe([key], told);
      await subject.remove(key);
      assert.equal((await told.until(key, "")).version, "");
      assert.equal((await get([key])).size, 0);
      await subject.put(key, "2", "");
      await told.until(key, "2");
      await subscription.stop();
    });

    test("a flood ends with the newest value, told one call at a time", async () => {
      const [key] = keysOf("flood");
      const told = new Told();
      let running = 0;
      const subscription = await subscribe([key], told, async (items) => {
        assert.equal(++running, 1);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        await told.handler(items);
      });
      await Promise.all(Array.from({ length: 300 }, (_, n) => subject.put(key, `value${n}`, "")));
      await subject.put(key, "newest", "");
      await told.until(key, "newest");
      assert.ok(told.history.length <= 301);
      await subscription.stop();
    });

    test("a handler that fails gets the next update all the same", async () => {
      const [key] = keysOf("fails");
      const told = new Told();
      const failed = Promise.withResolvers<void>();
      const subscription = await subscribe([key], told, async (items) => {
        if (items.get(key)?.value !== "bad") return told.handler(items);
        failed.resolve();
        throw new Error("refused on purpose");
      });
      await subject.put(key, "bad", "");
      await failed.promise;
      await subject.put(key, "good", "");
      await told.until(key, "good");
      await subscription.stop();
    });

    test("stop() waits for the handler and ends the telling, of this subscription only", async () => {
      const [key] = keysOf("stop");
      const [first, second] = [new Told(), new Told()];
      const gate = Promise.withResolvers<void>();
      const entered = Promise.withResolvers<void>();
      const stopped = await subscribe([key], first, async (items) => {
        entered.resolve();
        await gate.promise;
        await first.handler(items);
      });
      const other = await subscribe([key], second);
      await subject.put(key, "1", "");
      await entered.promise;
      let done = false;
      const stopping = stopped.stop().then(() => {
        done = true;
      });
      await second.until(key, "1");
      assert.equal(done, false);
      gate.resolve();
      await stopping;
      await subject.put(key, "2", "");
      await second.until(key, "2");
      assert.deepEqual(first.history, [`${key}=1`]);
      await other.stop();
    });

    test("odd keys and values", async () => {
      const keys = subject.oddKeys.map((key) => `${run}${key}`);
      const told = new Told();
      const subscription = await subscribe(keys, told);
      const value = '{"a": "é🔑\\n"}';
      for (const key of keys) await subject.put(key, value, "");
      for (const key of keys) await told.until(key, value);
      assert.deepEqual([...(await get(keys)).keys()].sort(), [...keys].sort());
      await subscription.stop();
    });
  });
}
