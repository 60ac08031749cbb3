import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../kit/fake-clock.ts";
import { silentLogger } from "../telemetry/log.ts";
import { FakeKubeApi } from "./fake-api.ts";
import { Leader } from "./leader.ts";
import { decide, holderOf, leaseSpec, leaseTimes, observe } from "./lease.ts";
import type { KubeObject } from "./object.ts";
import { kubeResources } from "./resource.ts";

const { leases } = kubeResources;
const lease = (spec: object, resourceVersion = "1"): KubeObject => ({ metadata: { name: "l", resourceVersion }, spec });

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("a Lease of another is taken only after we saw it unchanged for its own duration", () => {
  const held = lease({ holderIdentity: "other", leaseDurationSeconds: 20, renewTime: "a" });
  const seen = observe(null, held, 1000);
  assert.equal(decide(held, seen, "me", 20_999, leaseTimes), "wait");
  assert.equal(decide(held, seen, "me", 21_000, leaseTimes), "take");
  const renewed = lease({ holderIdentity: "other", leaseDurationSeconds: 20, renewTime: "b" }, "2");
  assert.equal(decide(renewed, observe(seen, renewed, 21_000), "me", 21_000, leaseTimes), "wait");
  assert.deepEqual(observe(seen, held, 9_000), seen);
});

test("none is created, ours renewed, a free one taken; transitions count changes of hands", () => {
  assert.equal(decide(null, null, "me", 0, leaseTimes), "create");
  assert.equal(decide(lease({ holderIdentity: "me" }), null, "me", 0, leaseTimes), "renew");
  assert.equal(decide(lease({ holderIdentity: "" }), null, "me", 0, leaseTimes), "take");
  const taken = leaseSpec("take", lease({ holderIdentity: "", leaseTransitions: 2 }), "me", 0, leaseTimes);
  assert.deepEqual([taken.leaseTransitions, taken.renewTime], [3, "1970-01-01T00:00:00.000000Z"]);
  assert.equal(leaseSpec("renew", lease({ acquireTime: "then", leaseTransitions: 2 }), "me", 0, leaseTimes).acquireTime, "then");
});

/** Two candidates on one API and one clock, and who of them leads. */
async function election() {
  const api = await FakeKubeApi.start();
  const clock = new FakeClock();
  const leading = new Set<string>();
  let most = 0;
  const candidate = (identity: string) => {
    const client = api.client();
    const stop = new AbortController();
    const lead = async (signal: AbortSignal) => {
      leading.add(identity);
      most = Math.max(most, leading.size);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      leading.delete(identity);
    };
    const leader = new Leader({ client, namespace: "n", name: "l", identity, lead, log: silentLogger, clock });
    const done = leader.run(stop.signal).finally(() => client.close());
    return {
      leader,
      stop: async () => {
        stop.abort(new Error("over"));
        await done;
      },
    };
  };
  return { api, clock, leading, candidate, most: () => most };
}

test("one leads at a time; when it goes, the other takes over at once", async () => {
  const { api, clock, leading, candidate, most } = await election();
  const one = candidate("one");
  await until(() => leading.has("one"));
  const two = candidate("two");
  await clock.untilWaiting(2);
  await clock.advance(leaseTimes.retryMs);
  await one.stop();
  assert.equal(holderOf(api.find(leases, "n", "l") as KubeObject), "");
  await clock.untilWaiting(1);
  await clock.advance(leaseTimes.retryMs);
  await until(() => leading.has("two"));
  await two.stop();
  assert.equal(most(), 1);
  await api[Symbol.asyncDispose]();
});

test("a leader that cannot renew steps down before another may take over", async () => {
  const { api, clock, leading, candidate } = await election();
  const one = candidate("one");
  await until(() => leading.has("one"));
  api.fail("GET", /leases/, 403, 1000);
  for (let passed = 0; passed < leaseTimes.renewDeadlineMs; passed += leaseTimes.retryMs) {
    await clock.untilWaiting(1);
    await clock.advance(leaseTimes.retryMs);
  }
  await until(() => leading.size === 0);
  assert.ok(leaseTimes.renewDeadlineMs < leaseTimes.durationMs);
  await one.stop();
  await api[Symbol.asyncDispose]();
});

test("a Lease that may not be written is tried until it may", async () => {
  const { api, clock, leading, candidate } = await election();
  api.fail("POST", /leases/, 403, 2);
  const one = candidate("one");
  for (let turn = 0; turn < 2; turn++) {
    await clock.untilWaiting(1);
    await clock.advance(leaseTimes.retryMs);
  }
  await until(() => leading.has("one"));
  await one.stop();
  await api[Symbol.asyncDispose]();
});
