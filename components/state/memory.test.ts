import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { driverContext } from "../shared/test-context.ts";
import { deleteRequest, setRequest, stateConformance } from "./conformance.ts";
import { create } from "./memory.ts";

const signal = new AbortController().signal;

stateConformance("state.in-memory", async () => {
  const clock = new FakeClock();
  const store = create(driverContext("state.in-memory", {}, clock));
  await store.init(signal);
  return { store, clock };
});

test("the sweep runs only while something can expire", async () => {
  const clock = new FakeClock();
  const store = create(driverContext("state.in-memory", {}, clock));
  await store.set(setRequest("a", "1"), signal);
  assert.equal(clock.waiting, 0);
  await store.set(setRequest("b", "1", { metadata: { ttlInSeconds: "2" } }), signal);
  assert.equal(clock.waiting, 1);
  await clock.advance(4000);
  assert.equal(clock.waiting, 0);
  await store.close();
});

test("first-write delete without an etag refuses to delete what exists", async () => {
  const store = create(driverContext("state.in-memory", {}, new FakeClock()));
  await store.set(setRequest("a", "1"), signal);
  await assert.rejects(store.delete(deleteRequest("a", { concurrency: "first-write" }), signal), { name: "EtagError" });
  await store.delete(deleteRequest("b", { concurrency: "first-write" }), signal);
});
