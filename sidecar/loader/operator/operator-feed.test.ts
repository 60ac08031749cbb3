import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { FakeClock } from "../../../lib/kit/fake-clock.ts";
import { connectGrpc } from "../../../lib/wire/grpc/client.ts";
import { silentLog } from "../../../lib/wire/log.ts";
import { type Change, isListing, type Listing } from "../reload/feed.ts";
import { keptLog } from "../test-surroundings.ts";
import { OperatorFeed } from "./operator-feed.ts";
import { GrpcCode, refusal, TestOperator } from "./test-operator.ts";

const never = new AbortController().signal;

const component = (name: string, more: object = {}) => ({
  apiVersion: "dapr.io/v1alpha1",
  kind: "Component",
  metadata: { name, creationTimestamp: null },
  spec: { type: "state.in-memory", version: "v1", metadata: null, initTimeout: "" },
  auth: { secretStore: "" },
  ...more,
});

interface Scene extends AsyncDisposable {
  readonly operator: TestOperator;
  readonly feed: OperatorFeed;
  readonly clock: FakeClock;
  readonly lines: string[];
  /** `CREATED Component a`, or `listed Component a,b`. */
  readonly heard: string[];
  watch(): Promise<void>;
  /** Turns of the loop until something more was heard or said. */
  until(what: () => boolean): Promise<void>;
}

async function scene(configuration = "tracing"): Promise<Scene> {
  const operator = new TestOperator();
  await operator.start();
  const clock = new FakeClock();
  const { log, lines } = keptLog();
  const heard: string[] = [];
  const stop = new AbortController();
  const feed = new OperatorFeed({
    appId: "app1",
    namespace: "ns1",
    namespaceGiven: true,
    configuration,
    clock,
    log,
    random: () => 0.5,
    connect: () =>
      connectGrpc({
        target: { host: "127.0.0.1", port: operator.port },
        maxReceiveBytes: 1 << 22,
        maxSendBytes: 1 << 22,
        userAgent: "test",
        log: silentLog,
      }),
  });
  const hear = (change: Change | Listing) => {
    if (!isListing(change)) return void heard.push(`${change.type} ${change.kind} ${change.name}`);
    for (const [kind, resources] of Object.entries(change)) {
      if (Array.isArray(resources))
        heard.push(`listed ${kind} ${resources.map(({ name }) => name).join()}${change.complete ? "" : " and more"}`);
    }
  };
  return {
    operator,
    feed,
    clock,
    lines,
    heard,
    watch: () => feed.watch(hear, (error) => assert.fail(String(error)), stop.signal),
    async until(what) {
      while (!what()) await turn();
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the test is over"));
      await Promise.all([feed.close(), operator.stop()]);
    },
  };
}

test("lists what concerns this app; what cannot be read is left out by name", async () => {
  await using on = await scene();
  on.operator.resources.Component.push(
    component("a"),
    component("other-app", { scopes: ["app2"] }),
    component("other-namespace", { metadata: { name: "x", namespace: "ns2" } }),
    component("bad", { spec: { type: "" } }),
    "no json",
  );
  on.operator.resources.Subscription.push({
    metadata: { name: "s" },
    spec: { pubsubname: "p", topic: "t", routes: { default: "/t" } },
  } as never);
  const resources = await on.feed.load(never);
  assert.deepEqual(
    resources.components.map(({ name }) => name),
    ["a"],
  );
  assert.deepEqual(resources.subscriptions[0]?.rules, [{ match: "", path: "/t" }]);
  assert.deepEqual(on.operator.asked, ["listComponents ns1", "listSubscriptionsV2 ns1", "listHTTPEndpoints ns1", "listResiliency ns1"]);
  assert.ok(on.lines.some((line) => line.startsWith("warning Component bad from the operator is left out: spec.type")));
  assert.ok(on.lines.some((line) => line.startsWith("warning Component from the operator is left out:")));
  assert.equal((await on.feed.list(never)).complete, false);
});

test("the Configuration by its name; without one the default; a missing or wrong one ends the start", async () => {
  await using on = await scene();
  await assert.rejects(on.feed.configuration(never), {
    name: "LoadError",
    message: "error loading configuration: configuration tracing not found",
  });
  on.operator.resources.Configuration.push({ metadata: { name: "tracing" }, spec: { tracing: { samplingRate: "0.5" } } } as never);
  assert.equal((await on.feed.configuration(never)).tracing.samplingRate, "0.5");
  on.operator.resources.Configuration.splice(0, 1, { metadata: { name: "tracing" }, spec: { accessControl: 5 } } as never);
  await assert.rejects(on.feed.configuration(never), /error loading configuration: spec\.accessControl/);
  await using none = await scene("");
  assert.equal((await none.feed.configuration(never)).name, "default");
  assert.deepEqual(none.operator.asked, []);
});

test("waits for an operator that is not there, and says so once", async () => {
  await using on = await scene();
  on.operator.refused.set("listComponents", refusal(GrpcCode.UNAVAILABLE, "starting"));
  const loading = on.feed.load(never);
  for (let tries = 0; tries < 3; tries++) {
    await on.clock.untilWaiting();
    await on.clock.advance(10_000);
  }
  on.operator.refused.clear();
  await on.clock.untilWaiting();
  await on.clock.advance(10_000);
  assert.deepEqual((await loading).components, []);
  const waiting = "warning Waiting for the operator, which did not answer for Component resources: starting";
  assert.deepEqual(
    on.lines.filter((line) => line.includes("Waiting for the operator")),
    [waiting],
  );
});

test("a refusal ends the start for components and subscriptions, and costs only itself for the rest", async () => {
  await using on = await scene();
  on.operator.refused.set("listHTTPEndpoints", refusal(GrpcCode.PERMISSION_DENIED, "no"));
  on.operator.refused.set("listResiliency", refusal(GrpcCode.UNIMPLEMENTED, "what"));
  assert.deepEqual((await on.feed.load(never)).httpEndpoints, []);
  assert.ok(on.lines.includes("warning failed to load HTTPEndpoint resources from the operator: no"));
  on.operator.refused.set(
    "listSubscriptionsV2",
    refusal(GrpcCode.INTERNAL, "grpc: error while marshaling: proto: Marshal called with nil"),
  );
  assert.deepEqual((await on.feed.load(never)).subscriptions, []);
  on.operator.refused.set("listComponents", refusal(GrpcCode.PERMISSION_DENIED, "not your namespace"));
  await assert.rejects(on.feed.load(never), /failed to load Component resources from the operator: not your namespace/);
});

test("hears of changes; what leaves the scope is gone, and Configurations of others are nothing", async () => {
  await using on = await scene();
  await on.watch();
  await Promise.all([on.operator.untilWatched("Component"), on.operator.untilWatched("Configuration")]);
  on.operator.tell("Component", "CREATED", component("a"));
  on.operator.tell("Component", "UPDATED", "no json");
  on.operator.tell("Component", "UPDATED", component("a", { scopes: ["app2"] }));
  on.operator.tell("Component", "DELETED", component("b"));
  await on.until(() => on.heard.length === 3);
  on.operator.tell("Configuration", "UPDATED", { metadata: { name: "daprsystem" } });
  on.operator.tell("Configuration", "UPDATED", { metadata: { name: "tracing" } });
  await on.until(() => on.heard.length === 4);
  assert.deepEqual(on.heard, ["CREATED Component a", "DELETED Component a", "DELETED Component b", "UPDATED Configuration tracing"]);
});

test("an operator that restarts is found again, and what happened meanwhile is listed", async () => {
  await using on = await scene();
  await on.watch();
  await on.operator.untilWatched("Component");
  await on.operator.stop();
  const broken = () => on.lines.filter((line) => line.startsWith("error Error from operator stream"));
  await on.clock.untilWaiting(5);
  assert.equal(broken().length, 5);
  on.operator.resources.Component.push(component("new"));
  // Still away: tried again, without a line for every try.
  await on.clock.advance(500);
  await on.clock.untilWaiting(5);
  assert.equal(broken().length, 5);
  await on.operator.start();
  await on.clock.advance(750);
  await on.until(() => on.heard.includes("listed Component new"));
  assert.ok(on.lines.includes("info Reconnected to operator"));
  on.operator.tell("Component", "UPDATED", component("new"));
  await on.until(() => on.heard.includes("UPDATED Component new"));
});

test("a stream that the operator does not know is given up", async () => {
  await using on = await scene();
  on.operator.refused.set("watchResiliency", refusal(GrpcCode.UNIMPLEMENTED, "unknown method"));
  await on.watch();
  const line = "warning Resiliency HotReloading is not supported by the Dapr control plane. Resiliency updates will not be Hot Reloaded.";
  await on.until(() => on.lines.includes(line));
  assert.equal(on.clock.waiting, 0);
});
