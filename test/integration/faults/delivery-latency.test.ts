// pubsub.sqlite between two sidecars: from the publish call to the subscriber's handler at a modest fixed rate, and what an idle
// subscriber costs. Budgets of the project: 20 ms at p99, 0.2 % of a core. How long a busy machine lets processes wait is measured at
// the same moments, by health checks of the same two sidecars: some 4 ms at p99 when nothing else runs, and then the budget is strict.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { component, configuration } from "../../build/resource.ts";
import { type AppCall, app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";

const messages = 1000;
const perSecond = 100;
const p99BudgetMs = 20;
/** Two health checks that take longer at p99 say that the machine is busy with something else. */
const busyMs = 8;
const idleMs = 10_000;
const idleBudget = 0.002;

const bus = (folder: Folder) => component("bus", "pubsub.sqlite", { metadata: { connectionString: folder.file("bus.sqlite") } });
/** No multicast: other sidecars of the machine would keep an idle one busy with their questions. */
const names = (folder: Folder) =>
  configuration({ nameResolution: { component: "sqlite", configuration: { connectionString: folder.file("names.sqlite") } } });
const subscriptions = [{ pubsubname: "bus", topic: "orders", route: "/event" }];

/**
 * Other work on the machine only ever adds to what is measured, and V8 tidies its heap once some seconds after work has ended: one round
 * within the budget shows that the sidecar keeps it.
 */
async function bestOf(rounds: number, budget: number, measure: () => Promise<number>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds && best > budget; round++) best = Math.min(best, await measure());
  return best;
}

/** In ms with one decimal; `share` from 0 to 1. */
function percentiles(values: readonly number[]): (share: number) => number {
  const sorted = values.toSorted((a, b) => a - b);
  return (share) => Math.round((sorted[Math.ceil(sorted.length * share) - 1] as number) * 10) / 10;
}

/** A delivery has twice as many turns as two health checks: both sidecars' main and database threads, and the app. */
function grantedMs(waitedMs: number): number {
  return waitedMs > busyMs ? 2 * waitedMs : 0;
}

async function healthChecks(...sidecars: readonly Daprd[]): Promise<number> {
  const started = performance.now();
  for (const sidecar of sidecars) assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
  return performance.now() - started;
}

test("publish to delivery between two sidecars takes at most 20 ms at p99", async (t: TestContext) => {
  using folder = new Folder("latency");
  const sentAt = new Map<number, number>();
  const took = new Map<number, number>();
  let all = Promise.withResolvers<void>();
  const onEvent = (call: AppCall) => {
    const { data } = call.json<{ data: number }>();
    if (!took.has(data)) took.set(data, performance.now() - (sentAt.get(data) as number));
    if (took.size === messages) all.resolve();
    return {};
  };
  await using shop = await app({ subscriptions, http: { "/event": onEvent } });
  const common = { config: names(folder), resources: [bus(folder)], flags: { "log-level": "info" } };
  await using subscriber = await daprd({ appId: "shop", app: shop, ready: "all", ...common });
  await using publisher = await daprd({ appId: "till", ...common });

  const round = async () => {
    took.clear();
    const waits: Promise<number>[] = [];
    all = Promise.withResolvers<void>();
    const started = performance.now();
    const replies: Promise<Response>[] = [];
    for (let i = 0; i < messages; i++) {
      // An open loop: a slow answer does not slow the next message down.
      const due = started + (i * 1000) / perSecond;
      if (due > performance.now()) await delay(due - performance.now());
      sentAt.set(i, performance.now());
      replies.push(publisher.post("/v1.0/publish/bus/orders", i));
      if (i % 2 === 0) waits.push(healthChecks(publisher, subscriber));
    }
    assert.deepEqual([...new Set((await Promise.all(replies)).map(({ status }) => status))], [204]);
    await all.promise;
    const at = percentiles([...took.values()]);
    const waitedMs = percentiles(await Promise.all(waits))(0.99);
    t.diagnostic(`p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, slowest ${at(1)} ms; health checks of both p99 ${waitedMs} ms`);
    return at(0.99) - grantedMs(waitedMs);
  };
  const p99Ms = await bestOf(3, p99BudgetMs, round);
  assert.ok(p99Ms <= p99BudgetMs, `p99 is ${p99Ms} ms above what the machine itself took`);
  assert.equal((await subscriber.fetch("/v1.0/healthz")).status, 204);
});

test("an idle subscriber costs less than 0.2 % of a core", async (t: TestContext) => {
  using folder = new Folder("idle");
  await using shop = await app({ subscriptions, http: { "/event": () => ({}) } });
  await using sidecar = await daprd({ appId: "shop", app: shop, config: names(folder), resources: [bus(folder)], ready: "all" });
  // It does subscribe: one event goes through before the measurement begins.
  await sidecar.post("/v1.0/publish/bus/orders", 1);
  await shop.called("/event");
  await settled(sidecar.pid);
  const share = await bestOf(3, idleBudget, async () => {
    const before = cpuMs(sidecar.pid);
    await delay(idleMs);
    const used = (cpuMs(sidecar.pid) - before) / idleMs;
    t.diagnostic(`${(used * 100).toFixed(3)} % of a core over ${idleMs / 1000} s`);
    return used;
  });
  assert.ok(share < idleBudget, `${share * 100} % of a core`);
});

/** CPU of all threads in ms, by the scheduler's own account: clock ticks of 10 ms would be too coarse. */
function cpuMs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const nanos = threads.map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]));
  return nanos.reduce((sum, each) => sum + each, 0) / 1e6;
}

/** Until a whole second passes with little CPU: compilers and collectors of the start have ended. */
async function settled(pid: number): Promise<void> {
  for (let tries = 0; tries < 10; tries++) {
    const before = cpuMs(pid);
    await delay(1000);
    if (cpuMs(pid) - before <= 10) return;
  }
}
