// Dapr's own SDK for JavaScript against the sidecar, over HTTP and over gRPC, as client and as server: what it does with
// Dapr's daprd it must do with ours. Every test runs once per protocol.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  CommunicationProtocolEnum,
  DaprClient,
  DaprServer,
  HttpMethod,
  LogLevel,
  StateConcurrencyEnum,
  StateConsistencyEnum,
} from "@dapr/dapr";
import { component } from "../build/resource.ts";
import { type Daprd, daprd } from "../harness/daprd.ts";
import { Folder } from "../harness/folder.ts";
import { reservePorts } from "../harness/ports.ts";

const protocols = [
  { name: "HTTP", protocol: CommunicationProtocolEnum.HTTP, appProtocol: "http" },
  { name: "gRPC", protocol: CommunicationProtocolEnum.GRPC, appProtocol: "grpc" },
] as const;

const logger = { level: LogLevel.Error };

/** A sidecar with what the SDK uses, and an app made with the SDK's server beside it. */
class Setup {
  readonly folder: Folder;
  readonly events: Record<string, unknown>[] = [];
  readonly #watchers = new Set<() => void>();
  readonly sidecar: Daprd;
  readonly client: DaprClient;
  readonly server: DaprServer;

  private constructor(folder: Folder, sidecar: Daprd, client: DaprClient, server: DaprServer) {
    this.folder = folder;
    this.sidecar = sidecar;
    this.client = client;
    this.server = server;
  }

  static async start(kind: (typeof protocols)[number]): Promise<Setup> {
    const folder = new Folder("sdk");
    const secretsFile = folder.write("secrets.json", JSON.stringify({ token: "t0p", other: "o" }));
    const [appPort] = (await reservePorts(1)) as [number];
    const sidecar = await daprd({
      app: appPort,
      flags: { "app-protocol": kind.appProtocol },
      resources: [
        component("statestore", "state.sqlite", { metadata: { connectionString: folder.file("state.sqlite") } }),
        component("pubsub", "pubsub.in-memory"),
        component("secrets", "secretstores.local.file", { metadata: { secretsFile } }),
      ],
    });
    const daprPort = String(kind.name === "HTTP" ? sidecar.httpPort : sidecar.grpcPort);
    const clientOptions = { daprHost: "127.0.0.1", daprPort, communicationProtocol: kind.protocol, logger };
    const server = new DaprServer({
      serverHost: "127.0.0.1",
      serverPort: String(appPort),
      communicationProtocol: kind.protocol,
      clientOptions,
      logger,
    });
    const setup = new Setup(folder, sidecar, new DaprClient(clientOptions), server);
    await server.pubsub.subscribe("pubsub", "events", (event: Record<string, unknown>) => setup.#heard(event));
    const several = { maxMessagesCount: 10, maxAwaitDurationMs: 20 };
    await server.pubsub.subscribeBulk("pubsub", "bulks", (event: Record<string, unknown>) => setup.#heard(event), several);
    await server.invoker.listen("echo", async (call: { body?: string; query?: string }) => ({ got: call.body ?? null }), {
      method: HttpMethod.POST,
    });
    await server.invoker.listen("hello", async () => ({ hello: "world" }), { method: HttpMethod.GET });
    await server.start();
    await sidecar.eventually("healthz was 204", async () => (await sidecar.fetch("/v1.0/healthz")).status === 204);
    return setup;
  }

  /** The events once there are `count`. */
  async untilEvents(count: number): Promise<readonly Record<string, unknown>[]> {
    while (this.events.length < count) await new Promise<void>((resolve) => this.#watchers.add(resolve));
    return this.events;
  }

  async stop(): Promise<void> {
    await this.client.stop();
    await this.server.stop();
    await this.sidecar[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }

  async #heard(event: Record<string, unknown>): Promise<void> {
    this.events.push(event);
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }
}

/** The text of a failure: the SDK returns some as `error` and throws others. */
async function failureOf(call: Promise<{ error?: unknown }>): Promise<string> {
  const result = await call.catch((error: unknown) => (error instanceof Error ? { error } : (error as { error?: unknown })));
  return String((result.error as Error | undefined)?.message ?? "");
}

for (const kind of protocols) {
  describe(`@dapr/dapr over ${kind.name}`, () => {
    let setup: Setup;
    before(async () => {
      setup = await Setup.start(kind);
    });
    after(() => setup?.stop());

    test("state: save, get, bulk get, delete", async () => {
      const { state } = setup.client;
      const values = [
        { key: "one", value: { n: 1 } },
        { key: "two", value: "zwei" },
      ];
      const saved = await state.save("statestore", values);
      assert.equal(saved.error, undefined);
      assert.deepEqual(await state.get("statestore", "one"), { n: 1 });
      assert.deepEqual(await state.get("statestore", "two"), "zwei");
      const bulk = (await state.getBulk("statestore", ["one", "two", "three"])) as { key: string; data?: unknown }[];
      const found = bulk.toSorted((a, b) => a.key.localeCompare(b.key)).map(({ key, data }) => [key, data || null]);
      assert.deepEqual(found, [
        ["one", { n: 1 }],
        ["three", null],
        ["two", "zwei"],
      ]);
      await state.delete("statestore", "one");
      assert.equal(await state.get("statestore", "one"), "");
    });

    test("state: a stale etag is refused", async () => {
      const { state } = setup.client;
      await state.save("statestore", [{ key: "guarded", value: "first" }]);
      const stale = {
        key: "guarded",
        value: "second",
        etag: "not-this-one",
        options: { concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE, consistency: StateConsistencyEnum.CONSISTENCY_STRONG },
      };
      assert.match(await failureOf(state.save("statestore", [stale])), /etag/i);
      assert.equal(await state.get("statestore", "guarded"), "first");
    });

    test("state: transaction", async () => {
      const { state } = setup.client;
      await state.save("statestore", [{ key: "goes", value: "x" }]);
      await state.transaction("statestore", [
        { operation: "upsert", request: { key: "comes", value: "y" } },
        { operation: "delete", request: { key: "goes" } },
      ]);
      assert.equal(await state.get("statestore", "comes"), "y");
      assert.equal(await state.get("statestore", "goes"), "");
    });

    test("invocation: GET and POST reach the app and come back", async () => {
      const { invoker } = setup.client;
      const { appId } = setup.sidecar;
      assert.deepEqual(await invoker.invoke(appId, "hello", HttpMethod.GET), { hello: "world" });
      const echoed = (await invoker.invoke(appId, "echo", HttpMethod.POST, { a: 1 })) as { got: string };
      assert.deepEqual(JSON.parse(echoed.got), { a: 1 });
    });

    test("pub/sub: a published event is delivered", async () => {
      const before = setup.events.length;
      const published = await setup.client.pubsub.publish("pubsub", "events", { id: 1 });
      assert.equal(published.error, undefined);
      assert.deepEqual((await setup.untilEvents(before + 1)).slice(before), [{ id: 1 }]);
    });

    test("pub/sub: a published bulk is delivered", async () => {
      const before = setup.events.length;
      const bulk = await setup.client.pubsub.publishBulk("pubsub", "events", [{ id: 2 }, { id: 3 }]);
      assert.deepEqual(bulk.failedMessages, []);
      const ids = (await setup.untilEvents(before + 2)).slice(before).map((event) => event.id);
      assert.deepEqual(ids.toSorted(), [2, 3]);
    });

    test("pub/sub: a bulk subscription gets what is published", async () => {
      const before = setup.events.length;
      const bulk = await setup.client.pubsub.publishBulk("pubsub", "bulks", [{ id: 4 }, { id: 5 }]);
      assert.deepEqual(bulk.failedMessages, []);
      const ids = (await setup.untilEvents(before + 2)).slice(before).map((event) => event.id);
      assert.deepEqual(ids.toSorted(), [4, 5]);
    });

    test("pub/sub: publishing to an unknown component is an error", async () => {
      assert.match(await failureOf(setup.client.pubsub.publish("nowhere", "events", { id: 1 })), /nowhere/);
    });

    test("secrets: one and all", async () => {
      const { secret } = setup.client;
      assert.deepEqual(await secret.get("secrets", "token"), { token: "t0p" });
      const all = (await secret.getBulk("secrets")) as Record<string, unknown>;
      assert.deepEqual(Object.keys(all).toSorted(), ["other", "token"]);
    });

    test("metadata: set and get", async () => {
      const { metadata } = setup.client;
      assert.equal(await metadata.set("colour", "green"), true);
      const got = await metadata.get();
      assert.equal(got.id, setup.sidecar.appId);
      const names = got.components.map((loaded) => loaded.name).toSorted();
      assert.deepEqual(names, ["pubsub", "secrets", "statestore"]);
      assert.equal((got.extended as Record<string, string>).colour, "green");
    });

    test("health: the sidecar is healthy", async () => {
      assert.equal(await setup.client.health.isHealthy(), true);
    });

    test("shutdown: the sidecar ends with 0", async () => {
      await setup.client.sidecar.shutdown();
      assert.deepEqual(await setup.sidecar.program.exited(), { code: 0, signal: null });
    });
  });
}
