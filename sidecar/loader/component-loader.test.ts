import assert from "node:assert/strict";
import { test } from "node:test";
import { type Component, parseComponent } from "../../lib/resources/component.ts";
import { plainValue } from "../../lib/resources/yaml.ts";
import { ComponentLoader } from "./component-loader.ts";
import { type Stage, stage } from "./test-surroundings.ts";

const never = new AbortController().signal;

function component(name: string, type: string, more: { metadata?: unknown[]; spec?: object; auth?: object } = {}): Component {
  const value = { metadata: { name }, auth: more.auth ?? null, spec: { type, version: "v1", metadata: more.metadata ?? [], ...more.spec } };
  const { resource, problems } = parseComponent(plainValue(value), "test");
  assert.deepEqual(problems, []);
  return resource as Component;
}

function states(loader: ComponentLoader): Record<string, string> {
  return Object.fromEntries(loader.statuses().map((status) => [status.name, status.state]));
}

async function loaded(on: Stage, components: readonly Component[]): Promise<ComponentLoader> {
  const loader = new ComponentLoader(on.around);
  await loader.load(components, never);
  return loader;
}

test("secret stores first, then the rest in order; closed in reverse", async () => {
  const on = stage({});
  const loader = await loaded(on, [component("s1", "state.a"), component("p1", "pubsub.b"), component("vault", "secretstores.c")]);
  assert.deepEqual(on.events, ["init vault", "init s1", "init p1"]);
  assert.ok(on.lines.includes("info Component loaded: s1 (state.a/v1)"));
  const table = loader.table("state");
  assert.deepEqual([table.size, table.get("s1")?.type, table.get("p1")], [1, "state.a", undefined]);
  assert.deepEqual(states(loader), { s1: "ready", p1: "ready", vault: "ready" });
  await loader.close();
  assert.deepEqual(on.events.slice(3), ["close p1", "close s1", "close vault"]);
  assert.equal(table.size, 0);
});

test("a secret is resolved before its component starts; an empty key is the name", async () => {
  const on = stage({ secrets: { s: { s: "one", k: "two" } } });
  const metadata = [
    { name: "a", secretKeyRef: { name: "s" } },
    { name: "b", secretKeyRef: { name: "s", key: "k" } },
    { name: "c", value: "kept", secretKeyRef: { name: "s", key: "none" } },
  ];
  await loaded(on, [component("s1", "state.a", { metadata, auth: { secretStore: "vault" } }), component("vault", "secretstores.c")]);
  assert.deepEqual(on.seen.get("s1"), { a: "one", b: "two", c: "kept" });
});

test("a store that is not there parks the component, with a status that says so", async () => {
  const on = stage({});
  const metadata = [{ name: "a", secretKeyRef: { name: "s" } }];
  const loader = await loaded(on, [component("s1", "state.a", { metadata, auth: { secretStore: "vault" } }), component("s2", "state.a")]);
  assert.deepEqual(states(loader), { s1: "waiting", s2: "ready" });
  assert.equal(loader.statuses()[0]?.reason, "secret store vault is not loaded; add a component of that name or correct auth.secretStore");
  assert.ok(on.lines.includes("warning Component s1 references a secret store that isn't loaded: vault"));
});

test("a secret store may need another one, in any order", async () => {
  const on = stage({ secrets: { s: { s: "token" } } });
  const metadata = [{ name: "t", secretKeyRef: { name: "s" } }];
  const loader = await loaded(on, [
    component("s1", "state.a", { metadata, auth: { secretStore: "second" } }),
    component("second", "secretstores.c", { metadata, auth: { secretStore: "first" } }),
    component("first", "secretstores.c"),
  ]);
  assert.deepEqual(on.events, ["init first", "init second", "init s1"]);
  assert.deepEqual(states(loader), { s1: "ready", second: "ready", first: "ready" });
});

test("without a store's name nothing is waited for: the component starts without the property, as in Dapr", async () => {
  const on = stage({});
  await loaded(on, [component("s1", "state.a", { metadata: [{ name: "a", secretKeyRef: { name: "s" } }] })]);
  assert.deepEqual(on.seen.get("s1"), { a: "" });
  assert.ok(on.lines.includes("warning Component s1 references a secret store that isn't loaded: "));
});

test("a missing secret and a missing key are said by name, and the component starts", async () => {
  const on = stage({ secrets: { s: { other: "value-of-other" } } });
  const metadata = [
    { name: "a", secretKeyRef: { name: "s", key: "k" } },
    { name: "b", secretKeyRef: { name: "gone" } },
  ];
  await loaded(on, [component("vault", "secretstores.c"), component("s1", "state.a", { metadata, auth: { secretStore: "vault" } })]);
  assert.deepEqual(on.seen.get("s1"), { a: "", b: "" });
  assert.ok(
    on.lines.some((line) =>
      line.startsWith("warning Component s1: secret s in store vault has no value for key k, so property a is not set"),
    ),
  );
  assert.ok(on.lines.includes("error Error getting secret: secret gone not found"));
  assert.ok(!on.lines.join("\n").includes("value-of-other"));
});

test("envRef reads what is allowed and never the sidecar's own", async () => {
  const metadata = ["HOME", "DAPR_API_TOKEN", "app_api_token", "NOPE", "A B"].map((envRef) => ({
    name: `p-${envRef.toLowerCase()}`,
    envRef,
  }));
  const on = stage({});
  await loaded(on, [component("s1", "state.a", { metadata: [...metadata, { name: "v", value: "own", envRef: "HOME" }] })]);
  assert.deepEqual(on.seen.get("s1"), {
    "p-home": "/home/x",
    "p-dapr_api_token": "",
    "p-app_api_token": "",
    "p-nope": "",
    "p-a b": "",
    v: "own",
  });
  assert.ok(on.lines.includes("warning Component s1 references an env variable that isn't allowed: DAPR_API_TOKEN"));
  const listed = stage({ around: { envKeys: ["OTHER"] } });
  await loaded(listed, [component("s1", "state.a", { metadata: [{ name: "h", envRef: "HOME" }] })]);
  assert.deepEqual(listed.seen.get("s1"), { h: "" });
});

test("templates in metadata, and the consumer id that pub/sub gets", async () => {
  const on = stage({});
  const metadata = [
    { name: "ids", value: "{uuid} {uuid}" },
    { name: "n", value: "{namespace}/{appID}" },
  ];
  const loader = await loaded(on, [
    component("p1", "pubsub.a", { metadata }),
    component("p2", "pubsub.a", { metadata: [{ name: "consumerID", value: "own" }] }),
  ]);
  assert.deepEqual(on.seen.get("p1"), { ids: "uuid-1 uuid-2", n: "ns1.app1/app1", consumerid: "app1" });
  assert.deepEqual(on.seen.get("p2"), { consumerid: "own" });
  assert.deepEqual([loader.isNamespaced("p1"), loader.isNamespaced("p2")], [true, false]);
});

test("failures end the start with the words daprd 1.18.3 logs", async () => {
  const init = "[INIT_COMPONENT_FAILURE]: initialization error occurred for foo";
  const cases: readonly (readonly [Component, string])[] = [
    [
      component("foo", "state.nope", { spec: { version: "v7" } }),
      `${init} (state.nope/v7): [CREATE_COMPONENT_FAILURE]: initialization error occurred for foo (state.nope/v7): couldn't find state store state.nope/v7`,
    ],
    [
      component("foo", "state.a", { metadata: [{ name: "pn", value: "{podName}" }] }),
      `${init} (state.a/v1): ${init} (state.a/v1): failed to parse metadata: property pn refers to {podName} but podName is not set`,
    ],
    [component("foo", "state.a"), `${init} (state.a/v1): ${init} (state.a/v1): missing connection string`],
    [component("foo", "workflow.dapr"), "incorrect type workflow.dapr"],
  ];
  for (const [bad, text] of cases) {
    const on = stage({ behaviour: () => Promise.reject(new Error("missing connection string")) });
    const loader = new ComponentLoader(on.around);
    await assert.rejects(loader.load([bad], never), { name: "LoadError", message: `process component foo error: ${text}` });
    assert.ok(on.lines.includes(`warning Error processing component, daprd will exit gracefully: process component foo error: ${text}`));
    assert.deepEqual([states(loader), loader.running()], [{ foo: "failed" }, []]);
  }
});

test("ignoreErrors keeps the failure in the status and goes on", async () => {
  const on = stage({ behaviour: async ({ name }) => assert.notEqual(name, "bad", "refused") });
  const loader = await loaded(on, [component("bad", "state.a", { spec: { ignoreErrors: true } }), component("good", "state.a")]);
  assert.deepEqual(states(loader), { bad: "failed", good: "ready" });
  const init = "[INIT_COMPONENT_FAILURE]: initialization error occurred for bad (state.a/v1)";
  assert.ok(on.lines.includes(`error Failed to init component bad (state.a/v1): ${init}: refused`));
  assert.ok(on.lines.includes(`error Ignoring error processing component: process component bad error: ${init}: ${init}: refused`));
});

test("a driver that does not come up within initTimeout is given up, and closed when it settles", async () => {
  const { promise: hang, resolve: release } = Promise.withResolvers<void>();
  const on = stage({ behaviour: () => hang });
  const loader = new ComponentLoader(on.around);
  const result = assert.rejects(
    loader.load([component("slow", "state.a", { spec: { initTimeout: "2s" } })], never),
    /init timeout for component slow \(state\.a\/v1\)/,
  );
  await on.clock.untilWaiting(2);
  await on.clock.advance(2_100);
  await result;
  assert.deepEqual(on.events, ["init slow"]);
  release();
  await new Promise<void>((resolve) => setImmediate(resolve));
  assert.deepEqual(on.events, ["init slow", "close slow"]);
});

test("a driver that obeys the deadline has its own reason in front", async () => {
  const on = stage({
    behaviour: (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("cannot connect to db:5432")))),
  });
  const loader = new ComponentLoader(on.around);
  const result = assert.rejects(
    loader.load([component("slow", "state.a")], never),
    /cannot connect to db:5432\ninit timeout for component slow/,
  );
  await on.clock.untilWaiting(2);
  await on.clock.advance(5_100);
  await result;
});

test("aborting the load is not a component's failure", async () => {
  const stop = new AbortController();
  const on = stage({ behaviour: async () => stop.abort(new Error("stopping")) });
  const loader = new ComponentLoader(on.around);
  await assert.rejects(loader.load([component("a", "state.a"), component("b", "state.a")], stop.signal), { message: "stopping" });
  assert.ok(!on.events.includes("init b"));
});

test("denied types are not started, in whatever case or spelling of the version", async () => {
  const on = stage({ around: { deniedComponents: ["state.a/v1", "pubsub.b"] } });
  const loader = await loaded(on, [
    component("one", "state.a"),
    component("two", "state.A", { spec: { version: "V0" } }),
    component("three", "pubsub.b", { spec: { version: "v2" } }),
    component("four", "state.a", { spec: { version: "v2" } }),
    component("five", "state.other", { spec: { version: "" } }),
  ]);
  assert.deepEqual(states(loader), { one: "denied", two: "denied", three: "denied", five: "denied", four: "ready" });
  assert.ok(on.lines.includes("warning component 'one' cannot be loaded because components of type 'one (state.a/v1)' are not allowed"));
});

test("two actor state stores are one too many, when there are actors", async () => {
  const actor = (name: string) => component(name, "state.a", { metadata: [{ name: "actorStateStore", value: "true" }] });
  const plain = await loaded(stage({}), [actor("x"), actor("y")]);
  assert.equal(plain.actorStateStore, null);
  const on = stage({ around: { actors: true } });
  const loader = new ComponentLoader(on.around);
  await assert.rejects(loader.load([actor("x"), actor("y")], never), /detected duplicate actor state store: x and y/);
  assert.deepEqual([loader.actorStateStore, on.events], ["x", ["init x", "init y", "close y"]]);
});

test("a block may object to a component before its driver starts", async () => {
  const check = (one: { property(name: string): string | undefined }) =>
    one.property("keyPrefix") === "a||b" ? "keyPrefix must not contain ||" : null;
  const on = stage({ around: { check } });
  const bad = component("s", "state.a", { metadata: [{ name: "KEYPREFIX", value: "a||b" }] });
  await assert.rejects(new ComponentLoader(on.around).load([bad], never), /keyPrefix must not contain \|\|/);
  assert.deepEqual(on.events, []);
});

test("a driver that fails to close does not keep the others open", async () => {
  const on = stage({});
  const create = on.around.findDriver("x", "v1");
  const around = {
    ...on.around,
    findDriver: () => async () => {
      const module = await (create as NonNullable<typeof create>)();
      return {
        create(context: Parameters<typeof module.create>[0]) {
          const driver = module.create(context);
          return context.name === "b" ? { ...driver, close: () => Promise.reject(new Error("stuck")) } : driver;
        },
      };
    },
  };
  const loader = new ComponentLoader(around);
  await loader.load([component("a", "state.a"), component("b", "state.a")], never);
  await loader.close();
  assert.deepEqual(on.events, ["init a", "init b", "close a"]);
  assert.ok(on.lines.includes("warning error closing component b (state.a/v1): stuck"));
});
