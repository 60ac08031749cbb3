import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { Properties } from "../metadata.ts";
import { openSqlite, type SqliteDatabase } from "./sqlite.ts";
import { migrate } from "./sqlite-migrations.ts";
import { readSqliteSettings } from "./sqlite-settings.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-sqlite-"));
after(() => rmSync(folder, { recursive: true }));
const signal = new AbortController().signal;

function settingsOf(connectionString: string, more: Record<string, string> = {}) {
  const properties = new Properties(Object.entries({ connectionString, ...more }));
  const settings = readSqliteSettings(properties);
  properties.check();
  return settings;
}

function open(name: string, more: Record<string, string> = {}, clock = systemClock): Promise<SqliteDatabase> {
  return openSqlite(settingsOf(join(folder, name), more), clock, signal);
}

test("writes of one turn share a transaction, and each has its own fate", async () => {
  const database = await open("turn.db");
  await database.write([{ sql: "CREATE TABLE t (k TEXT PRIMARY KEY)" }], signal);
  const settled = await Promise.allSettled(
    ["a", "b", "a", "c"].map((key) => database.write([{ sql: "INSERT INTO t VALUES (?)", params: [key] }], signal)),
  );
  assert.deepEqual(
    settled.map((outcome) => outcome.status),
    ["fulfilled", "fulfilled", "rejected", "fulfilled"],
  );
  assert.deepEqual(await database.query("SELECT k FROM t ORDER BY k", [], signal), [["a"], ["b"], ["c"]]);
  await database.close();
});

test("values come back as they went in, also slices of larger buffers", async () => {
  const database = await openSqlite(settingsOf(":memory:"), systemClock, signal);
  const slice = Buffer.from("0123456789").subarray(2, 5);
  const rows = await database.query("SELECT ?, ?, ?, ?, ?", [null, 1.5, "é\0x", slice, 42n], signal);
  assert.deepEqual(rows, [[null, 1.5, "é\0x", new Uint8Array([50, 51, 52]), 42]]);
  await database.close();
});

test("components of one process share the worker; the last to close closes the file", async () => {
  const one = await open("shared.db");
  const two = await open("shared.db");
  await one.write([{ sql: "CREATE TABLE t (v INT)" }], signal);
  await one.close();
  assert.ok(existsSync(join(folder, "shared.db-wal")));
  await two.write([{ sql: "INSERT INTO t VALUES (1)" }], signal);
  await assert.rejects(one.query("SELECT 1", [], signal), { kind: "closed" });
  await two.close();
  assert.ok(!existsSync(join(folder, "shared.db-wal")), "closed with a checkpoint");
});

test("a failing open names the cause", async () => {
  await assert.rejects(open("none/x.db"), /the folder '.*none' does not exist/);
});

test("a write waits for another process's lock while reads and this thread go on", async () => {
  const database = await open("locked.db");
  await database.write([{ sql: "CREATE TABLE t (v INT)" }], signal);
  const other = new DatabaseSync(join(folder, "locked.db"));
  other.exec("BEGIN IMMEDIATE");
  let written = false;
  const write = database.write([{ sql: "INSERT INTO t VALUES (1)" }], signal).then(() => {
    written = true;
  });
  for (let round = 0; round < 20; round++) await database.query("SELECT count(*) FROM t", [], signal);
  assert.equal(written, false);
  other.exec("COMMIT");
  await write;
  assert.deepEqual(await database.query("SELECT count(*) FROM t", [], signal), [[1]]);
  other.close();
  await database.close();
});

test("busyTimeout ends the wait with a cause and a remedy", async () => {
  const database = await open("timeout.db", { busyTimeout: "1ms" });
  const other = new DatabaseSync(join(folder, "timeout.db"));
  other.exec("BEGIN IMMEDIATE");
  await assert.rejects(database.write([{ sql: "CREATE TABLE t (v INT)" }], signal), { kind: "busy", message: /raise busyTimeout/ });
  other.close();
  await database.close();
});

test("an aborted write that still waits for the lock never happens", async () => {
  const database = await open("abort.db");
  await database.write([{ sql: "CREATE TABLE t (v INT)" }], signal);
  const other = new DatabaseSync(join(folder, "abort.db"));
  other.exec("BEGIN IMMEDIATE");
  const controller = new AbortController();
  const write = database.write([{ sql: "INSERT INTO t VALUES (1)" }], controller.signal);
  await database.query("SELECT 1", [], signal);
  controller.abort(new Error("caller left"));
  await assert.rejects(write, /caller left/);
  await database.query("SELECT 1", [], signal);
  other.exec("COMMIT");
  other.close();
  await database.write([{ sql: "INSERT INTO t VALUES (2)" }], signal);
  assert.deepEqual(await database.query("SELECT v FROM t", [], signal), [[2]]);
  await database.close();
});

test("timeout bounds an operation", async () => {
  const clock = new FakeClock();
  const database = await open("slow.db", { timeout: "1s" }, clock);
  const other = new DatabaseSync(join(folder, "slow.db"));
  other.exec("BEGIN IMMEDIATE");
  const write = database.write([{ sql: "CREATE TABLE t (v INT)" }], signal);
  const outcome = assert.rejects(write, { kind: "timeout" });
  await clock.advance(1250);
  await outcome;
  other.close();
  await database.close();
});

test("closing rejects what still waits for a lock", async () => {
  const database = await open("closing.db");
  const other = new DatabaseSync(join(folder, "closing.db"));
  other.exec("BEGIN IMMEDIATE");
  const write = assert.rejects(database.write([{ sql: "CREATE TABLE t (v INT)" }], signal), { kind: "closed" });
  await database.query("SELECT 1", [], signal);
  await Promise.all([write, database.close()]);
  other.close();
});

test("migrations run once, also when several start together", async () => {
  const database = await open("migrate.db");
  const migrations = [[{ sql: "CREATE TABLE t (v INT)" }], [{ sql: "INSERT INTO t VALUES (1)" }]];
  await Promise.all([1, 2, 3, 4].map(() => migrate(database, "metadata", migrations, signal)));
  assert.deepEqual(await database.query("SELECT v FROM t", [], signal), [[1]]);
  assert.deepEqual(await database.query("SELECT key, value FROM metadata", [], signal), [["migrations", "2"]]);
  await database.close();
});
