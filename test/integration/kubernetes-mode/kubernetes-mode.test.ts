import assert from "node:assert/strict";
import { test } from "node:test";
import { app } from "../../harness/app.ts";
import { Folder } from "../../harness/folder.ts";
import { ControlPlane, component, components } from "./kubernetes.ts";

const has = (lines: readonly string[], text: string) => lines.some((line) => line.includes(text));

test("resources come from the operator, over mutual TLS, and follow it", { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start();
  const { operator } = plane;
  operator.resources.Configuration.push({
    metadata: { name: "appconfig" },
    spec: { features: [{ name: "Mine", enabled: true }] },
  } as never);
  operator.resources.Component.push(component("store", "state.in-memory"), component("not-mine", "state.in-memory", [], { scopes: ["x"] }));
  await using sidecar = await plane.sidecar({ appId: "myapp", flags: { config: "appconfig" } });
  assert.deepEqual(await components(sidecar), ["store state.in-memory"]);
  const { enabledFeatures } = (await (await sidecar.fetch("/v1.0/metadata")).json()) as { enabledFeatures: string[] };
  assert.ok(enabledFeatures.includes("Mine"));
  assert.deepEqual([...operator.peers], ["spiffe://public/ns/default/myapp"]);
  assert.equal((await sidecar.post("/v1.0/state/store", [{ key: "k", value: "kept" }])).status, 204);

  const since = performance.now();
  operator.tell("Component", "CREATED", component("second", "state.in-memory"));
  await sidecar.eventually("the second store is there", async () => (await components(sidecar)).length === 2);
  assert.ok(performance.now() - since < 2_000, "a new component is in use within 2 s");
  // What is not concerned is not touched: the store in memory still has its value.
  assert.equal(await (await sidecar.fetch("/v1.0/state/store/k")).json(), "kept");

  operator.tell("Component", "DELETED", component("second", "state.in-memory"));
  await sidecar.eventually("the second store is gone", async () => (await components(sidecar)).length === 1);
});

test("an operator that restarts costs nothing and misses nothing", { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start();
  const { operator } = plane;
  operator.resources.Component.push(component("store", "state.in-memory"));
  await using sidecar = await plane.sidecar();
  assert.equal((await sidecar.post("/v1.0/state/store", [{ key: "k", value: 1 }])).status, 204);
  await operator.stop();
  await sidecar.eventually("the loss is said", () => has(sidecar.lines, "Error from operator stream"));
  assert.equal((await sidecar.fetch("/v1.0/state/store/k")).status, 200);
  operator.resources.Component.push(component("meanwhile", "pubsub.in-memory"));
  await operator.start();
  await sidecar.eventually("what happened meanwhile is there", async () =>
    (await components(sidecar)).includes("meanwhile pubsub.in-memory"),
  );
  assert.equal(await (await sidecar.fetch("/v1.0/state/store/k")).json(), 1);
});

test("a sidecar waits for its operator, and says so", { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start();
  await plane.operator.stop();
  await using sidecar = await plane.sidecar({ ready: "none" });
  await sidecar.eventually("it says what it waits for", () => has(sidecar.lines, "Waiting for the operator"));
  await plane.operator.start();
  await sidecar.eventually("it is ready", async () => {
    const response = await sidecar.fetch("/v1.0/healthz/outbound").catch(() => null);
    return response?.status === 204;
  });
});

test("who is not the operator is told nothing, and believed nothing", { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start("somebody-else");
  plane.operator.resources.Component.push(component("evil", "state.in-memory"));
  await using sidecar = await plane.sidecar({ ready: "none" });
  const refused = "spiffe://public/ns/default/somebody-else, not spiffe://localhost/ns/default/dapr-operator";
  await sidecar.eventually("the impostor is named", () => has(sidecar.lines, refused));
  assert.deepEqual(plane.operator.asked, []);
});

test("secrets that the operator has put in are decoded; the value is in no line", { timeout: 60_000 }, async () => {
  using folder = new Folder("database");
  await using plane = await ControlPlane.start();
  const path = folder.file("state.db");
  const pair = { name: "connectionString", value: Buffer.from(path).toString("base64"), secretKeyRef: { name: "s", key: "k" } };
  plane.operator.resources.Component.push(component("db", "state.sqlite", [pair]));
  await using sidecar = await plane.sidecar();
  assert.deepEqual(await components(sidecar), ["db state.sqlite"]);
  assert.equal((await sidecar.post("/v1.0/state/db", [{ key: "k", value: 1 }])).status, 204);
  assert.ok(!has(sidecar.lines, path) && !has(sidecar.lines, pair.value));
  const missing = { name: "connectionString", secretKeyRef: { name: "gone", key: "k" } };
  const broken = component("broken", "state.sqlite", [missing]);
  plane.operator.tell("Component", "CREATED", { ...broken, spec: { ...broken.spec, ignoreErrors: true } } as never);
  await sidecar.eventually("the missing secret is named", () => has(sidecar.lines, "property connectionString, secret gone, key k"));
  assert.deepEqual(await components(sidecar), ["db state.sqlite"]);
});

test("subscriptions come and go while the app runs", { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start();
  await using application = await app({ http: { "/orders": () => ({ status: 200 }) } });
  plane.operator.resources.Component.push(component("bus", "pubsub.in-memory"));
  await using sidecar = await plane.sidecar({ app: application, ready: "all" });
  const subscription = (topic: string) => ({
    apiVersion: "dapr.io/v2alpha1",
    kind: "Subscription",
    metadata: { name: "orders" },
    spec: { pubsubname: "bus", topic, routes: { default: "/orders" } },
  });
  const topics = async () => {
    const { subscriptions = [] } = (await (await sidecar.fetch("/v1.0/metadata")).json()) as { subscriptions?: { topic: string }[] };
    return subscriptions.map(({ topic }) => topic).join();
  };
  plane.operator.tell("Subscription", "CREATED", subscription("a"));
  await sidecar.eventually("topic a is subscribed", async () => (await topics()) === "a");
  plane.operator.tell("Subscription", "UPDATED", subscription("b"));
  await sidecar.eventually("topic b is subscribed", async () => (await topics()) === "b");
  await sidecar.eventually("an event of topic b arrives", async () => {
    await sidecar.post("/v1.0/publish/bus/b", { n: 1 });
    return application.calls.some(({ path }) => path === "/orders");
  });
  plane.operator.tell("Subscription", "DELETED", subscription("b"));
  await sidecar.eventually("nothing is subscribed", async () => (await topics()) === "");
});

test("its own Configuration starts it anew, another one's and an unchanged one do not", { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start();
  const { operator } = plane;
  const configuration = (name: string, feature: string) =>
    ({ metadata: { name }, spec: { features: [{ name: feature, enabled: true }] } }) as never;
  operator.resources.Configuration.push(configuration("mine", "One"));
  await using sidecar = await plane.sidecar({ flags: { config: "mine" } });
  const features = async () => {
    const response = await sidecar.fetch("/v1.0/metadata").catch(() => null);
    return response === null ? [] : ((await response.json()) as { enabledFeatures: string[] }).enabledFeatures;
  };
  operator.tell("Configuration", "UPDATED", configuration("others", "Two"));
  operator.tell("Configuration", "UPDATED", configuration("mine", "One"));
  operator.tell("Component", "CREATED", component("marker", "state.in-memory"));
  await sidecar.eventually("what came after is there", async () => (await components(sidecar)).length === 1);
  assert.ok(!has(sidecar.lines, "triggering SIGHUP reload"));
  operator.resources.Configuration.splice(0, 1, configuration("mine", "Two"));
  operator.tell("Configuration", "UPDATED", configuration("mine", "Two"));
  await sidecar.eventually("the new one is in force", async () => (await features()).includes("Two"));
  assert.ok(has(sidecar.lines, "Received Configuration UPDATED event: mine - triggering SIGHUP reload"));
});

test("a pod that has no service account's token runs without the built-in secret store", { timeout: 60_000 }, async () => {
  await using plane = await ControlPlane.start();
  await using sidecar = await plane.sidecar({
    flags: { "disable-builtin-k8s-secret-store": null },
    env: { KUBECONFIG: "/no/such/kubeconfig", KUBERNETES_SERVICE_HOST: undefined },
  });
  assert.ok(has(sidecar.lines, "there is no kubeconfig at /no/such/kubeconfig"));
  assert.deepEqual(await components(sidecar), []);
});
