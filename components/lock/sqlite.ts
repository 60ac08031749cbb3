// lock.sqlite v1, ours: locks in an SQLite file, for the processes of one machine, with nothing to install. Metadata: connectionString, timeout,
// busyTimeout and disableWAL as state.sqlite; tableName, `locks` by default. A lock is on disk before its owner hears of it.
import { assert } from "../../lib/kit/assert.ts";
import type { DriverContext } from "../driver.ts";
import { openSqlite, type SqliteDatabase } from "../shared/sqlite.ts";
import { SqliteError } from "../shared/sqlite-errors.ts";
import { readSqliteSettings, type SqliteSettings, sqlIdentifier } from "../shared/sqlite-settings.ts";
import type { LockStore, TryLockRequest, UnlockRequest, UnlockStatus } from "./store.ts";

export function create(context: DriverContext): LockStore {
  const { log, properties } = context;
  const settings = readSqliteSettings(properties);
  const table = sqlIdentifier(properties, "tableName", "locks");
  if (settings.target.readOnly) properties.problem("invalid connectionString: a lock must be able to write; remove mode=ro and immutable");
  properties.check();
  for (const warning of settings.warnings) log.warn(warning);
  return new SqliteLock(context, settings, table);
}

class SqliteLock implements LockStore {
  readonly #context: DriverContext;
  readonly #settings: SqliteSettings;
  readonly #sql: ReturnType<typeof statements>;
  #database: SqliteDatabase | null = null;

  constructor(context: DriverContext, settings: SqliteSettings, table: string) {
    this.#context = context;
    this.#settings = settings;
    this.#sql = statements(table);
  }

  async init(signal: AbortSignal): Promise<void> {
    this.#database = await openSqlite(this.#settings, this.#context.clock, signal);
    await this.#database.write([{ sql: this.#sql.create }, { sql: this.#sql.index }], signal);
  }

  async close(): Promise<void> {
    await this.#database?.close();
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#open().query("SELECT 1", [], signal);
  }

  async tryLock({ resourceId, owner, expirySeconds }: TryLockRequest, signal: AbortSignal): Promise<boolean> {
    const now = this.#now();
    const insert = { sql: this.#sql.insert, params: [resourceId, owner, now + expirySeconds * 1000], expect: 1 };
    try {
      await this.#open().write([{ sql: this.#sql.deleteExpired, params: [now] }, insert], signal);
      return true;
    } catch (error) {
      if (error instanceof SqliteError && error.kind === "expectation") return false;
      throw error;
    }
  }

  async unlock({ resourceId, owner }: UnlockRequest, signal: AbortSignal): Promise<UnlockStatus> {
    const now = this.#now();
    const holder = { sql: this.#sql.holder, params: [resourceId, now] };
    const [found] = await this.#open().write([holder, { sql: this.#sql.delete, params: [resourceId, owner, now] }], signal);
    const row = found?.rows[0];
    if (row === undefined) return "lock-does-not-exist";
    return row[0] === owner ? "success" : "lock-belongs-to-others";
  }

  /** Whole milliseconds since the epoch. */
  #now(): number {
    return Math.floor(this.#context.clock.now());
  }

  #open(): SqliteDatabase {
    assert(this.#database !== null, "init comes first");
    return this.#database;
  }
}

function statements(table: string) {
  return {
    create: `CREATE TABLE IF NOT EXISTS ${table} (resource TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT`,
    index: `CREATE INDEX IF NOT EXISTS ${table}_expires_at ON ${table} (expires_at)`,
    deleteExpired: `DELETE FROM ${table} WHERE expires_at <= ?1`,
    insert: `INSERT INTO ${table} (resource, owner, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT (resource) DO NOTHING`,
    holder: `SELECT owner FROM ${table} WHERE resource = ?1 AND expires_at > ?2`,
    delete: `DELETE FROM ${table} WHERE resource = ?1 AND owner = ?2 AND expires_at > ?3`,
  };
}
