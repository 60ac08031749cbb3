// Two sidecars of one app and one of another over a real Redis, through the HTTP API: state with etags, publish and deliver, a sidecar that
// dies with messages in hand, a password that stays out of the logs, a server that is not there. OUTRIGGER_DAPRD runs Dapr's own here.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RedisTestServer } from "../../../components/shared/redis-test-server.ts";
import { component } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { daprd, foreignDaprd } from "../../harness/daprd.ts";

const redisPassword = "pw-that-nobody-may-read";
let server: RedisTestServer;
before(async () => {
  server = await RedisTestServer.start({ password: redisPassword });
});
after(() => server[Symbol.asyncDispose]());

const login = () => ({ redisHost: server.address, redisPassword });
const store = () => component("store", "state.redis", { metadata: { ...login(), keyPrefix: "none" } });
const bus = () => component("bus", "pubsub.redis", { metadata: { ...login(), processingTimeout: "1000", redeliverInterval: "200" } });
const subscriptions = [{ pubsubname: "bus", topic: "orders", route: "/orders" }];

test("state is shared between sidecars, with etags", async () => {
  await using one = await daprd({ resources: [store()] });
  await using two = await daprd({ resources: [store()] });
  assert.equal((await one.post("/v1.0/state/store", [{ key: "k", value: { a: 1 } }])).status, 204);
  const read = await two.fetch("/v1.0/state/store/k");
  assert.deepEqual([await read.json(), read.headers.get("etag")], [{ a: 1 }, "1"]);
  assert.equal((await two.post("/v1.0/state/store", [{ key: "k", value: 2, etag: "1" }])).status, 204);
  assert.equal((await one.post("/v1.0/state/store", [{ key: "k", value: 3, etag: "1" }])).status, 409);
  assert.equal((await one.post("/v1.0/state/store", [{ key: "k", value: 3, etag: "x" }])).status, 400);
  const operations = [
    { operation: "upsert", request: { key: "k2", value: 1 } },
    { operation: "delete", request: { key: "k" } },
  ];
  assert.equal((await one.post("/v1.0/state/store/transaction", { operations })).status, 204);
  assert.deepEqual([(await two.fetch("/v1.0/state/store/k")).status, await (await two.fetch("/v1.0/state/store/k2")).json()], [204, 1]);
  assert.doesNotMatch(one.lines.join("\n"), new RegExp(redisPassword));
});

test("sidecars of an app share its messages, and one takes over what a killed one held", async () => {
  const held: unknown[] = [];
  const seen = new Set<number>();
  const keep = () => new Promise<object>((resolve) => held.push(resolve));
  await using stuck = await app({ subscriptions, http: { "/orders": keep } });
  await using working = await app({
    subscriptions,
    http: {
      "/orders": (request: { readonly body: Buffer | string }) => {
        seen.add(JSON.parse(String(request.body)).data);
        return {};
      },
    },
  });
  const publisher = await daprd({ resources: [bus()] });
  await using _publisher = publisher;
  const first = await daprd({ appId: "shop", app: stuck, resources: [bus()], ready: "all" });
  for (let n = 0; n < 10; n++) assert.equal((await publisher.post("/v1.0/publish/bus/orders", n)).status, 204);
  await first.eventually("a message is held", () => held.length > 0);
  await using second = await daprd({ appId: "shop", app: working, resources: [bus()], ready: "all" });
  await first[Symbol.asyncDispose]();
  await second.eventually("all ten are there", () => seen.size === 10);
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("a server that is not there ends the start with cause and remedy", { skip: foreignDaprd }, async () => {
  const nobody = component("store", "state.redis", { metadata: { redisHost: "127.0.0.1:1", redisPassword, redisMaxRetries: "1" } });
  await using sidecar = await daprd({ resources: [nobody], ready: "none" });
  assert.notEqual((await sidecar.program.exited()).code, 0);
  assert.match(sidecar.program.output, /error connecting to redis at 127\.0\.0\.1:1: connect ECONNREFUSED.*check that the server runs/);
  assert.doesNotMatch(sidecar.program.output, new RegExp(redisPassword));
});
