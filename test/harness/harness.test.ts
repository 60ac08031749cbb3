// The harness itself: what it promises to every other test.
import assert from "node:assert/strict";
import { test } from "node:test";
import { component } from "../build/resource.ts";
import { app } from "./app.ts";
import { daprd } from "./daprd.ts";
import { reservePorts } from "./ports.ts";

test("a sidecar starts, serves its resources and is gone after the test", async () => {
  let pid = 0;
  {
    await using sidecar = await daprd({ resources: [component("statestore", "state.in-memory")] });
    pid = sidecar.pid;
    const saved = await sidecar.post("/v1.0/state/statestore", [{ key: "a", value: 1 }]);
    assert.equal(saved.status, 204);
    assert.equal(await (await sidecar.fetch("/v1.0/state/statestore/a")).text(), "1");
  }
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});

test("a sidecar that cannot start fails the test with its log", async () => {
  const bad = component("x", "state.no-such-driver");
  await assert.rejects(daprd({ resources: [bad], withinMs: 15_000 }), /--- daprd [\s\S]*no-such-driver/);
});

test("an app is called through its sidecar", async () => {
  await using shop = await app({ http: { "/order": (call) => ({ status: 201, body: { echo: call.json() } }) } });
  await using sidecar = await daprd({ app: shop, ready: "all" });
  const reply = await sidecar.post(`/v1.0/invoke/${sidecar.appId}/method/order?a=b`, { id: 7 });
  assert.equal(reply.status, 201);
  assert.deepEqual(await reply.json(), { echo: { id: 7 } });
  assert.equal((await shop.called("/order"))[0]?.query, "a=b");
});

test("reserved ports are all different", async () => {
  const ports = await reservePorts(40);
  assert.equal(new Set(ports).size, 40);
});
