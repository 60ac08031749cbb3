// What every lock driver must do, run by its test against its real store. Resources are unique per run. Time is the driver's clock: the
// suite moves it instead of sleeping.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { FakeClock } from "../../lib/kit/fake-clock.ts";
import type { LockStore } from "./store.ts";

export interface Subject {
  readonly store: LockStore;
  /** The clock the store was made with. */
  readonly clock: FakeClock;
}

const signal = new AbortController().signal;

export function lockConformance(name: string, open: () => Promise<Subject>): void {
  describe(`${name}: conformance`, () => {
    let subject: Subject;
    const run = randomUUID();
    const id = (text: string) => `lock||${run}||${text}`;
    const lock = (resource: string, owner: string, expirySeconds = 100) =>
      subject.store.tryLock({ resourceId: id(resource), owner, expirySeconds }, signal);
    const unlock = (resource: string, owner: string) => subject.store.unlock({ resourceId: id(resource), owner }, signal);

    before(async () => {
      subject = await open();
    });
    after(() => subject.store.close());

    test("one owner holds a lock until it is given back", async () => {
      assert.equal(await lock("basic", "a"), true);
      assert.equal(await lock("basic", "b"), false);
      assert.equal(await unlock("basic", "a"), "success");
      assert.equal(await lock("basic", "b"), true);
    });

    test("nobody gets it twice, the holder included", async () => {
      assert.equal(await lock("again", "a"), true);
      assert.equal(await lock("again", "a"), false);
    });

    test("only the holder gives it back", async () => {
      assert.equal(await unlock("others", "a"), "lock-does-not-exist");
      await lock("others", "a");
      assert.equal(await unlock("others", "b"), "lock-belongs-to-others");
      assert.equal(await unlock("others", "A"), "lock-belongs-to-others");
      assert.equal(await lock("others", "b"), false);
      assert.equal(await unlock("others", "a"), "success");
      assert.equal(await unlock("others", "a"), "lock-does-not-exist");
    });

    test("it expires, and then belongs to nobody or to the next", async () => {
      await lock("expires", "a", 10);
      await subject.clock.advance(9000);
      assert.equal(await lock("expires", "b", 10), false);
      await subject.clock.advance(1500);
      assert.equal(await unlock("expires", "a"), "lock-does-not-exist");
      assert.equal(await lock("expires", "b", 10), true);
      assert.equal(await unlock("expires", "a"), "lock-belongs-to-others");
      assert.equal(await lock("expires", "c", 10), false);
    });

    test("a refused attempt does not prolong it", async () => {
      await lock("prolong", "a", 10);
      await subject.clock.advance(8000);
      assert.equal(await lock("prolong", "b", 1000), false);
      assert.equal(await lock("prolong", "a", 1000), false);
      await subject.clock.advance(3000);
      assert.equal(await lock("prolong", "b", 10), true);
    });

    test("of many who try at once one gets it", async () => {
      const attempts = await Promise.all(Array.from({ length: 50 }, (_, owner) => lock("race", String(owner))));
      assert.equal(attempts.filter(Boolean).length, 1);
      const winner = attempts.indexOf(true);
      assert.equal(await unlock("race", String(winner)), "success");
    });

    test("resources and owners of every kind", async () => {
      const names = ["a b", "ключ", "🔑", "a'b\"c`", "%", "_", "A", "a", "__proto__", "x".repeat(500), '{"a":1}'];
      for (const name of names) assert.equal(await lock(`kind-${name}`, name), true, name);
      for (const name of names) assert.equal(await unlock(`kind-${name}`, `${name} `), "lock-belongs-to-others", name);
      for (const name of names) assert.equal(await unlock(`kind-${name}`, name), "success", name);
    });

    test("it may be held for as long as a request can say", async () => {
      assert.equal(await lock("long", "a", 2 ** 31 - 1), true);
      assert.equal(await lock("long", "b"), false);
    });
  });
}
