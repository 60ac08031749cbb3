import assert from "node:assert/strict";
import { test } from "node:test";
import { BulkStoreError, EtagError, type StateStore } from "../../../components/state/store.ts";
import { readAll, writeAll } from "./bulk.ts";
import { alteredStore, retrying } from "./test-stores.ts";

const signal = new AbortController().signal;
const policy = retrying(3).outbound("", "Statestore");
const request = (key: string) => ({ key });

/** A bulk write that fails the given keys the given number of times, and notes what it was asked for. */
function flaky(failures: Readonly<Record<string, readonly Error[]>>) {
  const asked: string[][] = [];
  const left = new Map(Object.entries(failures).map(([key, errors]) => [key, [...errors]]));
  const many = async (requests: readonly { readonly key: string }[]) => {
    asked.push(requests.map(({ key }) => key));
    const failed = new Map<string, Error>();
    for (const { key } of requests) {
      const error = left.get(key)?.shift();
      if (error !== undefined) failed.set(key, error);
    }
    if (failed.size > 0) throw new BulkStoreError(failed);
  };
  const one = async ({ key }: { readonly key: string }) => {
    asked.push([key]);
    const error = left.get(key)?.shift();
    if (error !== undefined) throw error;
  };
  return { asked, many, one };
}

test("only what failed is tried again", async () => {
  const store = flaky({ b: [new Error("1")], c: [new Error("1"), new Error("2")] });
  await writeAll(["a", "b", "c", "d"].map(request), policy, store.one, store.many, signal);
  assert.deepEqual(store.asked, [["a", "b", "c", "d"], ["b", "c"], ["c"]]);
});

test("a conflict is never tried again and never lost when the rest succeeds", async () => {
  const store = flaky({ a: [new EtagError("mismatch")], b: [new Error("1")] });
  await assert.rejects(writeAll(["a", "b"].map(request), policy, store.one, store.many, signal), { name: "EtagError", kind: "mismatch" });
  assert.deepEqual(store.asked, [["a", "b"], ["b"]]);
});

test("an invalid etag outweighs a mismatch", async () => {
  const store = flaky({ a: [new EtagError("mismatch")], b: [new EtagError("invalid")], c: [new EtagError("mismatch")] });
  await assert.rejects(writeAll(["a", "b", "c"].map(request), policy, store.one, store.many, signal), { kind: "invalid" });
  assert.equal(store.asked.length, 1);
});

test("a single request is no bulk", async () => {
  const store = flaky({ a: [new EtagError("mismatch")] });
  await assert.rejects(writeAll([request("a")], policy, store.one, store.many, signal), { kind: "mismatch" });
  assert.deepEqual(store.asked, [["a"]]);
});

test("without a bulk write each is written by itself and all failures are named", async () => {
  const store = flaky({ b: [new Error("no")], c: [new Error("no")] });
  await assert.rejects(writeAll(["a", "b", "c"].map(request), null, store.one, undefined, signal), (error: BulkStoreError) => {
    assert.deepEqual([...error.failures.keys()], ["b", "c"]);
    return true;
  });
});

test("without a bulk get at most `parallelism` gets are open", async () => {
  let open = 0;
  let most = 0;
  const get: StateStore["get"] = async ({ key }) => {
    open++;
    most = Math.max(most, open);
    await new Promise<void>((resolve) => setImmediate(resolve));
    open--;
    if (key === "k3") throw new Error("broken");
    return null;
  };
  const store = alteredStore({ get, bulkGet: undefined });
  const requests = Array.from({ length: 9 }, (_, index) => ({ key: `k${index}`, consistency: "" as const, metadata: {} }));
  const items = await readAll(store, requests, 2, signal);
  assert.equal(most, 2);
  assert.deepEqual(
    items.map(({ key, error }) => [key, error]),
    requests.map(({ key }) => [key, key === "k3" ? "broken" : null]),
  );
  await readAll(store, requests, 0, signal);
  assert.equal(most, 9);
});
