import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { responseEnd } from "./load/client.ts";
import { openLoop } from "./load/open-loop.ts";
import { parseWrk } from "./load/saturate.ts";
import { budgetLines, mergeSamples, resultTable, withRatio } from "./result.ts";
import { median, percentile, untilSteady } from "./stats.ts";

test("medians and percentiles", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.equal(percentile(hundred, 0.99), 99);
  assert.equal(percentile(hundred, 0.5), 50);
  assert.equal(percentile([7], 0.99), 7);
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true }), { minLength: 1 }), fc.double({ min: 0, max: 1, noNaN: true }), (values, share) => {
      const found = percentile(values, share);
      assert.ok(values.filter((value) => value <= found).length >= share * values.length);
    }),
  );
});

test("rows are medians with nginx as the unit", () => {
  const sample = { rps: 10, p50Ms: 1, p99Ms: 2, cpuMicros: 30, residentMb: 50 };
  const merged = mergeSamples([sample, { ...sample, rps: 30, cpuMicros: 20 }, { ...sample, rps: 20, cpuMicros: 100 }]);
  assert.deepEqual(merged, { rps: 20, p50Ms: 1, p99Ms: 2, cpuMicros: 30, residentMb: 50 });
  assert.equal(withRatio("w", "s", merged, 10).nginxRatio, 3);
  assert.equal(withRatio("w", "s", merged, null).nginxRatio, null);
  assert.equal(withRatio("idle", "s", { ...merged, rps: null }, 10).nginxRatio, null);
  assert.equal(mergeSamples([]).rps, null);
});

test("the table shows every column", () => {
  const row = withRatio("start", "s", { rps: null, p50Ms: 100, p99Ms: 100, cpuMicros: 5, residentMb: 50 }, 10);
  const [head, line] = resultTable([row]).split("\n") as [string, string];
  assert.match(head, /^work +subject +rps +p50Ms +p99Ms +cpuMicros +nginxRatio +residentMb$/);
  assert.match(line, /^start +s +- +100 +100 +5 +- +50$/);
});

test("below the table stand the ratio of the mesh to plain text, and what sentry signs", () => {
  const sample = { rps: 600, p50Ms: 1, p99Ms: 2, cpuMicros: 20, residentMb: 50 };
  const plain = withRatio("http-invoke-2", "s", sample, 10);
  const mesh = withRatio("mtls-invoke-2", "s", { ...sample, cpuMicros: 24 }, 10);
  const sign = withRatio("sentry-sign", "s", sample, 10);
  const other = withRatio("http-invoke-2", "t", { ...sample, cpuMicros: 1 }, 10);
  assert.deepEqual(budgetLines([other, plain, mesh, sign]), [
    "mtls-invoke-2 of s: 1.20 x http-invoke-2 (budget: at most 1.25)\n",
    "sentry-sign of s: 600 a second on one core (budget: at least 500)\n",
  ]);
  assert.deepEqual(budgetLines([mesh, withRatio("sentry-sign", "s", mergeSamples([]), 10)]), []);
});

test("a subject is warm when a slice no longer costs a tenth less than the one before", async () => {
  const slices = async (costs: readonly number[], max: number) => {
    let used = 0;
    await untilSteady(() => Promise.resolve(costs[used++] as number), max);
    return used;
  };
  assert.equal(await slices([100, 80, 60, 55, 50], 10), 4);
  assert.equal(await slices([100, 120, 10], 10), 2);
  assert.equal(await slices([100, 50, 25, 12], 3), 3);
  assert.equal(await slices([100, 50], 1), 1);
});

test("wrk's words are read, and its errors are errors", () => {
  assert.deepEqual(parseWrk("  33784 requests in 1.10s, 5.00MB read\nRequests/sec: 30000"), { requests: 33784, seconds: 1.1 });
  assert.throws(() => parseWrk("10 requests in 1.00s\n  Non-2xx or 3xx responses: 4"), /met errors/);
  assert.throws(() => parseWrk("10 requests in 1.00s\n  Socket errors: connect 1"), /met errors/);
  assert.throws(() => parseWrk(""), /nothing of requests/);
});

test("the end of a response is found however it arrives", () => {
  const sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  const chunked = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  const empty = "HTTP/1.1 204 No Content\r\n\r\n";
  for (const [text, status] of [
    [sized, 200],
    [chunked, 201],
    [empty, 204],
  ] as const) {
    assert.deepEqual(responseEnd(text), { status });
    assert.equal(responseEnd(text.slice(0, -1)), null);
  }
});

/** Time that only moves when somebody waits. */
function stepTiming(stallAtMs: number, stallMs: number) {
  let now = 0;
  return {
    now: () => now,
    until: async (at: number) => {
      // Answers that are ready are counted before time moves on.
      await new Promise((resolve) => setImmediate(resolve));
      now = Math.max(now, at);
      if (stallMs > 0 && now >= stallAtMs) {
        now += stallMs;
        stallMs = 0;
      }
    },
  };
}

test("the open loop sends what is due, and a stall counts for every request that was due meanwhile", async () => {
  const steady = await openLoop(() => Promise.resolve(), 1000, 0.1, stepTiming(0, 0));
  assert.equal(steady.length, 100);
  const stalled = await openLoop(() => Promise.resolve(), 1000, 0.1, stepTiming(50, 30));
  assert.equal(stalled.length, 100);
  assert.equal(stalled.filter((latency) => latency >= 1).length, 30);
  assert.ok(Math.max(...stalled) >= 30);
});

test("a wrong answer ends the open loop", async () => {
  await assert.rejects(
    openLoop(() => Promise.reject(new Error("status 500")), 1000, 0.01, stepTiming(0, 0)),
    /status 500/,
  );
});
