import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { silentLogger } from "../telemetry/log.ts";
import { FakeKubeApi } from "./fake-api.ts";
import { Informer } from "./informer.ts";
import { Mirror } from "./mirror.ts";
import type { KubeObject } from "./object.ts";
import { kubeResources } from "./resource.ts";

const { configMaps } = kubeResources;

/** An informer that runs until the end of the test, its events as text, and a way to wait for them. */
async function started(api: FakeKubeApi, selection = {}) {
  const client = api.client();
  const stop = new AbortController();
  const informer = new Informer({ client, resource: configMaps, log: silentLogger, selection });
  const seen: string[] = [];
  let wake = () => {};
  informer.subscribe(({ type, object }) => {
    seen.push(`${type} ${object.metadata.name} ${object["n"] ?? ""}`.trim());
    wake();
  });
  const running = informer.run(stop.signal);
  const saw = async (...expected: readonly string[]) => {
    while (seen.length < expected.length) await new Promise<void>((resolve) => (wake = resolve));
    assert.deepEqual(seen.splice(0), expected);
  };
  return {
    informer,
    saw,
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("over"));
      await running;
      client.close();
    },
  };
}

const map = (name: string, n: number) => ({ metadata: { namespace: "a", name }, n });

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("what stands, then what changes", async () => {
  await using api = await FakeKubeApi.start();
  api.put(configMaps, map("x", 1));
  await using running = await started(api);
  const { informer, saw } = running;
  await saw("added x 1");
  assert.equal(informer.isSynced, true);
  api.put(configMaps, map("y", 1));
  api.put(configMaps, map("x", 2));
  api.remove(configMaps, "a", "y");
  await saw("added y 1", "updated x 2", "deleted y 1");
  assert.deepEqual(
    [...informer.values()].map((object) => object["n"]),
    [2],
  );
  assert.equal(informer.get("a", "x")?.["n"], 2);
});

test("a watch that breaks goes on where it was; one that expired (410) is made good by a list, deletions too", async () => {
  await using api = await FakeKubeApi.start();
  api.put(configMaps, map("x", 1));
  api.put(configMaps, map("y", 1));
  await using running = await started(api);
  await running.saw("added x 1", "added y 1");
  await until(() => api.watches === 1);
  api.dropWatches();
  api.put(configMaps, map("x", 2));
  await running.saw("updated x 2");
  await until(() => api.watches === 1);
  api.dropWatches();
  api.remove(configMaps, "a", "y");
  api.put(configMaps, map("z", 1));
  api.compact();
  await running.saw("added z 1", "deleted y 1");
});

test("refused lists and watches are tried again; a kind that is not there counts as none and may come", async () => {
  await using api = await FakeKubeApi.start();
  api.fail("GET", /configmaps/, 403, 2);
  api.fail("WATCH", /configmaps/, 500, 2);
  api.put(configMaps, map("x", 1));
  await using running = await started(api);
  await running.saw("added x 1");
  await until(() => api.watches === 1);
  api.put(configMaps, map("x", 2));
  await running.saw("updated x 2");
});

test("a server that ends every watch in good order is followed all the same", async () => {
  await using api = await FakeKubeApi.start();
  await using running = await started(api);
  await running.informer.synced;
  for (const n of [1, 2, 3]) {
    await until(() => api.watches === 1);
    api.endWatches();
    api.put(configMaps, map("x", n));
    await running.saw(`${n === 1 ? "added" : "updated"} x ${n}`);
    assert.equal(running.informer.trouble, null);
  }
});

test("a kind that the cluster does not have is an empty copy", async () => {
  await using api = await FakeKubeApi.start();
  api.fail("GET", /configmaps/, 404);
  await using running = await started(api);
  await running.informer.synced;
  assert.deepEqual([running.informer.isAbsent, [...running.informer.values()]], [true, []]);
});

test("whatever a watch misses or repeats, the copy and its events agree with the last list", () => {
  const step = fc.record({ key: fc.nat(3), version: fc.nat(5), kind: fc.constantFrom("ADDED", "MODIFIED", "DELETED", "LIST") });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const mirror = new Mirror();
      const told = new Map<string, string>();
      const object = (key: number, version: number): KubeObject => ({
        metadata: { namespace: "a", name: `o${key}`, resourceVersion: `${version}` },
      });
      for (const { key, version, kind } of steps) {
        const one = object(key, version);
        const applied = kind === "LIST" ? null : mirror.apply({ type: kind as "ADDED", object: one });
        const events = kind === "LIST" ? mirror.replace([one]) : applied === null ? [] : [applied];
        for (const event of events) {
          const name = event.object.metadata.name ?? "";
          assert.equal(told.has(name), event.type !== "added", "added comes first, and only first");
          if (event.type === "deleted") told.delete(name);
          else told.set(name, event.object.metadata.resourceVersion ?? "");
        }
      }
      const held = [...mirror.values()].map(({ metadata }) => [metadata.name ?? "", metadata.resourceVersion ?? ""] as const);
      assert.deepEqual(new Map(held), told);
    }),
  );
});
