import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { builtInServiceRetries, nextDelayMs } from "./backoff.ts";
import { withRetries } from "./retry.ts";

const never = new AbortController().signal;

test("built-in service retries: three more tries, a second apart, then the last error", async () => {
  const clock = new FakeClock();
  const at: number[] = [];
  const run = withRetries(
    builtInServiceRetries,
    { clock, isTransient: () => true },
    async (attempt) => {
      at.push(clock.monotonic());
      throw new Error(`attempt ${attempt}`);
    },
    never,
  );
  const failed = assert.rejects(run, /attempt 4/);
  for (let i = 0; i < 3; i++) {
    await clock.untilWaiting();
    await clock.advance(1000);
  }
  await failed;
  assert.deepEqual(at, [0, 1000, 2000, 3000]);
});

test("a final failure is not tried again, and leaving ends the wait", async () => {
  const clock = new FakeClock();
  let tries = 0;
  const fail = async () => {
    tries++;
    throw new Error("final");
  };
  await assert.rejects(withRetries(builtInServiceRetries, { clock, isTransient: () => false }, fail, never), /final/);
  assert.equal(tries, 1);
  const abort = new AbortController();
  const waiting = withRetries(builtInServiceRetries, { clock, isTransient: () => true }, fail, abort.signal);
  await clock.untilWaiting();
  abort.abort(new Error("left"));
  await assert.rejects(waiting, /left/);
  assert.equal(clock.waiting, 0);
});

test("exponential delays grow to their ceiling", () => {
  const policy = { kind: "exponential", delayMs: 100, maxDelayMs: 200, maxRetries: -1 } as const;
  assert.deepEqual(
    [1, 2, 3, 99].map((retry) => nextDelayMs(policy, retry)),
    [100, 150, 200, 200],
  );
});
