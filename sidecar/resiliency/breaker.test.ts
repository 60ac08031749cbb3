import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BreakerEvent, type BreakerSettings, type BreakerState, closedBreaker, stepBreaker } from "./breaker.ts";

const settings: BreakerSettings = {
  maxRequests: 1,
  intervalMs: 0,
  timeoutMs: 5000,
  trips: ({ consecutiveFailures }) => consecutiveFailures >= 3,
};

/** Applies events in order; effects as words. */
function play(of: BreakerSettings, events: readonly BreakerEvent[]) {
  let state = closedBreaker(of, 0);
  const words: string[] = [];
  for (const event of events) {
    const [next, effects] = stepBreaker(of, state, event);
    state = next;
    for (const effect of effects) {
      if (effect.kind === "changed") words.push(`${effect.from} to ${effect.to}`);
      else words.push(effect.kind === "admitted" ? `admitted ${effect.generation}` : effect.reason);
    }
  }
  return { state, words };
}

const request = (nowMs: number): BreakerEvent => ({ kind: "request", nowMs });
const result = (nowMs: number, generation: number, success: boolean): BreakerEvent => ({ kind: "result", nowMs, generation, success });

test("three failures in a row open it; after its time one call is let through, and its success closes it", () => {
  const failing = [1, 2, 3].flatMap((nowMs) => [request(nowMs), result(nowMs, 1, false)]);
  const { words } = play(settings, [
    ...failing,
    request(4),
    request(5003),
    request(5004),
    request(5005),
    result(5006, 3, true),
    request(5007),
  ]);
  assert.deepEqual(words, [
    ...["admitted 1", "admitted 1", "admitted 1", "closed to open"],
    ...["open", "open", "open to half-open", "admitted 3", "too-many", "half-open to closed", "admitted 4"],
  ]);
});

test("a failure while half-open opens it again for the whole time", () => {
  const failing = [1, 2, 3].flatMap((nowMs) => [request(nowMs), result(nowMs, 1, false)]);
  const { state, words } = play(settings, [...failing, request(6000), result(6001, 3, false)]);
  assert.deepEqual(words.slice(-3), ["open to half-open", "admitted 3", "half-open to open"]);
  assert.deepEqual([state.mode, state.expiresMs], ["open", 11_001]);
});

test("a late result of an earlier generation counts for nothing, and the interval clears the counts", () => {
  const periodic = { ...settings, intervalMs: 100 };
  const { state, words } = play(periodic, [
    request(1),
    result(1, 1, false),
    request(2),
    request(2),
    result(101, 1, false),
    result(101, 1, false),
  ]);
  assert.deepEqual([state.mode, state.counts.totalFailures, words.includes("closed to open")], ["closed", 0, false]);
});

interface Step {
  readonly waitMs: number;
  readonly act: "request" | "succeed" | "fail" | "look";
}

const steps = fc.array(
  fc.record({
    waitMs: fc.integer({ min: 0, max: 400 }),
    act: fc.constantFrom("request", "request", "request", "succeed", "fail", "fail", "look") as fc.Arbitrary<Step["act"]>,
  }),
  { maxLength: 200 },
);

test("simulation: whatever calls come and how they end, the invariants hold", () => {
  const anySettings = fc.record({
    maxRequests: fc.integer({ min: 1, max: 4 }),
    intervalMs: fc.constantFrom(0, 500),
    timeoutMs: fc.integer({ min: 1, max: 1000 }),
    trips: fc.integer({ min: 1, max: 4 }).map(
      (limit) =>
        ({ consecutiveFailures }: { consecutiveFailures: number }) =>
          consecutiveFailures >= limit,
    ),
  });
  fc.assert(fc.property(anySettings, steps, simulate), { numRuns: 300 });
});

function simulate(of: BreakerSettings, course: readonly Step[]): void {
  let nowMs = 0;
  let state: BreakerState = closedBreaker(of, nowMs);
  /** Generations of calls in flight, oldest first. */
  const inFlight: number[] = [];
  let openedMs = Number.NEGATIVE_INFINITY;
  let successesHalfOpen = 0;
  for (const { waitMs, act } of course) {
    nowMs += waitMs;
    const event = eventOf(act, nowMs, inFlight);
    if (event === null) continue;
    const before = state;
    const [next, effects] = stepBreaker(of, before, event);
    for (const effect of effects) {
      if (effect.kind === "changed" && effect.to === "open") openedMs = nowMs;
      if (effect.kind === "changed" && effect.to === "half-open") successesHalfOpen = 0;
      if (effect.kind === "admitted") {
        assert.ok(next.mode !== "open", "1: open admits nothing");
        assert.ok(next.mode !== "half-open" || next.counts.requests <= of.maxRequests, "2: half-open admits no more than it may");
        assert.equal(effect.generation, next.generation);
        inFlight.push(effect.generation);
      }
      if (effect.kind === "refused") {
        assert.ok(next.mode !== "closed", "1: closed refuses nothing");
        assert.ok(next.mode !== "open" || nowMs <= openedMs + of.timeoutMs, "1: open refuses only for its time");
      }
    }
    const isCurrent = event.kind === "result" && event.generation === before.generation && before.mode === "half-open";
    if (isCurrent && event.success) successesHalfOpen++;
    const hasClosed = effects.some((effect) => effect.kind === "changed" && effect.to === "closed");
    assert.ok(!hasClosed || successesHalfOpen >= of.maxRequests, "2: closes only after enough successes");
    if (event.kind === "result" && event.generation !== next.generation && before.generation === next.generation) {
      assert.deepEqual(next.counts, before.counts, "3: the past does not count");
    }
    const { requests, totalFailures, totalSuccesses } = next.counts;
    assert.ok(totalFailures + totalSuccesses <= requests);
    state = next;
  }
}

function eventOf(act: Step["act"], nowMs: number, inFlight: number[]): BreakerEvent | null {
  if (act === "look" || act === "request") return { kind: act, nowMs };
  const generation = inFlight.shift();
  return generation === undefined ? null : { kind: "result", nowMs, generation, success: act === "succeed" };
}
