import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { beginRetries, matchesStatus, type RetryPlan, stepRetries } from "./backoff.ts";
import { builtInRetries } from "./built-in.ts";
import { type RetryHooks, withRetries } from "./retry.ts";

const never = new AbortController().signal;

function hooks(clock: FakeClock, overrides: Partial<RetryHooks> = {}): RetryHooks {
  return { clock, chance: () => 0.5, isFinal: () => false, onRetry: () => {}, onRecovered: () => {}, ...overrides };
}

test("built-in service retries: three more tries, a second apart, then the last error; the first failure alone is told", async () => {
  const clock = new FakeClock();
  const at: number[] = [];
  const told: boolean[] = [];
  const run = withRetries(
    builtInRetries.DaprBuiltInServiceRetries,
    hooks(clock, { onRetry: (_failure, _delayMs, first) => told.push(first) }),
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
  assert.deepEqual(
    [at, told],
    [
      [0, 1000, 2000, 3000],
      [true, false, false],
    ],
  );
});

test("a final failure is not tried again, and leaving ends the wait", async () => {
  const clock = new FakeClock();
  let tries = 0;
  const fail = async () => {
    tries++;
    throw new Error("final");
  };
  const plan = builtInRetries.DaprBuiltInServiceRetries;
  await assert.rejects(withRetries(plan, hooks(clock, { isFinal: () => true }), fail, never), /final/);
  assert.equal(tries, 1);
  const abort = new AbortController();
  const waiting = withRetries(plan, hooks(clock), fail, abort.signal);
  await clock.untilWaiting();
  abort.abort(new Error("left"));
  await assert.rejects(waiting, /left/);
  assert.equal(clock.waiting, 0);
});

test("recovering is told with the number of attempts", async () => {
  const clock = new FakeClock();
  const recovered: number[] = [];
  const run = withRetries(
    builtInRetries.DaprBuiltInServiceRetries,
    hooks(clock, { onRecovered: (attempts) => recovered.push(attempts) }),
    async (attempt) => {
      if (attempt < 3) throw new Error("not yet");
      return attempt;
    },
    never,
  );
  for (let i = 0; i < 2; i++) {
    await clock.untilWaiting();
    await clock.advance(1000);
  }
  assert.equal(await run, 3);
  assert.deepEqual(recovered, [3]);
});

const plans = fc.record({
  kind: fc.constantFrom("constant" as const, "exponential" as const),
  delayMs: fc.integer({ min: 0, max: 10_000 }),
  maxDelayMs: fc.integer({ min: 0, max: 60_000 }),
  maxRetries: fc.integer({ min: -1, max: 8 }),
  maxElapsedMs: fc.integer({ min: 0, max: 100_000 }),
  http: fc.constant(null),
  grpc: fc.constant(null),
});

test("any plan keeps its invariants against any course of failures", () => {
  const course = fc.array(
    fc.record({ lastsMs: fc.integer({ min: 0, max: 5000 }), chance: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
    {
      maxLength: 40,
    },
  );
  fc.assert(
    fc.property(plans, course, (plan: RetryPlan, failures) => {
      let nowMs = 0;
      let waits = 0;
      let state = beginRetries(plan, nowMs);
      for (const { lastsMs, chance } of failures) {
        nowMs += lastsMs;
        const [next, effect] = stepRetries(plan, state, { kind: "failed", final: false, nowMs, chance });
        if (effect.kind !== "wait") {
          assert.ok(plan.maxRetries >= 0 || (plan.kind === "exponential" && plan.maxElapsedMs > 0));
          return;
        }
        waits++;
        assert.equal(effect.first, waits === 1);
        assert.ok(plan.maxRetries < 0 || waits <= plan.maxRetries, "1");
        const ceiling = plan.kind === "constant" ? plan.delayMs : 1.5 * Math.max(plan.delayMs, plan.maxDelayMs);
        assert.ok(effect.delayMs >= 0 && effect.delayMs <= ceiling);
        nowMs += effect.delayMs;
        assert.ok(plan.kind === "constant" || plan.maxElapsedMs === 0 || nowMs <= plan.maxElapsedMs, "2");
        state = next;
      }
    }),
  );
});

test("exponential delays grow by half to their ceiling, and chance moves them half either way", () => {
  const plan: RetryPlan = { kind: "exponential", delayMs: 100, maxDelayMs: 200, maxRetries: -1, maxElapsedMs: 0, http: null, grpc: null };
  const delays = (chance: number) => {
    let state = beginRetries(plan, 0);
    return [1, 2, 3, 4].map(() => {
      const [next, effect] = stepRetries(plan, state, { kind: "failed", final: false, nowMs: 0, chance });
      state = next;
      return effect.kind === "wait" ? effect.delayMs : -1;
    });
  };
  assert.deepEqual(delays(0.5), [100, 150, 200, 200]);
  assert.deepEqual(delays(0), [50, 75, 100, 100]);
});

test("matching: gRPC codes and HTTP statuses by their range, all others final", () => {
  const plan: RetryPlan = {
    ...builtInRetries.DaprBuiltInServiceRetries,
    http: [
      { from: 429, to: 429 },
      { from: 500, to: 503 },
    ],
    grpc: [{ from: 1, to: 2 }],
  };
  const matched = (codes: readonly number[], of: RetryPlan) => codes.filter((code) => matchesStatus(of, code));
  assert.deepEqual(matched([1, 2, 3, 20, 99, 404, 429, 500, 503, 504, 600], plan), [1, 2, 429, 500, 503]);
  assert.deepEqual(matched([0, 16, 17, 99, 100, 404, 599, 600], { ...plan, http: null, grpc: null }), [0, 16, 100, 404, 599]);
});
