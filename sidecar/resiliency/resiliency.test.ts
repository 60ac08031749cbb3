import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { parseResiliency, type Resiliency } from "../../lib/resources/resiliency.ts";
import { parseYaml } from "../../lib/resources/yaml.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { BreakerRefusal } from "../contract/failure.ts";
import type { Policy } from "../contract/ports.ts";
import { Recent } from "./recent.ts";
import { createResilience } from "./resiliency.ts";

const never = new AbortController().signal;

class Lines {
  readonly lines: string[] = [];
  readonly log: Logger;
  constructor() {
    const add = (level: string) => (text: string) => void this.lines.push(`${level} ${text}`);
    const { debug, info, warn, error } = { debug: () => {}, info: add("info"), warn: add("warning"), error: add("error") };
    this.log = { debug, info, warn, error, fatal: error, scope: () => this.log } as unknown as Logger;
  }
}

function resource(spec: string, name = "mine"): Resiliency {
  const parsed = parseYaml(`apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: { name: ${name} }\nspec:\n${spec}`);
  assert.ok("value" in parsed);
  const { resource: resiliency, problems } = parseResiliency(parsed.value, "test");
  assert.ok(resiliency !== null, JSON.stringify(problems));
  return resiliency;
}

async function resilience(...specs: string[]) {
  const clock = new FakeClock();
  const { lines, log } = new Lines();
  const resources = specs.map((spec, i) => resource(spec, `r${i}`));
  const made = await createResilience(resources, { clock, chance: () => 0.5, log, metrics: null });
  return { ...made, clock, lines };
}

/** How often a failing operation runs under `policy`. */
async function attemptsUnder(policy: Policy | null, clock: FakeClock): Promise<number> {
  if (policy === null) return 1;
  let count = 0;
  let isOver = false;
  const run = policy
    .run(async () => {
      count++;
      throw new Error("down");
    }, never)
    .catch(() => {
      isOver = true;
    });
  while (!isOver) await clock.advance(1000);
  await run;
  return count;
}

const retries = (names: Record<string, number>) =>
  `  policies:\n    retries:\n${Object.entries(names)
    .map(([name, count]) => `      ${name}: { policy: constant, duration: 10ms, maxRetries: ${count} }\n`)
    .join("")}`;

test("without a resource nothing has a policy, and services are still tried again", async () => {
  const { policies, hasAppTarget, builtIn, clock } = await resilience();
  assert.deepEqual([policies.app("a", "m"), policies.inbound("c", "Pubsub"), policies.outbound("c", "Pubsub")], [null, null, null]);
  assert.equal(hasAppTarget("a"), false);
  let count = 0;
  const run = builtIn("DaprBuiltInServiceRetries")(
    async () => {
      if (++count < 3) throw new Error("not yet");
      return count;
    },
    () => true,
    never,
  );
  await clock.untilWaiting();
  await clock.advance(1000);
  await clock.advance(1000);
  assert.equal(await run, 3);
});

test("defaults apply from the most special name to the most general; an explicit target takes their place", async () => {
  const spec = `${retries({
    DefaultRetryPolicy: 1,
    DefaultComponentRetryPolicy: 2,
    DefaultComponentInboundRetryPolicy: 3,
    DefaultPubsubComponentInboundRetryPolicy: 4,
    five: 5,
  })}  targets:\n    components:\n      explicit: { outbound: { retry: five } }\n    apps:\n      plain: {}\n`;
  const { policies, hasAppTarget, clock } = await resilience(spec);
  const counts = [
    policies.app("any", "m"),
    policies.outbound("c", "Statestore"),
    policies.inbound("c", "Binding"),
    policies.inbound("c", "Pubsub"),
    policies.outbound("explicit", "Pubsub"),
    policies.inbound("explicit", "Pubsub"),
    policies.app("plain", "m"),
  ];
  const attempts = [];
  for (const policy of counts) attempts.push((await attemptsUnder(policy, clock)) - 1);
  assert.deepEqual(attempts, [1, 2, 3, 4, 5, 0, 0]);
  assert.deepEqual([hasAppTarget("plain"), hasAppTarget("any")], [true, false]);
});

test("App defaults are for apps alone, and later resources win", async () => {
  const { policies, clock } = await resilience(retries({ DefaultAppRetryPolicy: 1 }), retries({ DefaultAppRetryPolicy: 2 }));
  assert.equal(await attemptsUnder(policies.app("any", "m"), clock), 3);
  assert.equal(policies.outbound("c", "Statestore"), null);
});

const breakers = (trip: string, targets: string) =>
  `  policies:\n    circuitBreakers:\n      cb: { maxRequests: 1, timeout: 5s, trip: "${trip}" }\n  targets:\n${targets}`;

test("breakers of an app are per method, of a component per direction", async () => {
  const targets =
    "    apps:\n      a: { circuitBreaker: cb }\n    components:\n      c: { inbound: { circuitBreaker: cb }, outbound: { circuitBreaker: cb } }\n";
  const { policies, lines } = await resilience(breakers("consecutiveFailures >= 1", targets));
  const isOpen = async (policy: Policy | null) => {
    const failure = await policy?.run(async () => "fine", never).catch((error: unknown) => error);
    return failure instanceof BreakerRefusal;
  };
  const fail = (policy: Policy | null) =>
    assert.rejects(
      (policy as Policy).run(() => Promise.reject(new Error("down")), never),
      /down/,
    );
  await fail(policies.app("a", "one"));
  await fail(policies.inbound("c", "Pubsub"));
  assert.deepEqual(
    [
      await isOpen(policies.app("a", "one")),
      await isOpen(policies.app("a", "two")),
      await isOpen(policies.inbound("c", "Pubsub")),
      await isOpen(policies.outbound("c", "Pubsub")),
    ],
    [true, false, true, false],
  );
  assert.ok(lines.includes('info Circuit breaker "a:one" changed state from closed to open'));
  assert.ok(lines.includes('info Circuit breaker "cb-c" changed state from closed to open'));
});

test("a broken trip rule costs its resource; a doubtful one and unknown policies are said", async () => {
  const broken = breakers("consecutiveFailures >", "    apps:\n      a: { circuitBreaker: cb }\n");
  const doubtful = breakers("failures > 3", "    apps:\n      b: { circuitBreaker: cb, retry: nowhere }\n");
  const { policies, hasAppTarget, lines } = await resilience(broken, doubtful);
  assert.deepEqual([hasAppTarget("a"), policies.app("a", "m")], [false, null]);
  assert.notEqual(policies.app("b", "m"), null);
  const said = lines.filter((line) => !line.startsWith("info"));
  assert.equal(said.length, 3);
  assert.match(said[0] ?? "", /^error Could not read resiliency policy r0: the trip rule of circuit breaker cb is no CEL expression/);
  assert.match(said[1] ?? "", /^warning circuit breaker cb: its trip rule may never trip: /);
  assert.match(said[2] ?? "", /^warning resiliency target apps.b: no resource defines the retry policy 'nowhere'/);
});

test("built-in retries may be replaced, not weakened, and the protected one not at all", async () => {
  const { builtIn, clock, lines } = await resilience(retries({ DaprBuiltInServiceRetries: 1, DaprBuiltInActorNotFoundRetries: 9 }));
  let count = 0;
  const run = builtIn("DaprBuiltInServiceRetries")(
    async () => {
      count++;
      throw new Error("down");
    },
    () => true,
    never,
  );
  const failed = assert.rejects(run, /down/);
  for (let i = 0; i < 3; i++) {
    await clock.untilWaiting();
    await clock.advance(10);
  }
  await failed;
  assert.equal(count, 4);
  assert.ok(lines.some((line) => line.includes("did not meet minimum retry count, resetting to 3.")));
  assert.ok(lines.some((line) => line.startsWith("warning Attempted to override protected policy DaprBuiltInActorNotFoundRetries")));
});

test("names made up by callers push out the least recently used ones only", () => {
  const recent = new Recent<number>(3);
  let made = 0;
  const get = (key: string) => recent.get(key, () => ++made);
  for (const key of ["a", "b", "c", "a", "d"]) get(key);
  assert.deepEqual([recent.size, get("a"), get("c"), get("d"), get("b")], [3, 1, 3, 4, 5]);
});
