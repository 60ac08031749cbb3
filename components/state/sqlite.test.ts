import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../lib/kit/clock.ts";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { driverContext } from "../shared/test-context.ts";
import { getRequest, setRequest, stateConformance } from "./conformance.ts";
import { create } from "./sqlite.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-state-"));
after(() => rmSync(folder, { recursive: true }));
const signal = new AbortController().signal;

async function open(metadata: Readonly<Record<string, string>>, clock = new FakeClock()) {
  const store = create(driverContext("state.sqlite", metadata, clock));
  await store.init(signal);
  return { store, clock };
}

stateConformance("state.sqlite, file", () => open({ connectionString: join(folder, "conformance.db") }));
stateConformance("state.sqlite, in memory", () => open({ connectionString: ":memory:" }));
stateConformance("state.sqlite, without WAL, own names", () =>
  open({ connectionString: join(folder, "names.db"), disableWAL: "true", tableName: "mystate", metadataTableName: "mymeta" }),
);

test("a file that Dapr's Go driver made is read and written in its layout", async () => {
  const path = join(folder, "go.db");
  const other = new DatabaseSync(path);
  other.exec(`CREATE TABLE metadata (key text NOT NULL PRIMARY KEY, value text NOT NULL);
    INSERT INTO metadata VALUES ('migrations', '1');
    CREATE TABLE state (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, is_binary BOOLEAN NOT NULL, etag TEXT NOT NULL,
      expiration_time TIMESTAMP DEFAULT NULL, update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
    INSERT INTO state VALUES ('app||text', '{"a":1}', 0, 'e1', NULL, '2026-01-01 00:00:00');
    INSERT INTO state VALUES ('app||bytes', 'AAH/', 1, 'e2', '2099-01-01 00:00:00', '2026-01-01 00:00:00');`);
  const { store } = await open({ connectionString: path });
  const text = await store.get(getRequest("app||text"), signal);
  assert.equal(Buffer.from(text?.data ?? []).toString(), '{"a":1}');
  assert.equal(text?.etag, "e1");
  const bytes = await store.get(getRequest("app||bytes"), signal);
  assert.deepEqual([...(bytes?.data ?? [])], [0, 1, 255]);
  assert.equal(bytes?.metadata["ttlExpireTime"], "2099-01-01T00:00:00Z");
  await store.set(setRequest("app||new", '"x"', { metadata: { ttlInSeconds: "60" } }), signal);
  await store.set(setRequest("app||new-bytes", new Uint8Array([0, 255])), signal);
  const rows = other
    .prepare("SELECT value, is_binary, expiration_time, update_time FROM state WHERE key LIKE 'app||new%' ORDER BY key")
    .all();
  assert.deepEqual(
    rows.map((row) => ({ ...row })),
    [
      { value: '"x"', is_binary: 0, expiration_time: "2026-01-01 00:01:00", update_time: "2026-01-01 00:00:00" },
      { value: "AP8=", is_binary: 1, expiration_time: null, update_time: "2026-01-01 00:00:00" },
    ],
  );
  other.close();
  await store.close();
});

test("cleanup deletes expired rows, one sidecar per interval", async () => {
  const path = join(folder, "cleanup.db");
  const clock = new FakeClock();
  const metadata = { connectionString: path, cleanupInterval: "10s" };
  const one = await open(metadata, clock);
  const two = await open(metadata, clock);
  await one.store.set(setRequest("a", "1", { metadata: { ttlInSeconds: "1" } }), signal);
  await one.store.set(setRequest("b", "1"), signal);
  await clock.advance(10_000);
  // Both cleanups are on their way; each arms its timer again once it is through.
  await clock.untilWaiting(2);
  await one.store.ping?.(signal);
  const other = new DatabaseSync(path);
  assert.deepEqual(other.prepare("SELECT key FROM state").all().length, 1);
  assert.equal(other.prepare("SELECT value FROM metadata WHERE key = 'last-cleanup'").get()?.["value"], "2026-01-01 00:00:10");
  other.close();
  await one.store.close();
  await two.store.close();
});

test("bad metadata is reported whole, with names", () => {
  const bad = { connectionString: "", tableName: "a b", metadataTableName: "x;", timeout: "10ms" };
  assert.throws(
    () => create(driverContext("state.sqlite", bad, new FakeClock())),
    (error: { problems: string[] }) => {
      assert.equal(error.problems.length, 4);
      assert.ok(error.problems.some((problem) => problem.includes("invalid identifier: a b")));
      return true;
    },
  );
});

test("kill -9 in the middle of writes loses nothing that was acknowledged", async () => {
  const path = join(folder, "killed.db");
  const writer = fileURLToPath(new URL("./sqlite-kill-writer.ts", import.meta.url));
  const child = spawn(process.execPath, [writer, path], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  let acknowledged = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged = Math.max(acknowledged, Number(line));
    if (acknowledged > 300) child.kill("SIGKILL");
  }
  const [, killedBy] = await exited;
  assert.equal(killedBy, "SIGKILL");
  const store = create(driverContext("state.sqlite", { connectionString: path }, systemClock));
  await store.init(signal);
  const keys = Array.from({ length: acknowledged }, (_, index) => getRequest(`key${index + 1}`));
  const items = (await store.bulkGet?.(keys, signal)) ?? [];
  const missing = items.filter((entry, index) => Buffer.from(entry.item?.data ?? []).toString() !== String(index + 1));
  assert.deepEqual(missing, []);
  assert.equal(items.length, acknowledged);
  await store.close();
});
