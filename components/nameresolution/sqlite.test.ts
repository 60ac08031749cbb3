import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { driverContext } from "../shared/test-context.ts";
import type { NameResolver } from "./resolver.ts";
import { create } from "./sqlite.ts";

const never = new AbortController().signal;
const request = (appId: string) => ({ appId, namespace: "default", port: 0 });

function fileFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "hosts-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "hosts.db");
}

async function resolverOn(t: TestContext, file: string, clock: FakeClock, appId?: string, port = 1): Promise<NameResolver> {
  const resolver = create(driverContext("nameresolution.sqlite", { connectionString: file }, clock));
  let closed = false;
  const close = resolver.close.bind(resolver);
  resolver.close = async () => {
    if (!closed) await close();
    closed = true;
  };
  t.after(() => resolver.close());
  await resolver.init(never);
  if (appId !== undefined) await resolver.register({ appId, namespace: "default", host: "10.0.0.1", port }, never);
  return resolver;
}

test("hosts are found while their heartbeat is fresh, and gone when they leave", async (t) => {
  const file = fileFor(t);
  const clock = new FakeClock();
  const first = await resolverOn(t, file, clock, "app", 1);
  const second = await resolverOn(t, file, clock, "app", 2);
  assert.deepEqual(await second.resolve(request("app"), never), ["10.0.0.1:1", "10.0.0.1:2"]);
  await assert.rejects(second.resolve(request("nobody"), never), /no host found with the given ID/);
  await first.close();
  second.invalidate(request("app"), "10.0.0.1:1");
  assert.deepEqual(await second.resolve(request("app"), never), ["10.0.0.1:2"]);
});

test("a host that stops beating is dead after updateInterval; one that beats lives on", async (t) => {
  const file = fileFor(t);
  const hostClock = new FakeClock();
  const clientClock = new FakeClock();
  const host = await resolverOn(t, file, hostClock, "app");
  const client = await resolverOn(t, file, clientClock);
  for (let i = 0; i < 3; i++) {
    await hostClock.untilWaiting(2);
    await hostClock.advance(3500);
    await clientClock.advance(3500);
    // Ordered behind the heartbeat: one worker serves the file.
    await host.resolve(request("nobody"), never).catch(() => {});
  }
  assert.deepEqual(await client.resolve(request("app"), never), ["10.0.0.1:1"]);
  await clientClock.advance(6000);
  await assert.rejects(client.resolve(request("app"), never), /no host found/);
});

test("the table is the one that Go sidecars share", async (t) => {
  const file = fileFor(t);
  await resolverOn(t, file, new FakeClock(Date.UTC(2026, 0, 1)), "app");
  const database = new DatabaseSync(file, { readOnly: true });
  t.after(() => database.close());
  const [row] = database.prepare("SELECT address, app_id, namespace, last_update FROM hosts").all();
  assert.deepEqual({ ...row }, { address: "10.0.0.1:1", app_id: "app", namespace: "", last_update: Date.UTC(2026, 0, 1) / 1000 });
  assert.deepEqual({ ...database.prepare("SELECT key, value FROM metadata").get() }, { key: "nr-migrations", value: "1" });
});

test("settings that cannot work are refused together", () => {
  const context = driverContext(
    "nameresolution.sqlite",
    { connectionString: "x.db", updateInterval: "1500ms", tableName: "a b" },
    new FakeClock(),
  );
  assert.throws(() => create(context), /invalid identifier: a b.*fractions of seconds.*at least 1s greater than timeout/);
});
