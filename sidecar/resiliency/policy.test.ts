import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import { BreakerRefusal, type StatusCarrier, TimeoutFailure } from "../contract/failure.ts";
import type { Policy } from "../contract/ports.ts";
import type { RetryPlan } from "./backoff.ts";
import { Circuit } from "./circuit.ts";
import { createPolicy, type PolicyParts } from "./policy.ts";
import type { PolicyCounters } from "./ports.ts";

const never = new AbortController().signal;
const threeMore: RetryPlan = { kind: "constant", delayMs: 10, maxDelayMs: 10, maxRetries: 3, maxElapsedMs: 0, http: null, grpc: null };

class Counted implements PolicyCounters {
  readonly words: string[] = [];
  executed(type: string, status: string) {
    this.words.push(`executed ${type}${status && ` ${status}`}`);
  }
  activated(type: string, status: string) {
    this.words.push(`activated ${type}${status && ` ${status}`}`);
  }
}

class Failed extends Error implements StatusCarrier {
  readonly httpStatus: number;
  readonly grpcCode = null;
  constructor(status: number) {
    super(`status ${status}`);
    this.httpStatus = status;
  }
}

function setup(parts: Partial<PolicyParts>, breakerTrips?: number) {
  const clock = new FakeClock();
  const counters = new Counted();
  const settings = {
    maxRequests: 1,
    intervalMs: 0,
    timeoutMs: 5000,
    trips: (c: { consecutiveFailures: number }) => c.consecutiveFailures >= (breakerTrips ?? 0),
  };
  const circuit = breakerTrips === undefined ? null : new Circuit("c", settings, clock, silentLogger);
  const ports = { clock, chance: () => 0.5, log: silentLogger };
  const policy = createPolicy({ name: "op", timeoutMs: 0, retry: null, circuit, counters, ...parts }, ports) as Policy;
  return { clock, counters, policy };
}

/** Lets time pass until `run` is settled. */
async function through<T>(clock: FakeClock, run: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  run.then(over, over);
  while (!isOver) await clock.advance(10);
  return run;
}

test("without any part there is no policy", () => {
  const ports = { clock: new FakeClock(), chance: Math.random, log: silentLogger };
  assert.equal(createPolicy({ name: "", timeoutMs: 0, retry: null, circuit: null, counters: null }, ports), null);
});

test("only what matching names is tried again; a failure without a status always is", async () => {
  const { clock, policy } = setup({ retry: { ...threeMore, http: [{ from: 500, to: 503 }] } });
  const tries = async (failure: Error) => {
    let count = 0;
    const run = policy.run(async () => {
      count++;
      throw failure;
    }, never);
    await assert.rejects(through(clock, run), failure);
    return count;
  };
  assert.deepEqual([await tries(new Failed(500)), await tries(new Failed(404)), await tries(new Error("no connection"))], [4, 1, 4]);
});

test("what cannot be sent again is not, and dropped failures are handed over", async () => {
  const { clock, policy } = setup({ retry: threeMore });
  const dropped: unknown[] = [];
  let count = 0;
  const run = policy.run(
    async () => {
      throw new Error(String(++count));
    },
    never,
    { mayRetry: () => count < 3, discard: (failure) => dropped.push((failure as Error).message) },
  );
  await assert.rejects(through(clock, run), /3/);
  assert.deepEqual(dropped, ["1", "2"]);
});

test("each attempt has its own time, and the failure is Go's; timeout and retry are counted once a run", async () => {
  const { clock, counters, policy } = setup({ timeoutMs: 100, retry: { ...threeMore, maxRetries: 1 } });
  const aborted: unknown[] = [];
  const run = policy.run((signal) => {
    signal.addEventListener("abort", () => aborted.push(signal.reason instanceof TimeoutFailure));
    return new Promise(() => {});
  }, never);
  await assert.rejects(through(clock, run), { message: "context deadline exceeded" });
  assert.deepEqual(aborted, [true, true]);
  assert.deepEqual(counters.words, ["executed timeout", "executed retry", "activated timeout", "activated retry"]);
});

test("a result after the time is handed over, and a stream that goes on is cut", async () => {
  const { clock, policy } = setup({ timeoutMs: 100 });
  const late = Promise.withResolvers<string>();
  const dropped: unknown[] = [];
  const run = policy.run(() => late.promise, never, { discard: (result) => dropped.push(result) });
  await assert.rejects(through(clock, run), TimeoutFailure);
  late.resolve("late");
  await clock.advance(0);
  assert.deepEqual(dropped, ["late"]);

  const body = new Readable({ read() {} });
  const failed = new Promise((resolve) => body.once("error", resolve));
  assert.equal(await policy.run(async () => body, never, { stream: (result) => result as Readable }), body);
  await clock.advance(100);
  assert.ok((await failed) instanceof TimeoutFailure);
});

test("a failure whose answer still streams is told at once and cut in time", async () => {
  const { clock, policy } = setup({ timeoutMs: 100 });
  const body = new Readable({ read() {} });
  const cut = new Promise((resolve) => body.once("error", resolve));
  const failure = Object.assign(new Failed(500), { body });
  const stream = (outcome: unknown) => (outcome as typeof failure).body;
  await assert.rejects(
    policy.run(() => Promise.reject(failure), never, { stream }),
    failure,
  );
  await clock.advance(100);
  assert.ok((await cut) instanceof TimeoutFailure);
});

test("a stream that ends in time frees the clock; leaving ends the attempt with the caller's reason", async () => {
  const { clock, policy } = setup({ timeoutMs: 100 });
  const body = Readable.from(["x"]);
  await policy.run(async () => body, never, { stream: (result) => result as Readable });
  await body.toArray();
  await clock.advance(0);
  assert.equal(clock.waiting, 0);

  const leaving = new AbortController();
  const run = policy.run(() => new Promise(() => {}), leaving.signal);
  leaving.abort(new Error("left"));
  await assert.rejects(run, /left/);
  assert.equal(clock.waiting, 0);
});

test("an operation that throws instead of promising frees the clock as well", async () => {
  const { clock, policy } = setup({ timeoutMs: 100 });
  const throwing = () => {
    throw new Error("at once");
  };
  await assert.rejects(policy.run(throwing, never), /at once/);
  assert.equal(clock.waiting, 0);
});

test("an open breaker ends the retries at once; its modes are counted as Dapr counts them", async () => {
  const { clock, counters, policy } = setup({ retry: threeMore }, 2);
  let calls = 0;
  const run = policy.run(async () => {
    calls++;
    throw new Error("down");
  }, never);
  await assert.rejects(
    through(clock, run),
    (failure) => failure instanceof BreakerRefusal && failure.message === "circuit breaker is open",
  );
  assert.equal(calls, 2);
  assert.deepEqual(counters.words, [
    "executed retry",
    "executed circuitbreaker closed",
    "activated retry",
    "activated circuitbreaker open",
  ]);
  counters.words.length = 0;
  await clock.advance(5001);
  assert.equal(await policy.run(async () => "up", never), "up");
  assert.deepEqual(counters.words, ["executed retry", "executed circuitbreaker half-open", "activated circuitbreaker closed"]);
});
