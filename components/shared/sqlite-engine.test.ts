import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { isFault, type Outcome, SqliteEngine } from "./sqlite-engine.ts";
import { SqliteError } from "./sqlite-errors.ts";
import type { SqliteTarget, StatementResult } from "./sqlite-protocol.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-engine-"));
after(() => rmSync(folder, { recursive: true }));

function fileTarget(name: string, change: Partial<SqliteTarget> = {}): SqliteTarget {
  const path = join(folder, name);
  return { uri: `file:${path}`, path, readOnly: false, writeAheadLog: true, pragmas: [], ...change };
}

function kinds(outcomes: readonly Outcome[]): string[] {
  return outcomes.map((outcome) => (isFault(outcome) ? outcome.kind : "ok"));
}

function rowsOf(results: readonly StatementResult[]): unknown {
  return results[0]?.rows;
}

function faultThrown(run: () => unknown): SqliteError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SqliteError);
    return error;
  }
  return assert.fail("nothing was thrown");
}

test("a failing request undoes itself alone", () => {
  const engine = new SqliteEngine(fileTarget("group.db"));
  engine.commit([[{ sql: "CREATE TABLE t (k TEXT PRIMARY KEY, v INT)" }]]);
  const insert = "INSERT INTO t VALUES (?, ?)";
  const outcomes = engine.commit([
    [{ sql: insert, params: ["a", 1] }],
    [
      { sql: insert, params: ["b", 1] },
      { sql: insert, params: ["a", 2] },
    ],
    [
      { sql: insert, params: ["c", 1] },
      { sql: "UPDATE t SET v = 2 WHERE k = ?", params: ["missing"], expect: 1 },
    ],
    [{ sql: "nonsense" }],
    [{ sql: insert, params: ["d", 1], expect: 1 }],
  ]);
  assert.deepEqual(kinds(outcomes), ["ok", "constraint", "expectation", "other", "ok"]);
  assert.deepEqual(rowsOf(engine.read([{ sql: "SELECT k FROM t ORDER BY k" }])), [["a"], ["d"]]);
  const failed = outcomes[2] as { statement: number };
  assert.equal(failed.statement, 1);
  engine.close();
});

test("a full database fails the whole group and leaves the connection usable", () => {
  const engine = new SqliteEngine(fileTarget("full.db", { pragmas: ["max_page_count(4)"] }));
  engine.commit([[{ sql: "CREATE TABLE t (v BLOB)" }]]);
  const outcomes = engine.commit([
    [{ sql: "INSERT INTO t VALUES (1)" }],
    [{ sql: "INSERT INTO t VALUES (?)", params: [new Uint8Array(100_000)] }],
  ]);
  assert.ok(kinds(outcomes).includes("full"));
  const stored = (rowsOf(engine.read([{ sql: "SELECT count(*) FROM t" }])) as number[][])[0]?.[0];
  assert.equal(stored, kinds(outcomes).filter((kind) => kind === "ok").length);
  engine.close();
});

test("a lock held elsewhere is reported as busy at once, with nothing done, and reads go on", () => {
  const target = fileTarget("busy.db");
  const engine = new SqliteEngine(target);
  engine.commit([[{ sql: "CREATE TABLE t (v INT)" }]]);
  const other = new DatabaseSync(target.path as string);
  other.exec("BEGIN IMMEDIATE");
  const failure = faultThrown(() => engine.commit([[{ sql: "INSERT INTO t VALUES (1)" }]]));
  assert.equal(failure.kind, "busy");
  assert.match(failure.message, /busy\.db.*another process holds its write lock/);
  assert.deepEqual(rowsOf(engine.read([{ sql: "SELECT count(*) FROM t" }])), [[0]]);
  other.exec("ROLLBACK");
  other.close();
  assert.deepEqual(kinds(engine.commit([[{ sql: "INSERT INTO t VALUES (1)" }]])), ["ok"]);
  engine.close();
});

test("errors name the file, the cause and the remedy", () => {
  const missing = faultThrown(() => new SqliteEngine(fileTarget("no/such/folder/x.db")));
  assert.match(missing.message, /x\.db'.*the folder '.*no\/such\/folder' does not exist; create it/);
  writeFileSync(join(folder, "garbage.db"), "this is a text file, long enough to have a header of a hundred bytes ".repeat(20));
  const corrupt = faultThrown(() => new SqliteEngine(fileTarget("garbage.db")));
  assert.equal(corrupt.kind, "corrupt");
  assert.match(corrupt.message, /restore it from a backup/);
  new SqliteEngine(fileTarget("ro.db")).close();
  const path = join(folder, "ro.db");
  const engine = new SqliteEngine({ uri: `file:${path}?mode=ro`, path, readOnly: true, writeAheadLog: false, pragmas: [] });
  const outcomes = engine.commit([[{ sql: "CREATE TABLE t (v INT)" }]]);
  assert.deepEqual(kinds(outcomes), ["read-only"]);
  engine.close();
});

test("a forgotten prepared statement is prepared again", () => {
  const engine = new SqliteEngine({ uri: ":memory:", path: null, readOnly: false, writeAheadLog: false, pragmas: [] });
  for (let round = 0; round < 2; round++) {
    for (let value = 0; value < 300; value++) assert.deepEqual(rowsOf(engine.read([{ sql: `SELECT ${value}` }])), [[value]]);
  }
  engine.close();
});
