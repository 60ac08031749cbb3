// kill -9 in the middle of writes through state.sqlite and pubsub.sqlite: what was acknowledged is there after a restart, each
// event is delivered, and nothing that was answered with an error counts.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { component } from "../../build/resource.ts";
import { type AppCall, app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";

const writers = 16;
const killAfter = 400;
const rounds = 3;

function resources(folder: Folder) {
  return [
    component("store", "state.sqlite", { metadata: { connectionString: folder.file("state.sqlite") } }),
    component("bus", "pubsub.sqlite", { metadata: { connectionString: folder.file("bus.sqlite"), leaseDuration: "2s" } }),
  ];
}

/** Runs `act` by many writers until the sidecar dies; the ids that were acknowledged. */
async function untilKilled(sidecar: Daprd, act: (id: string) => Promise<Response>, round: string): Promise<string[]> {
  const acknowledged: string[] = [];
  let next = 0;
  const write = async () => {
    for (;;) {
      const id = `${round}-${next++}`;
      try {
        if ((await act(id)).status === 204) acknowledged.push(id);
      } catch {
        return;
      }
      // In the middle: the other writers' requests are in flight at this very moment.
      if (acknowledged.length === killAfter) sidecar.program.signal("SIGKILL");
    }
  };
  await Promise.all(Array.from({ length: writers }, write));
  assert.equal((await sidecar.program.exited()).signal, "SIGKILL");
  assert.ok(acknowledged.length >= killAfter);
  return acknowledged;
}

test("every acknowledged state write survives kill -9", async (t: TestContext) => {
  using folder = new Folder("kill");
  const acknowledged: string[] = [];
  for (let round = 0; round < rounds; round++) {
    await using sidecar = await daprd({ appId: "shop", resources: resources(folder) });
    const save = (id: string) => sidecar.post("/v1.0/state/store", [{ key: id, value: { id } }]);
    acknowledged.push(...(await untilKilled(sidecar, save, `r${round}`)));
  }
  await using sidecar = await daprd({ appId: "shop", resources: resources(folder) });
  const reply = await sidecar.post("/v1.0/state/store/bulk", { keys: acknowledged, parallelism: 10 });
  const items = (await reply.json()) as { key: string; data?: { id: string } }[];
  t.diagnostic(`${acknowledged.length} acknowledged writes over ${rounds} kills`);
  const lost = items.filter(({ key, data }) => data?.id !== key);
  assert.deepEqual([items.length, lost], [acknowledged.length, []]);
});

test("every acknowledged publish survives kill -9 and is delivered", async (t: TestContext) => {
  using folder = new Folder("kill");
  const acknowledged: string[] = [];
  const delivered = new Set<string>();
  const subscriptions = [{ pubsubname: "bus", topic: "orders", route: "/event" }];
  const onEvent = (call: AppCall) => {
    delivered.add(call.json<{ data: { id: string } }>().data.id);
    return {};
  };
  await using shop = await app({ subscriptions, http: { "/event": onEvent } });
  for (let round = 0; round < rounds; round++) {
    await using sidecar = await daprd({ appId: "shop", app: shop, resources: resources(folder), ready: "all" });
    const publish = (id: string) => sidecar.post("/v1.0/publish/bus/orders", { id });
    acknowledged.push(...(await untilKilled(sidecar, publish, `r${round}`)));
  }
  const beforeRestart = delivered.size;
  await using sidecar = await daprd({ appId: "shop", app: shop, resources: resources(folder), ready: "all" });
  // What the killed sidecar had taken in hand is free again when its lease has run out.
  await sidecar.eventually("all were delivered", () => acknowledged.every((id) => delivered.has(id)), 30_000);
  t.diagnostic(`${acknowledged.length} acknowledged publishes over ${rounds} kills; ${beforeRestart} delivered before the last start`);
  assert.ok(delivered.size >= acknowledged.length);
});
