// Schema migrations as Dapr's Go drivers keep them, so that both may share a file: a metadata table (key, value) whose row
// `migrations` (or another key of the driver's) holds how many of a driver's migrations have run.

import type { SqliteDatabase } from "./sqlite.ts";
import { SqliteError } from "./sqlite-errors.ts";
import type { Statement } from "./sqlite-protocol.ts";

const defaultLevelKey = "migrations";
/** Processes that start together race for a step; every loser looks again. */
const migrationAttemptsMax = 100;

/** Creates the metadata table and runs the migrations that are missing, each in a transaction of its own. Table names must be identifiers. */
export async function migrate(
  database: SqliteDatabase,
  metadataTable: string,
  migrations: readonly (readonly Statement[])[],
  signal: AbortSignal,
  levelKey = defaultLevelKey,
): Promise<void> {
  const create = `CREATE TABLE IF NOT EXISTS ${metadataTable} (key text NOT NULL PRIMARY KEY, value text NOT NULL)`;
  const [existing] = await database.query("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", [metadataTable], signal);
  if (existing?.[0] === 0) await database.write([{ sql: create }], signal);
  for (let attempt = 0; attempt < migrationAttemptsMax; attempt++) {
    const level = await readLevel(database, metadataTable, levelKey, signal);
    const steps = migrations[level];
    if (steps === undefined) return;
    await runStep(database, metadataTable, levelKey, level, steps, signal);
  }
  throw new Error(`too many processes are migrating '${database.path}' at once; start this one again`);
}

async function readLevel(database: SqliteDatabase, metadataTable: string, levelKey: string, signal: AbortSignal): Promise<number> {
  const [row] = await database.query(`SELECT value FROM ${metadataTable} WHERE key = ?`, [levelKey], signal);
  if (row === undefined) return 0;
  const level = Number(row[0]);
  if (!Number.isSafeInteger(level) || level < 0) throw new Error(`invalid migration level found in metadata table: ${row[0]}`);
  return level;
}

/** Runs one migration unless another process was faster. */
async function runStep(
  database: SqliteDatabase,
  metadataTable: string,
  levelKey: string,
  level: number,
  steps: readonly Statement[],
  signal: AbortSignal,
): Promise<void> {
  const claim: Statement = {
    sql: `INSERT INTO ${metadataTable} (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2 WHERE value = ?3`,
    params: [levelKey, String(level + 1), String(level)],
    expect: 1,
  };
  try {
    await database.write([claim, ...steps], signal);
  } catch (error) {
    if (!(error instanceof SqliteError && error.kind === "expectation")) throw error;
  }
}
