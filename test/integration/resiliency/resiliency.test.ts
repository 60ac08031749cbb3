// Resiliency policies around real apps: what hangs, fails, recovers, or fails for good. OUTRIGGER_DAPRD runs another daprd under the
// same tests, as far as both agree.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { component, resiliency } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { type Daprd, daprd, foreignDaprd } from "../../harness/daprd.ts";

async function metricLines(sidecar: Daprd, prefix: string): Promise<string[]> {
  const text = await (await fetch(`http://127.0.0.1:${sidecar.metricsPort}/`)).text();
  return text.split("\n").filter((line) => line.startsWith(prefix));
}

const constant = (maxRetries: number) => ({ policy: "constant", duration: "10ms", maxRetries });

test("an app that hangs costs its time and no more, each attempt by itself", async () => {
  const waiting: ServerResponse[] = [];
  await using shop = await app({
    raw: (request, response) => (request.url?.startsWith("/dapr/") ? response.writeHead(404).end() : waiting.push(response)),
  });
  const policies = { timeouts: { short: "200ms" }, retries: { once: constant(1) } };
  const resources = [resiliency({ policies, targets: { apps: { shop: { timeout: "short", retry: "once" } } } })];
  await using sidecar = await daprd({ appId: "shop", app: shop, resources, ready: "all" });
  const reply = await sidecar.post("/v1.0/invoke/shop/method/hang", { a: 1 });
  assert.equal(reply.status, 500);
  const { errorCode, message } = (await reply.json()) as { errorCode: string; message: string };
  assert.deepEqual([errorCode, message], ["ERR_DIRECT_INVOKE", "failed to invoke, id: shop, err: context deadline exceeded"]);
  assert.equal(waiting.length, 2);
  await sidecar.eventually("both attempts are broken off", () => waiting.every((response) => response.destroyed));
  const activated = await metricLines(sidecar, "dapr_resiliency_activations_total");
  assert.equal(activated.length, 2);
  for (const line of activated)
    assert.match(line, /name="resiliency",namespace="",policy="(timeout|retry)",status="",target="app_shop"\} 1$/);
});

test("an answer that does not end in its time is cut", async () => {
  await using shop = await app({
    raw: (request, response) => {
      if (request.url?.startsWith("/dapr/")) response.writeHead(404).end();
      else response.writeHead(200, { "content-type": "text/plain" }).write("begun");
    },
  });
  const resources = [resiliency({ policies: { timeouts: { DefaultAppTimeoutPolicy: "300ms" } }, targets: {} })];
  await using sidecar = await daprd({ appId: "shop", app: shop, resources, ready: "all" });
  const reply = await sidecar.fetch("/v1.0/invoke/shop/method/slow");
  assert.equal(reply.status, 200);
  // A Go sidecar may end such an answer as if it were whole.
  const text = await reply.text().catch(() => "cut");
  assert.ok((foreignDaprd ? ["cut", "begun"] : ["cut"]).includes(text), text);
});

test("a request of a megabyte through two sidecars is sent again byte by byte until the app recovers", async () => {
  const sent = randomBytes(1 << 20);
  let tries = 0;
  const flaky = () => ({ status: ++tries < 4 ? 503 : 200, body: `try ${tries}` });
  await using shop = await app({ http: { "/pay": flaky } });
  const policies = { retries: { DefaultAppRetryPolicy: { ...constant(5), matching: { httpStatusCodes: "500-599" } } } };
  await using callee = await daprd({ app: shop, ready: "all" });
  await using caller = await daprd({ resources: [resiliency({ policies, targets: {} })] });
  const reply = await caller.fetch(`/v1.0/invoke/${callee.appId}/method/pay`, { method: "POST", body: sent });
  assert.deepEqual([reply.status, await reply.text()], [200, "try 4"]);
  const calls = await shop.called("/pay", 4);
  assert.deepEqual(
    calls.map(({ body }) => body.equals(sent)),
    [true, true, true, true],
  );
  const recovered = `Recovered processing operation endpoint[${callee.appId}, ${callee.appId}:pay] after 4 attempts`;
  await caller.eventually("the log tells of the recovery", () => caller.lines.some((line) => line.includes(recovered)));
});

test("a breaker opens per method, refuses without asking the app, and closes again", async () => {
  let status = 500;
  await using shop = await app({ http: { "/a": () => ({ status }), "/b": () => ({ status: 200 }) } });
  const circuitBreakers = { fast: { maxRequests: 1, timeout: "500ms", trip: "consecutiveFailures >= 2" } };
  const resources = [resiliency({ policies: { circuitBreakers }, targets: { apps: { shop: { circuitBreaker: "fast" } } } })];
  await using sidecar = await daprd({ appId: "shop", app: shop, resources, ready: "all" });
  const invoke = async (method: string) => (await sidecar.fetch(`/v1.0/invoke/shop/method/${method}`)).status;
  assert.deepEqual([await invoke("a"), await invoke("a")], [500, 500]);
  const refused = await sidecar.fetch("/v1.0/invoke/shop/method/a");
  const { message } = (await refused.json()) as { message: string };
  assert.deepEqual([refused.status, message], [500, "failed to invoke, id: shop, err: circuit breaker is open"]);
  assert.equal((await shop.called("/a", 2)).length, 2);
  assert.equal(await invoke("b"), 200);
  status = 200;
  await sidecar.eventually("the breaker lets a call through", async () => (await invoke("a")) === 200);
  assert.ok(sidecar.lines.some((line) => line.includes("changed state from half-open to closed")));
});

test("an event that the app keeps refusing goes to the dead letter topic after its retries", async () => {
  const letters = { pubsubname: "mypub", topic: "orders", route: "/orders", deadLetterTopic: "dead" };
  await using shop = await app({
    http: { "/orders": () => ({ status: 500 }), "/dead": () => ({ status: 200 }) },
    subscriptions: [letters, { pubsubname: "mypub", topic: "dead", route: "/dead" }],
  });
  const targets = { components: { mypub: { inbound: { retry: "twice" } } } };
  const resources = [component("mypub", "pubsub.in-memory"), resiliency({ policies: { retries: { twice: constant(2) } }, targets })];
  await using sidecar = await daprd({ app: shop, resources, ready: "all" });
  assert.equal((await sidecar.post("/v1.0/publish/mypub/orders", { id: 1 })).status, 204);
  const [dead] = await shop.called("/dead");
  assert.deepEqual(dead?.json<{ data: unknown }>().data, { id: 1 });
  assert.equal(shop.calls.filter(({ path }) => path === "/orders").length, 3);
});
