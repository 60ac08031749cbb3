import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import { HealthProbes } from "./health-probes.ts";
import { initialHealth, onProbe } from "./health-state.ts";
import { waitForPort } from "./wait-for-port.ts";

test("unhealthy until the first good probe; then it takes `threshold` failures in a row", () => {
  let state = initialHealth(3);
  assert.equal(state.healthy, false);
  const outcomes = [false, true, false, false, true, false, false, false, false, true];
  const changes = outcomes.map((outcome) => {
    const step = onProbe(state, outcome, 3);
    state = step.state;
    return step.changed ? (step.state.healthy ? "up" : "down") : "";
  });
  assert.deepEqual(changes, ["", "up", "", "", "", "", "", "down", "", "up"]);
});

test("probes run at once and every interval; one that hangs is cut off and counts as failed", async () => {
  const clock = new FakeClock();
  const changes: boolean[] = [];
  let behaviour: "good" | "hang" = "good";
  let count = 0;
  const probe = (signal: AbortSignal): Promise<void> => {
    count++;
    if (behaviour === "good") return Promise.resolve();
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  const probes = new HealthProbes({ intervalMs: 5000, timeoutMs: 500, threshold: 1 }, probe, clock, silentLogger, (now) =>
    changes.push(now),
  );
  probes.start();
  await clock.advance(0);
  assert.deepEqual([count, changes], [1, [true]]);
  behaviour = "hang";
  await clock.advance(5000);
  assert.equal(count, 2);
  await clock.advance(500);
  assert.deepEqual(changes, [true, false]);
  behaviour = "good";
  await clock.advance(4500);
  assert.deepEqual([count, changes], [3, [true, false, true]]);
  probes.stop();
  assert.equal(clock.waiting, 0);
});

test("the port is dialled until it accepts", async () => {
  const clock = new FakeClock();
  let tries = 0;
  const wait = waitForPort("h", 1, clock, silentLogger, new AbortController().signal, async () => ++tries === 3);
  await clock.untilWaiting();
  await clock.advance(100);
  await clock.untilWaiting();
  await clock.advance(100);
  await wait;
  assert.equal(tries, 3);
});
