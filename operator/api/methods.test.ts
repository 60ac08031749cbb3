// The API's methods on a catalogue that follows an API server in memory; callers are given by the id of their certificate.
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { GrpcCode } from "../../lib/kit/errors.ts";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { FakeKubeApi } from "../../lib/kube/fake-api.ts";
import type { KubeObject } from "../../lib/kube/object.ts";
import { daprResources, kubeResources } from "../../lib/kube/resource.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import { type GrpcCall, GrpcStatusError, newMetadata } from "../../lib/wire/grpc/types.ts";
import { slimPod } from "./assigned-configuration.ts";
import { Catalogue } from "./catalogue.ts";
import { createOperatorMethods } from "./methods.ts";
import { Renderer } from "./render.ts";
import { UnresolvedResources } from "./unresolved.ts";

const { components, configurations, httpEndpoints, resiliencies } = daprResources;

interface Asked {
  readonly namespace: string;
  readonly name?: string;
}

/** An operator's API on `api`, and how an app asks it. */
async function serving(api: FakeKubeApi, pods: readonly KubeObject[] = [], clock = new FakeClock()) {
  const client = api.client();
  const stop = new AbortController();
  const log = silentLogger;
  const catalogue = new Catalogue({ client, namespace: null, relistMs: 0, clock: systemClock, log });
  const running = catalogue.run(stop.signal);
  await catalogue.synced();
  const unresolved: string[] = [];
  const waiting = new UnresolvedResources();
  const report = (object: KubeObject, { what }: { readonly what: string }, cause: string) => {
    waiting.add(object);
    unresolved.push(`${object.metadata.name} ${what}: ${cause}`);
  };
  const renderer = new Renderer({ client, unresolved: report, stop: stop.signal, clock });
  const looking = waiting.run({ catalogue, renderer, clock, log }, stop.signal);
  const kept = pods.map(slimPod).filter((pod) => pod !== null);
  const methods = createOperatorMethods({ catalogue, renderer, pods: () => kept, log, stop: stop.signal });
  const find = (name: string) => methods.find(({ desc }) => desc.name === name) as { handle(request: unknown, call: GrpcCall): unknown };
  const call = (id: string | null, signal = stop.signal): GrpcCall => ({
    path: "/",
    metadata: newMetadata(),
    peer: "",
    peerIdentity: id,
    signal,
    responseHeaders: newMetadata(),
    responseTrailers: newMetadata(),
  });
  return {
    catalogue,
    unresolved,
    methods,
    ask: async (id: string | null, method: string, request: Asked) =>
      find(method).handle(request, call(id)) as Promise<Record<string, Uint8Array[]>>,
    follow: (id: string | null, method: string, request: Asked, signal?: AbortSignal) =>
      (find(method).handle(request, call(id, signal)) as AsyncIterable<Record<string, unknown>>)[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("over"));
      catalogue.close();
      await Promise.all([running, looking]);
      client.close();
    },
  };
}

const app = (namespace: string, appId: string) => `spiffe://td/ns/${namespace}/${appId}`;
const shop = app("a", "shop");
const json = (bytes: unknown) => JSON.parse(Buffer.from(bytes as Uint8Array).toString("utf8")) as KubeObject & Record<string, unknown>;
const names = (list: readonly Uint8Array[] | undefined) => (list ?? []).map((bytes) => json(bytes).metadata.name).sort();
const refused = (code: GrpcCode) => (error: unknown) => error instanceof GrpcStatusError && error.code === code;
const component = (name: string, more: object = {}, namespace = "a") => ({
  metadata: { namespace, name },
  spec: { type: "state.x", metadata: [] },
  ...more,
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("a list holds the resources of the caller's namespace that name it or nobody, and of no namespace whose name begins alike", async () => {
  await using api = await FakeKubeApi.start();
  api.put(components, component("all"));
  api.put(components, component("mine", { scopes: ["shop", "other"] }));
  api.put(components, component("theirs", { scopes: ["other"] }));
  for (const namespace of ["aa", "a-b", "b"]) api.put(components, component("foreign", {}, namespace));
  await using server = await serving(api);
  assert.deepEqual(names((await server.ask(shop, "ListComponents", { namespace: "a" }))["components"]), ["all", "mine"]);
});

test("every method refuses a namespace that is not the caller's, none at all, and a caller without identity", async () => {
  await using api = await FakeKubeApi.start();
  await using server = await serving(api);
  assert.equal(server.methods.length, 16);
  const outcome = async (id: string | null, namespace: string, { kind, desc }: (typeof server.methods)[number]) => {
    const ask = kind === "unary" ? server.ask(id, desc.name, { namespace, name: "x" }) : server.follow(id, desc.name, { namespace }).next();
    return (ask as Promise<unknown>).then(
      () => "answered",
      (error: GrpcStatusError) => error.code,
    );
  };
  for (const method of server.methods) {
    for (const [id, namespace] of [
      [shop, "b"],
      [shop, ""],
      [shop, "aa"],
      [null, "a"],
      ["spiffe://td/whatever", "a"],
    ] as const) {
      assert.equal(await outcome(id, namespace, method), GrpcCode.PERMISSION_DENIED, `${method.desc.name} for ${id} of ${namespace}`);
    }
  }
});

test("a configuration of the same name in another namespace is not the caller's", async () => {
  await using api = await FakeKubeApi.start();
  api.put(configurations, { metadata: { namespace: "b", name: "c" }, spec: {} });
  api.put(resiliencies, { metadata: { namespace: "a", name: "r" }, spec: {} });
  await using server = await serving(api);
  await assert.rejects(server.ask(shop, "GetConfiguration", { namespace: "a", name: "c" }), refused(GrpcCode.NOT_FOUND));
  assert.equal(json((await server.ask(shop, "GetResiliency", { namespace: "a", name: "r" }))["resiliency"]).metadata.name, "r");
});

const secretComponent = component("c", {
  spec: {
    metadata: [
      { name: "p", secretKeyRef: { name: "s", key: "k" } },
      { name: "q", secretKeyRef: { name: "s" } },
      { name: "r", value: "plain" },
    ],
  },
});

test("secrets that a component refers to come with it, from its own namespace and no other", async () => {
  await using api = await FakeKubeApi.start();
  api.put(kubeResources.secrets, {
    metadata: { namespace: "a", name: "s" },
    data: { k: Buffer.from("of a").toString("base64"), s: "czI=" },
  });
  api.put(kubeResources.secrets, { metadata: { namespace: "b", name: "s" }, data: { k: Buffer.from("of b").toString("base64") } });
  api.put(components, secretComponent);
  await using server = await serving(api);
  const [listed] = (await server.ask(shop, "ListComponents", { namespace: "a" }))["components"] as [Uint8Array];
  const { metadata } = json(listed)["spec"] as { metadata: { value: string }[] };
  assert.deepEqual(
    metadata.map(({ value }) => value),
    [Buffer.from("of a").toString("base64"), "czI=", "plain"],
  );
});

test("a secret that is missing, forbidden or no name at all fails its component alone, and is reported", async () => {
  await using api = await FakeKubeApi.start();
  // Of that name, but somebody else's.
  for (const namespace of ["b", "a-b"])
    api.put(kubeResources.secrets, { metadata: { namespace, name: "s" }, data: { k: "azE=", s: "czI=" } });
  api.put(components, secretComponent);
  api.put(components, component("odd", { spec: { metadata: [{ name: "p", secretKeyRef: { name: "../../kube-system/secrets/x" } }] } }));
  api.put(components, component("good"));
  await using server = await serving(api);
  const list = await server.ask(shop, "ListComponents", { namespace: "a" });
  assert.deepEqual(names(list["components"]), ["c", "good", "odd"]);
  assert.deepEqual(server.unresolved.sort(), [
    "c metadata p: there is no secret s",
    "c metadata q: there is no secret s",
    "odd metadata p: ../../kube-system/secrets/x is no name of a secret",
  ]);
  api.fail("GET", /secrets/, 403, 10);
  await server.ask(shop, "ListComponents", { namespace: "a" });
  assert.match(server.unresolved.at(-1) ?? "", /the operator may not read the secret s/);
});

test("an API server that fails to answer for a secret is no missing secret: the caller comes again", async () => {
  await using api = await FakeKubeApi.start();
  api.put(components, secretComponent);
  await using server = await serving(api);
  api.fail("GET", /secrets/, 500, 10);
  await assert.rejects(server.ask(shop, "ListComponents", { namespace: "a" }), refused(GrpcCode.UNAVAILABLE));
});

test("a component whose secret comes later is told of again, with it", async () => {
  await using api = await FakeKubeApi.start();
  const clock = new FakeClock();
  await using server = await serving(api, [], clock);
  const stream = server.follow(shop, "ComponentUpdate", { namespace: "a" });
  const first = stream.next();
  await until(() => server.catalogue.followers("components") === 1);
  api.put(components, secretComponent);
  const values = ({ value }: IteratorResult<Record<string, unknown>>) =>
    (json(value["component"])["spec"] as { metadata: { value?: string }[] }).metadata.map((pair) => pair.value ?? "-");
  assert.deepEqual(values(await first), ["-", "-", "plain"]);
  const second = stream.next();
  const data = { k: "azE=", s: "czI=" };
  api.put(kubeResources.secrets, { metadata: { namespace: "a", name: "s" }, data });
  await clock.untilWaiting(1);
  await clock.advance(5_000);
  assert.deepEqual(values(await second), ["azE=", "czI=", "plain"]);
  await stream.return?.();
});

test("a stream tells what comes into the caller's scope, changes there and leaves it", async () => {
  await using api = await FakeKubeApi.start();
  await using server = await serving(api);
  const stream = server.follow(shop, "ComponentUpdate", { namespace: "a" });
  const next = async () => {
    const { value } = await stream.next();
    return [value.type, json(value.component).metadata.name, json(value.component)["scopes"]];
  };
  const first = next();
  await until(() => server.catalogue.followers("components") === 1);
  api.put(components, component("foreign", {}, "b"));
  api.put(components, component("c", { scopes: ["other"] }));
  api.put(components, component("c", { scopes: ["shop"] }));
  assert.deepEqual(await first, [1, "c", ["shop"]]);
  api.put(components, component("c", { scopes: ["shop", "x"] }));
  assert.deepEqual(await next(), [2, "c", ["shop", "x"]]);
  api.put(components, component("c", { scopes: ["x"] }));
  assert.deepEqual(await next(), [3, "c", ["shop", "x"]]);
  await stream.return?.();
  assert.equal(server.catalogue.followers("components"), 0);
});

test("a slow sidecar gets the newest state of each resource, and a deletion in any case", async () => {
  await using api = await FakeKubeApi.start();
  await using server = await serving(api);
  const stream = server.follow(shop, "HTTPEndpointUpdate", { namespace: "a" });
  const first = stream.next();
  await until(() => server.catalogue.followers("httpEndpoints") === 1);
  const endpoint = (name: string, n: number) => ({ metadata: { namespace: "a", name }, n });
  const [watching] = [server.follow(shop, "HTTPEndpointUpdate", { namespace: "a" })];
  api.put(httpEndpoints, endpoint("e", 0));
  await first;
  const seen: unknown[] = [];
  const other = watching.next();
  await until(() => server.catalogue.followers("httpEndpoints") === 2);
  for (let n = 1; n <= 50; n++) api.put(httpEndpoints, endpoint("e", n));
  api.put(httpEndpoints, endpoint("gone", 1));
  api.remove(httpEndpoints, "a", "gone");
  api.put(httpEndpoints, endpoint("last", 1));
  // The other reads on: once it has heard of the last, the slow one's changes wait too.
  for (let { value } = await other; json(value.httpEndpoints).metadata.name !== "last"; { value } = await watching.next());
  for (const _ of ["e", "gone", "last"]) {
    const { value } = await stream.next();
    seen.push([value.type, json(value.httpEndpoints).metadata.name, json(value.httpEndpoints)["n"]]);
  }
  assert.deepEqual(seen, [
    [2, "e", 50],
    [3, "gone", 1],
    [1, "last", 1],
  ]);
  await Promise.all([stream.return?.(), watching.return?.()]);
});

test("a change of a Configuration goes to the apps whose pods name it", async () => {
  await using api = await FakeKubeApi.start();
  const pod = (name: string, annotations: Record<string, string>): KubeObject => ({ metadata: { namespace: "a", name, annotations } });
  await using server = await serving(api, [
    pod("starting", { "dapr.io/enabled": "true", "dapr.io/app-id": "shop" }),
    pod("one", { "dapr.io/enabled": "true", "dapr.io/app-id": "shop", "dapr.io/config": "mine" }),
    pod("two", { "dapr.io/enabled": "true", "dapr.io/app-id": "other", "dapr.io/config": "theirs" }),
    pod("off", { "dapr.io/enabled": "false", "dapr.io/app-id": "shop", "dapr.io/config": "no" }),
  ]);
  const stream = server.follow(shop, "ConfigurationUpdate", { namespace: "a" });
  const first = stream.next();
  await until(() => server.catalogue.followers("configurations") === 1);
  for (const name of ["theirs", "no", "mine"]) api.put(configurations, { metadata: { namespace: "a", name }, spec: {} });
  assert.equal(json((await first).value.configuration).metadata.name, "mine");
  await stream.return?.();
});

test("the end of the operator ends its streams with UNAVAILABLE, the caller's leaving ends them in good order", async () => {
  await using api = await FakeKubeApi.start();
  const server = await serving(api);
  const leaving = new AbortController();
  const left = server.follow(shop, "ResiliencyUpdate", { namespace: "a" }, leaving.signal).next();
  const stays = server.follow(shop, "ResiliencyUpdate", { namespace: "a" }).next();
  await until(() => server.catalogue.followers("resiliencies") === 2);
  leaving.abort();
  assert.deepEqual(await left, { done: true, value: undefined });
  const ended = assert.rejects(stays, refused(GrpcCode.UNAVAILABLE));
  await server[Symbol.asyncDispose]();
  await ended;
});
