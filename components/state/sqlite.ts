// state.sqlite v1: one table in an SQLite file, laid out as Dapr's Go driver lays it out (inventory §11.4), so that both may use
// the same file: text values as they are, other bytes as base64 with is_binary, times as UTC text to the second.
import { isUtf8 } from "node:buffer";
import { randomUUID } from "node:crypto";
import type { Clock, Timer } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { DriverContext } from "../driver.ts";
import { openSqlite, type SqliteDatabase } from "../shared/sqlite.ts";
import { SqliteError } from "../shared/sqlite-errors.ts";
import { migrate } from "../shared/sqlite-migrations.ts";
import type { Row, SqlValue, Statement } from "../shared/sqlite-protocol.ts";
import { readSqliteSettings, type SqliteSettings, sqlIdentifier } from "../shared/sqlite-settings.ts";
import {
  type BulkGetItem,
  BulkStoreError,
  type DeleteRequest,
  EtagError,
  type GetRequest,
  type KeysLikePage,
  type KeysLikeRequest,
  type RequestMetadata,
  type SetRequest,
  type StateFeature,
  type StateItem,
  type StateStore,
  type TransactionOperation,
} from "./store.ts";
import { expiryMetadata, ttlSeconds } from "./ttl.ts";

/** Keys asked for by one SELECT of a bulk get. */
const bulkGetChunkKeys = 512;

export function create(context: DriverContext): StateStore {
  const { properties } = context;
  const settings = readSqliteSettings(properties);
  const table = sqlIdentifier(properties, "tableName", "state");
  const metadataTable = sqlIdentifier(properties, "metadataTableName", "metadata");
  const interval = properties.has("cleanupInterval") ? "cleanupInterval" : "cleanupIntervalInSeconds";
  const cleanupIntervalMs = properties.durationMs(interval, 0);
  properties.check();
  for (const warning of settings.warnings) context.log.warn(warning);
  return new SqliteStore(context, settings, { table, metadataTable, cleanupIntervalMs });
}

interface Layout {
  readonly table: string;
  readonly metadataTable: string;
  /** 0: expired rows stay until they are overwritten. */
  readonly cleanupIntervalMs: number;
}

class SqliteStore implements StateStore {
  readonly features: readonly StateFeature[] = ["ETAG", "TRANSACTIONAL", "TTL", "KEYS_LIKE"];
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #settings: SqliteSettings;
  readonly #layout: Layout;
  readonly #sql: ReturnType<typeof statements>;
  readonly #closing = new AbortController();
  #database: SqliteDatabase | null = null;
  #cleanup: Timer | null = null;

  constructor(context: DriverContext, settings: SqliteSettings, layout: Layout) {
    this.#clock = context.clock;
    this.#log = context.log;
    this.#settings = settings;
    this.#layout = layout;
    this.#sql = statements(layout);
  }

  async init(signal: AbortSignal): Promise<void> {
    this.#database = await openSqlite(this.#settings, this.#clock, signal);
    if (!this.#settings.target.readOnly) await migrate(this.#database, this.#layout.metadataTable, [[{ sql: this.#sql.create }]], signal);
    this.#cleanupLater();
  }

  async close(): Promise<void> {
    this.#cleanup?.cancel();
    this.#closing.abort(new Error("the state store is closing"));
    await this.#database?.close();
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#open().query("SELECT 1", [], signal);
  }

  async get({ key }: GetRequest, signal: AbortSignal): Promise<StateItem | null> {
    const [row] = await this.#open().query(this.#sql.get, [key, this.#now()], signal);
    return row === undefined ? null : toItem(row);
  }

  async bulkGet(requests: readonly GetRequest[], signal: AbortSignal): Promise<readonly BulkGetItem[]> {
    const keys = [...new Set(requests.map((request) => request.key))];
    const now = this.#now();
    const queries: Promise<readonly Row[]>[] = [];
    for (let start = 0; start < keys.length; start += bulkGetChunkKeys) {
      const chunk = padded(keys.slice(start, start + bulkGetChunkKeys));
      queries.push(this.#open().query(this.#sql.bulkGet(chunk.length), [...chunk, now], signal));
    }
    const found = new Map<string, StateItem>();
    for (const row of (await Promise.all(queries)).flat()) found.set(row[4] as string, toItem(row));
    return requests.map(({ key }) => ({ key, item: found.get(key) ?? null, error: null }));
  }

  async set(request: SetRequest, signal: AbortSignal): Promise<void> {
    await this.#write([this.#upsert(request)], signal);
  }

  async delete(request: DeleteRequest, signal: AbortSignal): Promise<void> {
    await this.#write([this.#remove(request)], signal);
  }

  bulkSet(requests: readonly SetRequest[], signal: AbortSignal): Promise<void> {
    return each(requests, (request) => this.set(request, signal));
  }

  bulkDelete(requests: readonly DeleteRequest[], signal: AbortSignal): Promise<void> {
    return each(requests, (request) => this.delete(request, signal));
  }

  async transact(operations: readonly TransactionOperation[], _metadata: RequestMetadata, signal: AbortSignal): Promise<void> {
    if (operations.length === 0) return;
    const all = operations.map(({ operation, request }) => (operation === "upsert" ? this.#upsert(request) : this.#remove(request)));
    await this.#write(all, signal);
  }

  async keysLike({ pattern, pageSize, continuationToken }: KeysLikeRequest, signal: AbortSignal): Promise<KeysLikePage> {
    if (pattern === "") throw new Error("keys like pattern cannot be empty");
    const after = continuationToken === null ? 0 : Number(continuationToken);
    if (!Number.isSafeInteger(after)) throw new Error(`invalid continue token: '${continuationToken}'`);
    const limit = pageSize ?? -1;
    const rows = await this.#open().query(this.#sql.keysLike, [pattern, after, this.#now(), limit], signal);
    const last = rows.length === limit ? rows.at(-1) : undefined;
    return { keys: rows.map((row) => row[0] as string), continuationToken: last === undefined ? null : String(last[1]) };
  }

  #upsert({ key, value, etag, concurrency, metadata }: SetRequest): Statement {
    const ttl = ttlSeconds(metadata);
    const now = this.#clock.now();
    const expires = ttl === null ? null : toTimestamp(now + ttl * 1000);
    const text = asText(value);
    const columns: SqlValue[] = [key, text ?? base64(value), text === null ? 1 : 0, randomUUID(), expires, toTimestamp(now)];
    if (etag !== null && etag !== "") return { sql: this.#sql.setMatching, params: [...columns, etag], expect: 1 };
    if (concurrency === "first-write") return { sql: this.#sql.setFirst, params: columns, expect: 1 };
    return { sql: this.#sql.set, params: columns };
  }

  #remove({ key, etag }: DeleteRequest): Statement {
    if (etag === null || etag === "") return { sql: this.#sql.delete, params: [key] };
    return { sql: this.#sql.deleteMatching, params: [key, etag], expect: 1 };
  }

  async #write(all: readonly Statement[], signal: AbortSignal): Promise<void> {
    try {
      await this.#open().write(all, signal);
    } catch (error) {
      if (error instanceof SqliteError && error.kind === "expectation") throw new EtagError("mismatch");
      throw error;
    }
  }

  #open(): SqliteDatabase {
    if (this.#database === null) throw new Error("the state store is not initialised");
    return this.#database;
  }

  #now(): string {
    return toTimestamp(this.#clock.now());
  }

  #cleanupLater(): void {
    const { cleanupIntervalMs } = this.#layout;
    if (cleanupIntervalMs <= 0 || this.#closing.signal.aborted) return;
    this.#cleanup = this.#clock.after(cleanupIntervalMs, () => {
      this.#deleteExpired()
        .catch((error: unknown) => this.#log.error(`Error removing expired data: ${messageOf(error)}`))
        .finally(() => this.#cleanupLater());
    });
  }

  /** Of all sidecars on this file one cleans up per interval: the first to move `last-cleanup` on. */
  async #deleteExpired(): Promise<void> {
    const now = this.#now();
    const claim: Statement = { sql: this.#sql.claimCleanup, params: [now, this.#layout.cleanupIntervalMs - 100], expect: 1 };
    try {
      await this.#open().write([claim, { sql: this.#sql.deleteExpired, params: [now] }], this.#closing.signal);
    } catch (error) {
      if (this.#closing.signal.aborted || (error instanceof SqliteError && error.kind === "expectation")) return;
      throw error;
    }
  }
}

const live = (parameter: string) => `(expiration_time IS NULL OR expiration_time > ${parameter})`;

function statements({ table, metadataTable }: Layout) {
  const columns = "key, value, is_binary, etag, expiration_time, update_time";
  const item = "value, is_binary, etag, expiration_time";
  return {
    create: `CREATE TABLE IF NOT EXISTS ${table} (
      key TEXT NOT NULL PRIMARY KEY,
      value TEXT NOT NULL,
      is_binary BOOLEAN NOT NULL,
      etag TEXT NOT NULL,
      expiration_time TIMESTAMP DEFAULT NULL,
      update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    )`,
    get: `SELECT ${item} FROM ${table} WHERE key = ?1 AND ${live("?2")}`,
    bulkGet: (count: number) =>
      `SELECT ${item}, key FROM ${table} WHERE key IN (${"?,".repeat(count).slice(0, -1)}) AND ${live(`?${count + 1}`)}`,
    set: `INSERT OR REPLACE INTO ${table} (${columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)`,
    /** A row that has expired but is still there counts as absent. */
    setFirst: `INSERT OR REPLACE INTO ${table} (${columns}) SELECT ?1, ?2, ?3, ?4, ?5, ?6
      WHERE NOT EXISTS (SELECT 1 FROM ${table} WHERE key = ?1 AND ${live("?6")})`,
    setMatching: `UPDATE ${table} SET value = ?2, is_binary = ?3, etag = ?4, expiration_time = ?5, update_time = ?6
      WHERE key = ?1 AND etag = ?7 AND ${live("?6")}`,
    delete: `DELETE FROM ${table} WHERE key = ?1`,
    deleteMatching: `DELETE FROM ${table} WHERE key = ?1 AND etag = ?2`,
    keysLike: `SELECT key, rowid FROM ${table} WHERE key LIKE ?1 ESCAPE '\\' AND rowid > ?2 AND ${live("?3")} ORDER BY rowid LIMIT ?4`,
    claimCleanup: `INSERT INTO ${metadataTable} (key, value) VALUES ('last-cleanup', ?1)
      ON CONFLICT (key) DO UPDATE SET value = ?1 WHERE (unixepoch(?1) - unixepoch(value)) * 1000 > ?2`,
    deleteExpired: `DELETE FROM ${table} WHERE expiration_time IS NOT NULL AND expiration_time < ?1`,
  };
}

function toItem(row: Row): StateItem {
  const [value, isBinary, etag, expires] = row as [string | Uint8Array, number, string, string | null];
  const data = isBinary === 0 ? Buffer.from(value) : Buffer.from(String(value), "base64");
  const expiresAt = expires === null ? null : Date.parse(`${expires.replace(" ", "T")}Z`);
  return { data, etag, metadata: expiryMetadata(expiresAt), contentType: null };
}

/** The bytes as text when they are text that SQLite's tools show whole; null for anything else. */
function asText(value: Uint8Array): string | null {
  return isUtf8(value) && !value.includes(0) ? asBuffer(value).toString() : null;
}

function base64(value: Uint8Array): string {
  return asBuffer(value).toString("base64");
}

function asBuffer(value: Uint8Array): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

/** SQLite's CURRENT_TIMESTAMP form: `YYYY-MM-DD HH:MM:SS`, UTC. */
function toTimestamp(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** Repeats the last key up to a power of two, so that few different statements are prepared. */
function padded(keys: readonly string[]): readonly string[] {
  const length = 2 ** Math.ceil(Math.log2(keys.length));
  return [...keys, ...Array<string>(length - keys.length).fill(keys.at(-1) as string)];
}

/** All at once, which the database's worker makes one commit of; those that fail are named. */
async function each<R extends { readonly key: string }>(requests: readonly R[], run: (request: R) => Promise<void>): Promise<void> {
  const failures = new Map<string, Error>();
  const fail = (key: string) => (error: Error) => void failures.set(key, error);
  await Promise.all(requests.map((request) => run(request).catch(fail(request.key))));
  if (failures.size > 0) throw new BulkStoreError(failures);
}
