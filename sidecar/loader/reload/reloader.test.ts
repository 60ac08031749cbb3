import assert from "node:assert/strict";
import { test } from "node:test";
import { type Component, parseComponent } from "../../../lib/resources/component.ts";
import type { HttpEndpoint } from "../../../lib/resources/http-endpoint.ts";
import type { Subscription } from "../../../lib/resources/subscription.ts";
import { plainValue } from "../../../lib/resources/yaml.ts";
import { ComponentLoader } from "../component-loader.ts";
import { type Stage, stage } from "../test-surroundings.ts";
import type { Change, Listing, ResourceFeed } from "./feed.ts";
import { Reloader, type ReloaderPorts } from "./reloader.ts";

const never = new AbortController().signal;

function component(name: string, options: { type?: string; metadata?: unknown[]; ignoreErrors?: boolean } = {}): Component {
  const { type = "state.a", metadata = [], ignoreErrors = false } = options;
  const auth = { secretStore: "vault" };
  const value = { metadata: { name }, auth, spec: { type, version: "v1", metadata, ignoreErrors } };
  return parseComponent(plainValue(value), "test").resource as Component;
}

interface Scene {
  readonly on: Stage;
  readonly loader: ComponentLoader;
  readonly reloader: Reloader;
  /** restarts, failures and refreshes, in order. */
  readonly notes: string[];
  say(change: Change | Listing): Promise<void>;
  listed: Listing;
}

async function scene(
  initial: readonly Component[],
  options: Parameters<typeof stage>[0] = {},
  more: Partial<ReloaderPorts> = {},
): Promise<Scene> {
  const on = stage(options);
  const loader = new ComponentLoader(on.around);
  await loader.load(initial, never);
  const notes: string[] = [];
  let tell: (change: Change | Listing) => void = () => assert.fail("not watching");
  const made: { listed: Listing } = { listed: { complete: true } };
  const feed: ResourceFeed = {
    async watch(onChange) {
      tell = onChange;
    },
    list: async () => made.listed,
  };
  const reloader = new Reloader({
    feed,
    loader,
    initial: { subscriptions: [], httpEndpoints: [], resiliencies: [], configurations: [{ name: "c" }] },
    builtIn: ["kubernetes"],
    refreshSubscriptions: async () => void notes.push("refresh"),
    replaceEndpoints: async (endpoints) => void notes.push(`endpoints ${endpoints.map(({ name }) => name).join()}`),
    restart: (reason) => notes.push(reason),
    failed: (error) => notes.push(`failed: ${(error as Error).message}`),
    intervalMs: 60_000,
    clock: on.clock,
    log: on.around.log,
    ...more,
  });
  await reloader.start(never);
  const say = async (change: Change | Listing) => {
    tell(change);
    await reloader.settled();
  };
  return Object.assign(made, { on, loader, reloader, notes, say });
}

function running(loader: ComponentLoader): string[] {
  return loader.running().map(({ name, type }) => `${name} ${type}`);
}

test("single components come, change and go, and nothing else is touched", async () => {
  const { on, loader, notes, say, reloader } = await scene([component("kept"), component("a")]);
  on.events.length = 0;
  const resource = component("a", { type: "state.b" });
  await say({ kind: "Component", type: "UPDATED", name: "a", resource });
  await say({ kind: "Component", type: "UPDATED", name: "a", resource });
  await say({ kind: "Component", type: "CREATED", name: "new", resource: component("new") });
  await say({ kind: "Component", type: "DELETED", name: "a", resource });
  assert.deepEqual(on.events, ["close a", "init a", "init new", "close a"]);
  assert.deepEqual(running(loader), ["kept state.a", "new state.a"]);
  assert.deepEqual(new Set(notes), new Set(["refresh"]));
  assert.ok(on.lines.includes("info Closing existing Component to reload: a (state.a/v1)"));
  assert.ok(on.lines.includes("info Component updated: new (state.a/v1)"));
  await reloader.stop();
});

test("a listing replaces everything but what the sidecar added itself", async () => {
  const { loader, say, reloader } = await scene([component("kubernetes", { type: "secretstores.k" }), component("a"), component("b")]);
  await say({ Component: [component("b"), component("c")], complete: true });
  assert.deepEqual(running(loader), ["kubernetes secretstores.k", "b state.a", "c state.a"]);
  await say({ Component: [], complete: false });
  assert.equal(running(loader).length, 3);
  await reloader.stop();
});

test("calls in flight end before the driver closes; nobody finds it meanwhile", async () => {
  const gate = Promise.withResolvers<void>();
  const { on, loader, say, reloader } = await scene([component("vault", { type: "secretstores.k" })], {
    secrets: { s: { s: "1" } },
    beforeGet: () => gate.promise,
  });
  const store = loader.table("secretstores").get("vault");
  const call = store?.driver.get("s", {}, never);
  const said = say({ kind: "Component", type: "DELETED", name: "vault", resource: component("vault") });
  await on.clock.untilWaiting(2);
  assert.equal(loader.table("secretstores").get("vault"), undefined);
  assert.ok(!on.events.includes("close vault"));
  gate.resolve();
  await said;
  assert.deepEqual(await call, { s: "1" });
  assert.ok(on.events.includes("close vault"));
  await reloader.stop();
});

test("a call that never ends does not keep a component for ever", async () => {
  const { on, loader, say, reloader } = await scene([component("vault", { type: "secretstores.k" })], {
    beforeGet: () => new Promise<void>(() => {}),
  });
  void loader.table("secretstores").get("vault")?.driver.get("s", {}, never);
  const said = say({ kind: "Component", type: "DELETED", name: "vault", resource: component("vault") });
  await on.clock.untilWaiting(2);
  await on.clock.advance(30_000);
  await said;
  assert.ok(on.lines.includes("warning closing component vault (secretstores.k/v1) with 1 calls still in flight after 30s"));
  await reloader.stop();
});

test("a secret with a new value reloads its component at the next listing, and an unchanged one does not", async () => {
  const secrets = { s: { s: "one" } };
  const reference = [{ name: "password", secretKeyRef: { name: "s" } }];
  const components = [component("vault", { type: "secretstores.k" }), component("a", { metadata: reference })];
  const made = await scene(components, { secrets });
  const { on, reloader } = made;
  made.listed = { Component: components, complete: true };
  on.events.length = 0;
  await on.clock.untilWaiting();
  await on.clock.advance(60_000);
  await reloader.settled();
  assert.deepEqual(on.events, []);
  secrets.s.s = "two";
  await on.clock.untilWaiting();
  await on.clock.advance(60_000);
  await reloader.settled();
  assert.deepEqual(on.events, ["close a", "init a"]);
  assert.deepEqual(on.seen.get("a"), { password: "two" });
  await reloader.stop();
});

test("a component that waits for a secret store starts once with it, and is forgotten when it goes before", async () => {
  const waits = component("a", { metadata: [{ name: "p", secretKeyRef: { name: "s" } }] });
  const vault = component("vault", { type: "secretstores.k" });
  const { on, say, reloader, loader } = await scene([waits], { secrets: { s: { s: "1" } } });
  await say({ kind: "Component", type: "UPDATED", name: "a", resource: waits });
  await say({ kind: "Component", type: "CREATED", name: "vault", resource: vault });
  assert.deepEqual(on.events, ["init vault", "init a"]);
  await say({ kind: "Component", type: "DELETED", name: "vault", resource: vault });
  await say({
    kind: "Component",
    type: "UPDATED",
    name: "a",
    resource: component("a", { metadata: waits.metadata as unknown[], type: "state.b" }),
  });
  await say({ kind: "Component", type: "DELETED", name: "a", resource: waits });
  await say({ kind: "Component", type: "CREATED", name: "vault", resource: vault });
  assert.deepEqual(running(loader), ["vault secretstores.k"]);
  await reloader.stop();
});

test("a failure is said by name; with ignoreErrors the sidecar runs on, without it ends as Dapr does", async () => {
  const behaviour = async ({ name }: { name: string }) => assert.notEqual(name, "bad", "refused");
  const { loader, notes, say, reloader, on } = await scene([component("good")], { behaviour });
  await say({ kind: "Component", type: "CREATED", name: "bad", resource: component("bad", { ignoreErrors: true }) });
  assert.deepEqual(running(loader), ["good state.a"]);
  assert.ok(on.lines.some((line) => line.startsWith("error Ignoring error processing component: process component bad error")));
  assert.ok(!notes.some((note) => note.startsWith("failed")));
  await say({ kind: "Component", type: "UPDATED", name: "bad", resource: component("bad") });
  assert.match(notes.find((note) => note.startsWith("failed")) ?? "", /^failed: process component bad error: .*refused/);
  await reloader.stop();
});

test("subscriptions change by name, a changed one goes last; the same is left alone", async () => {
  const { notes, say, reloader } = await scene([]);
  const subscription = (name: string, topic: string) => ({ name, topic }) as Subscription;
  await say({ Subscription: [subscription("", "1"), subscription("", "2"), subscription("s", "3")], complete: true });
  const topics = () => reloader.subscriptions().map(({ topic }) => topic);
  assert.deepEqual(topics(), ["1", "2", "3"]);
  notes.length = 0;
  await say({ kind: "Subscription", type: "UPDATED", name: "s", resource: subscription("s", "3") });
  assert.deepEqual(notes, []);
  await say({ Subscription: [subscription("", "new"), subscription("", "2"), subscription("s", "3")], complete: true });
  assert.deepEqual([topics(), notes], [["2", "3", "new"], ["refresh"]]);
  await say({ kind: "Subscription", type: "DELETED", name: "s", resource: subscription("s", "3") });
  assert.deepEqual(topics(), ["2", "new"]);
  await reloader.stop();
});

test("HTTPEndpoints are replaced as a whole, when one of them has changed", async () => {
  const { notes, say, reloader } = await scene([]);
  const endpoint = (name: string, baseUrl: string) => ({ name, baseUrl }) as HttpEndpoint;
  await say({ HTTPEndpoint: [endpoint("a", "http://a"), endpoint("b", "http://b")], complete: true });
  await say({ kind: "HTTPEndpoint", type: "UPDATED", name: "a", resource: endpoint("a", "http://a") });
  await say({ kind: "HTTPEndpoint", type: "UPDATED", name: "a", resource: endpoint("a", "http://other") });
  await say({ HTTPEndpoint: [endpoint("a", "http://other")], complete: true });
  assert.deepEqual(notes, ["endpoints a", "endpoints a,b", "endpoints b,a", "endpoints a"]);
  await reloader.stop();
});

test("a changed Configuration asks for a new start once", async () => {
  const { notes, say, reloader } = await scene([]);
  const changed = { name: "c", tracing: 1 };
  await say({ Configuration: [{ name: "c" }], complete: true });
  await say({ Configuration: [changed], complete: true });
  await say({ kind: "Configuration", type: "UPDATED", name: "c", resource: changed });
  assert.deepEqual(notes, ["Received Configuration UPDATED event: c - triggering SIGHUP reload"]);
  await reloader.stop();
});

test("ten thousand changes of three components end in the last of each", async () => {
  const { on, loader, say, reloader } = await scene([]);
  const versions = Array.from({ length: 10_000 }, (_, i) => component(`c${i % 3}`, { metadata: [{ name: "v", value: String(i) }] }));
  await Promise.all(versions.map((resource) => say({ kind: "Component", type: "UPDATED", name: resource.name, resource })));
  assert.deepEqual(
    ["c0", "c1", "c2"].map((name) => on.seen.get(name)),
    [{ v: "9999" }, { v: "9997" }, { v: "9998" }],
  );
  assert.equal(running(loader).length, 3);
  assert.ok(on.events.length < 20, `${on.events.length} starts and stops`);
  await reloader.stop();
});

test("after stop nothing is changed any more", async () => {
  const { loader, say, reloader } = await scene([]);
  await reloader.stop();
  await say({ kind: "Component", type: "CREATED", name: "late", resource: component("late") });
  assert.deepEqual(running(loader), []);
});
