// What every state driver must do, run by its test against its real store. Keys are unique per run, so that a store that
// outlives the run may be used. Time is the driver's clock: the suite moves it instead of sleeping.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { FakeClock } from "../../lib/kit/fake-clock.ts";
import { type DeleteRequest, EtagError, type GetRequest, type SetRequest, type StateItem, type StateStore } from "./store.ts";

export interface Subject {
  readonly store: StateStore;
  /** The clock the store was made with. */
  readonly clock: FakeClock;
  /** An etag that the store takes for one but never gives; where etags have no form of their own, any text. */
  readonly foreignEtag?: string;
}

const signal = new AbortController().signal;

export function getRequest(key: string): GetRequest {
  return { key, consistency: "", metadata: {} };
}

export function setRequest(key: string, value: string | Uint8Array, change: Partial<SetRequest> = {}): SetRequest {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return { key, value: bytes, etag: null, concurrency: "", consistency: "", metadata: {}, ...change };
}

export function deleteRequest(key: string, change: Partial<DeleteRequest> = {}): DeleteRequest {
  return { key, etag: null, concurrency: "", consistency: "", metadata: {}, ...change };
}

const mismatch = (error: unknown) => error instanceof EtagError && error.kind === "mismatch";

export function stateConformance(name: string, open: () => Promise<Subject>): void {
  describe(`${name}: conformance`, () => {
    let subject: Subject;
    const run = randomUUID();
    const foreignEtag = () => subject.foreignEtag ?? "never-an-etag";
    const keyOf = (text: string) => `${run}||${text}`;
    const get = (key: string): Promise<StateItem | null> => subject.store.get(getRequest(key), signal);
    const text = async (key: string) => {
      const item = await get(key);
      return item === null ? null : Buffer.from(item.data).toString();
    };
    const set = (key: string, value: string | Uint8Array, change?: Partial<SetRequest>) =>
      subject.store.set(setRequest(key, value, change), signal);
    const etagOf = async (key: string) => {
      const etag = (await get(key))?.etag;
      assert.ok(etag, "an etag");
      return etag;
    };

    before(async () => {
      subject = await open();
    });
    after(() => subject.store.close());

    test("set, get, overwrite, delete", async () => {
      const key = keyOf("basic");
      assert.equal(await get(key), null);
      await set(key, '{"a":1}');
      assert.equal(await text(key), '{"a":1}');
      await set(key, '"b"');
      assert.equal(await text(key), '"b"');
      await subject.store.delete(deleteRequest(key), signal);
      assert.equal(await get(key), null);
      await subject.store.delete(deleteRequest(key), signal);
    });

    test("any bytes come back as they were", async () => {
      const values = [new Uint8Array(0), new Uint8Array([0]), new Uint8Array([0xff, 0xfe, 0]), Buffer.from('"é\u0000\u2028"')];
      const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      for (const [index, value] of [...values, all].entries()) {
        await set(keyOf(`bytes${index}`), value);
        assert.deepEqual(new Uint8Array((await get(keyOf(`bytes${index}`)))?.data ?? [1]), new Uint8Array(value));
      }
    });

    test("a stored value does not change with the buffer it came in", async () => {
      const buffer = Buffer.from('xx"before"xx');
      await set(keyOf("aliased"), buffer.subarray(2, 10));
      buffer.fill(0);
      assert.equal(await text(keyOf("aliased")), '"before"');
    });

    test("keys of every kind", async () => {
      const keys = [
        "a b",
        "a/b",
        "ключ",
        "🔑",
        "%25",
        "_",
        "a'b\"c`",
        "a;DROP TABLE state",
        "A",
        "a",
        "__proto__",
        "a\u0001b",
        "x".repeat(200),
      ];
      for (const key of keys) await set(keyOf(key), JSON.stringify(key));
      for (const key of keys) assert.equal(await text(keyOf(key)), JSON.stringify(key), key);
    });

    test("a value of 5 MiB", async () => {
      const value = Buffer.alloc(5 * 1024 * 1024, "0123456789abcdef");
      await set(keyOf("large"), value);
      assert.ok(value.equals((await get(keyOf("large")))?.data ?? Buffer.alloc(0)));
    });

    test("every write has a new etag, and only the newest matches", async () => {
      const key = keyOf("etag");
      await set(key, "1");
      const first = await etagOf(key);
      await set(key, "2", { etag: first });
      const second = await etagOf(key);
      assert.notEqual(first, second);
      await assert.rejects(set(key, "3", { etag: first }), mismatch);
      await assert.rejects(set(key, "3", { etag: foreignEtag() }), mismatch);
      await assert.rejects(subject.store.delete(deleteRequest(key, { etag: first }), signal), mismatch);
      assert.equal(await text(key), "2");
      await subject.store.delete(deleteRequest(key, { etag: second }), signal);
      assert.equal(await get(key), null);
    });

    test("an etag on a missing key is a mismatch; an empty etag is none", async () => {
      const key = keyOf("etag-missing");
      await assert.rejects(set(key, "1", { etag: foreignEtag() }), mismatch);
      await assert.rejects(subject.store.delete(deleteRequest(key, { etag: foreignEtag() }), signal), mismatch);
      await set(key, "1", { etag: "" });
      await set(key, "2", { etag: "" });
      assert.equal(await text(key), "2");
    });

    test("first-write without an etag only creates; last-write overwrites", async () => {
      const key = keyOf("first-write");
      await set(key, "1", { concurrency: "first-write" });
      await assert.rejects(set(key, "2", { concurrency: "first-write" }), mismatch);
      await set(key, "3", { concurrency: "last-write" });
      await set(key, "4", { concurrency: "first-write", etag: await etagOf(key) });
      assert.equal(await text(key), "4");
    });

    test("of many writers with the same etag one wins", async () => {
      const key = keyOf("race");
      await set(key, "0");
      const etag = await etagOf(key);
      const attempts = Array.from({ length: 20 }, (_, writer) => set(key, String(writer + 1), { etag, concurrency: "first-write" }));
      const settled = await Promise.allSettled(attempts);
      assert.equal(settled.filter((attempt) => attempt.status === "fulfilled").length, 1);
      const created = Array.from({ length: 20 }, () => set(keyOf("race-create"), "1", { concurrency: "first-write" }));
      const outcomes = await Promise.allSettled(created);
      assert.equal(outcomes.filter((attempt) => attempt.status === "fulfilled").length, 1);
    });

    test("an entry with ttlInSeconds says when it expires, and does", async () => {
      const key = keyOf("ttl");
      await set(key, "1", { metadata: { ttlInSeconds: "10" } });
      const expires = Date.parse((await get(key))?.metadata["ttlExpireTime"] ?? "");
      assert.ok(Math.abs(expires - subject.clock.now() - 10_000) <= 1000);
      await subject.clock.advance(9000);
      assert.equal(await text(key), "1");
      await subject.clock.advance(2000);
      assert.equal(await get(key), null);
      await assert.rejects(set(key, "2", { etag: foreignEtag() }), mismatch);
      await set(key, "2", { concurrency: "first-write" });
      assert.equal(await text(key), "2");
    });

    test("overwriting sets the expiry anew; -1 removes it", async () => {
      const key = keyOf("ttl-again");
      await set(key, "1", { metadata: { ttlInSeconds: "10" } });
      await set(key, "2", { metadata: { ttlInSeconds: "-1" } });
      assert.equal((await get(key))?.metadata["ttlExpireTime"], undefined);
      await subject.clock.advance(60_000);
      assert.equal(await text(key), "2");
      await set(key, "3", { metadata: { ttlInSeconds: "10" } });
      await set(key, "4");
      await subject.clock.advance(60_000);
      assert.equal(await text(key), "4");
    });

    test("a wrong ttlInSeconds stores nothing", async () => {
      for (const ttl of ["soon", "1.5", "-2", "99999999999"]) {
        await assert.rejects(set(keyOf("ttl-bad"), "1", { metadata: { ttlInSeconds: ttl } }), /ttlInSeconds/);
      }
      assert.equal(await get(keyOf("ttl-bad")), null);
    });

    test("bulk get answers every request in order, also what is missing, twice or expired", async (t) => {
      const { store, clock } = subject;
      if (store.bulkGet === undefined) return t.skip("the store has no bulkGet");
      await set(keyOf("bulk1"), "1");
      await set(keyOf("bulk2"), "2", { metadata: { ttlInSeconds: "5" } });
      await set(keyOf("bulk3"), "3", { metadata: { ttlInSeconds: "500" } });
      await clock.advance(7000);
      const keys = ["bulk3", "missing", "bulk1", "bulk2", "bulk1"].map(keyOf);
      const items = await store.bulkGet(keys.map(getRequest), signal);
      assert.deepEqual(
        items.map((entry) => entry.key),
        keys,
      );
      assert.deepEqual(
        items.map((entry) => (entry.item === null ? null : Buffer.from(entry.item.data).toString())),
        ["3", null, "1", null, "1"],
      );
      assert.ok(items[0]?.item?.metadata["ttlExpireTime"]);
      assert.equal(items[2]?.item?.etag, await etagOf(keyOf("bulk1")));
      const many = Array.from({ length: 1500 }, (_, index) => getRequest(keyOf(`none${index}`)));
      assert.equal((await store.bulkGet(many, signal)).length, 1500);
      assert.deepEqual(await store.bulkGet([], signal), []);
    });

    test("bulk writes store what they can and name what they cannot", async (t) => {
      const { store } = subject;
      if (store.bulkSet === undefined || store.bulkDelete === undefined) return t.skip("the store has no bulk writes");
      const keys = ["b1", "b2", "b3"].map(keyOf);
      await store.bulkSet(
        keys.map((key) => setRequest(key, "1")),
        signal,
      );
      const [one, two, three] = keys as [string, string, string];
      const mixed = [setRequest(one, "2"), setRequest(two, "2", { etag: foreignEtag() }), setRequest(three, "2")];
      await assert.rejects(store.bulkSet(mixed, signal), (error: { failures: Map<string, Error> }) => {
        assert.deepEqual([...error.failures.keys()], [two]);
        return mismatch(error.failures.get(two));
      });
      assert.deepEqual([await text(one), await text(two), await text(three)], ["2", "1", "2"]);
      await store.bulkDelete([deleteRequest(one), deleteRequest(two), deleteRequest(keyOf("b4"))], signal);
      assert.deepEqual([await text(one), await text(two), await text(three)], [null, null, "2"]);
    });

    test("a transaction is all or nothing, in order", async (t) => {
      const { store } = subject;
      if (store.transact === undefined) return t.skip("the store has no transactions");
      const [one, two] = [keyOf("t1"), keyOf("t2")];
      await store.transact(
        [
          { operation: "upsert", request: setRequest(one, "1") },
          { operation: "upsert", request: setRequest(two, "1") },
          { operation: "delete", request: deleteRequest(one) },
          { operation: "upsert", request: setRequest(one, "2") },
        ],
        {},
        signal,
      );
      assert.deepEqual([await text(one), await text(two)], ["2", "1"]);
      const failing = store.transact(
        [
          { operation: "delete", request: deleteRequest(one) },
          { operation: "upsert", request: setRequest(two, "3", { etag: foreignEtag() }) },
        ],
        {},
        signal,
      );
      await assert.rejects(failing, mismatch);
      assert.deepEqual([await text(one), await text(two)], ["2", "1"]);
      await store.transact([], {}, signal);
    });

    test("keysLike finds keys by pattern and pages", async (t) => {
      const { store } = subject;
      if (store.keysLike === undefined) return t.skip("the store has no keysLike");
      const keys = ["like-a1", "like-a2", "like-a3", "like_b", "likexb"].map(keyOf);
      for (const key of keys) await set(key, "1");
      const like = (pattern: string, pageSize: number | null, continuationToken: string | null) =>
        (store.keysLike as NonNullable<StateStore["keysLike"]>)({ pattern: keyOf(pattern), pageSize, continuationToken }, signal);
      assert.deepEqual((await like("like-a%", null, null)).keys, keys.slice(0, 3));
      assert.deepEqual((await like("like\\_b", null, null)).keys, keys.slice(3, 4));
      assert.deepEqual((await like("like_b", null, null)).keys, keys.slice(3, 5));
      const first = await like("like%", 2, null);
      const second = await like("like%", 3, first.continuationToken);
      assert.deepEqual([...first.keys, ...second.keys], keys);
    });

    test("deleteWithPrefix spares what lies deeper", async (t) => {
      const { store } = subject;
      if (store.deleteWithPrefix === undefined) return t.skip("the store has no deleteWithPrefix");
      const prefix = keyOf("actor||");
      for (const key of ["a", "b", "deep||c"]) await set(prefix + key, "1");
      assert.equal(await store.deleteWithPrefix(prefix, signal), 2);
      assert.deepEqual([await text(`${prefix}a`), await text(`${prefix}deep||c`)], [null, "1"]);
    });
  });
}
