import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../kit/fake-clock.ts";
import { silentLogger } from "../telemetry/log.ts";
import { WorkQueue } from "./work-queue.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test("a key is worked on by one worker at a time and never lost", async () => {
  const stop = new AbortController();
  const log: string[] = [];
  let release = () => {};
  const queue = new WorkQueue({
    name: "test",
    log: silentLogger,
    work: async (key) => {
      log.push(`begin ${key}`);
      await new Promise<void>((resolve) => (release = resolve));
      log.push(`end ${key}`);
      return null;
    },
  });
  queue.add("a");
  queue.add("a");
  const running = queue.run(stop.signal);
  queue.add("a");
  queue.add("a");
  assert.deepEqual(log, ["begin a"]);
  release();
  await turn();
  assert.deepEqual(log, ["begin a", "end a", "begin a"]);
  release();
  await turn();
  assert.deepEqual([log.length, queue.size], [4, 0]);
  stop.abort();
  await running;
});

test("a failure comes again after a growing pause, success forgets it, a number asks for a visit", async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const results: (number | Error | null)[] = [new Error("1"), new Error("2"), 5000, null];
  let calls = 0;
  const queue = new WorkQueue({
    name: "test",
    log: silentLogger,
    clock,
    random: () => 1,
    work: async () => {
      const result = results[calls++];
      if (result instanceof Error) throw result;
      return result ?? null;
    },
  });
  const running = queue.run(stop.signal);
  queue.add("a");
  for (const [index, waitMs] of [100, 200, 5000].entries()) {
    await clock.untilWaiting(1);
    await clock.advance(waitMs - 1);
    assert.equal(calls, index + 1);
    await clock.advance(1);
    assert.equal(calls, index + 2);
  }
  stop.abort();
  await running;
});

test("keys beyond the concurrency wait their turn", async () => {
  const stop = new AbortController();
  const gates: (() => void)[] = [];
  let most = 0;
  let now = 0;
  const queue = new WorkQueue({
    name: "test",
    log: silentLogger,
    concurrency: 2,
    work: async () => {
      most = Math.max(most, ++now);
      await new Promise<void>((resolve) => gates.push(resolve));
      now--;
      return null;
    },
  });
  const running = queue.run(stop.signal);
  for (const key of ["a", "b", "c", "d", "e"]) queue.add(key);
  for (let done = 0; done < 5; done++) {
    gates.shift()?.();
    await turn();
  }
  assert.deepEqual([most, queue.size], [2, 0]);
  stop.abort();
  await running;
});
