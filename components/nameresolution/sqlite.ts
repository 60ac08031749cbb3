// nameresolution.sqlite v1: a table of hosts in an SQLite file that all sidecars of a machine share, laid out as Dapr's
// Go driver lays it out (inventory §11.4). A host is alive while its row is younger than updateInterval.
import { randomUUID } from "node:crypto";
import type { Clock, Timer } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { DriverContext } from "../driver.ts";
import { openSqlite, type SqliteDatabase } from "../shared/sqlite.ts";
import { migrate } from "../shared/sqlite-migrations.ts";
import { readSqliteSettings, type SqliteSettings, sqlIdentifier } from "../shared/sqlite-settings.ts";
import type { NameResolver, Registration, ResolveRequest } from "./resolver.ts";

const updateIntervalDefaultMs = 5000;
const cleanupIntervalDefaultMs = 60 * 60 * 1000;
const timeoutDefaultMs = 1000;
/** Addresses are remembered this long: one look-up serves the calls of a moment. */
const cacheMs = 1000;
const cacheMaxApps = 1024;

export function create(context: DriverContext): NameResolver {
  const { properties } = context;
  const settings = readSqliteSettings(properties);
  const timeoutMs = properties.has("timeout") || properties.has("timeoutInSeconds") ? settings.timeoutMs : timeoutDefaultMs;
  const table = sqlIdentifier(properties, "tableName", "hosts");
  const metadataTable = sqlIdentifier(properties, "metadataTableName", "metadata");
  const updateIntervalMs = properties.durationMs("updateInterval", updateIntervalDefaultMs);
  const cleanup = properties.has("cleanupInterval") ? "cleanupInterval" : "cleanupIntervalInSeconds";
  const cleanupIntervalMs = properties.durationMs(cleanup, cleanupIntervalDefaultMs);
  if (updateIntervalMs % 1000 !== 0) properties.problem("update interval must not contain fractions of seconds");
  if (updateIntervalMs - timeoutMs < 1000) properties.problem("update interval must be at least 1s greater than timeout");
  properties.check();
  for (const warning of settings.warnings) context.log.warn(warning);
  if (settings.target.path === null) {
    context.log.warn(
      "Configuring name resolution with an in-memory SQLite database. Service invocation across different apps will not work.",
    );
  }
  return new SqliteResolver(context, settings, { table, metadataTable, updateIntervalMs, cleanupIntervalMs, timeoutMs });
}

interface Layout {
  readonly table: string;
  readonly metadataTable: string;
  readonly updateIntervalMs: number;
  /** 0 or less: dead hosts stay in the table. */
  readonly cleanupIntervalMs: number;
  readonly timeoutMs: number;
}

interface Cached {
  readonly addresses: readonly string[];
  readonly expiresMs: number;
}

class SqliteResolver implements NameResolver {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #settings: SqliteSettings;
  readonly #layout: Layout;
  readonly #sql: ReturnType<typeof statements>;
  readonly #registrationId = randomUUID();
  readonly #closing = new AbortController();
  readonly #cache = new Map<string, Cached>();
  #database: SqliteDatabase | null = null;
  #registration: Registration | null = null;
  #heartbeat: Timer | null = null;
  #cleanup: Timer | null = null;

  constructor(context: DriverContext, settings: SqliteSettings, layout: Layout) {
    this.#clock = context.clock;
    this.#log = context.log;
    this.#settings = settings;
    this.#layout = layout;
    this.#sql = statements(layout);
  }

  async init(signal: AbortSignal): Promise<void> {
    const { metadataTable } = this.#layout;
    this.#database = await openSqlite(this.#settings, this.#clock, signal);
    await migrate(this.#database, metadataTable, [this.#sql.create.map((sql) => ({ sql }))], signal, "nr-migrations");
    this.#cleanUpLater();
  }

  async register(registration: Registration, signal: AbortSignal): Promise<void> {
    this.#registration = registration;
    await this.#announce(signal);
    this.#beatLater();
  }

  async resolve({ appId }: ResolveRequest, signal: AbortSignal): Promise<readonly string[]> {
    const now = this.#clock.monotonic();
    const cached = this.#cache.get(appId);
    if (cached !== undefined && cached.expiresMs > now) return cached.addresses;
    const rows = await this.#open().query(this.#sql.resolve, [appId, this.#aliveSince()], signal);
    if (rows.length === 0) {
      this.#cache.delete(appId);
      throw new Error("no host found with the given ID");
    }
    const addresses = rows.map((row) => row[0] as string);
    if (this.#cache.size >= cacheMaxApps) this.#cache.clear();
    this.#cache.set(appId, { addresses, expiresMs: now + cacheMs });
    return addresses;
  }

  invalidate({ appId }: ResolveRequest): void {
    this.#cache.delete(appId);
  }

  async close(): Promise<void> {
    this.#heartbeat?.cancel();
    this.#cleanup?.cancel();
    const registration = this.#registration;
    try {
      if (registration && this.#database) {
        await this.#database.write([{ sql: this.#sql.remove, params: [this.#registrationId, addressOf(registration)] }], timeLimit());
      }
    } catch (error) {
      // The row dies of age.
      this.#log.warn(`failed to unregister host: ${messageOf(error)}`);
    } finally {
      this.#closing.abort(new Error("the name resolver is closing"));
      await this.#database?.close();
    }
  }

  #open(): SqliteDatabase {
    if (this.#database === null) throw new Error("the name resolver is not initialized");
    return this.#database;
  }

  /** Unix seconds; what was updated later is alive. */
  #aliveSince(): number {
    return Math.floor(this.#clock.now() / 1000) - Math.floor(this.#layout.updateIntervalMs / 1000);
  }

  /** Takes over whatever was registered under this address before: that process is gone, or it could not be ours. */
  async #announce(signal: AbortSignal): Promise<void> {
    const { appId } = this.#registration as Registration;
    const params = [this.#registrationId, addressOf(this.#registration as Registration), appId, this.#now()];
    await this.#open().write([{ sql: this.#sql.register, params }], signal);
  }

  #now(): number {
    return Math.floor(this.#clock.now() / 1000);
  }

  #beatLater(): void {
    const { updateIntervalMs, timeoutMs } = this.#layout;
    // Early enough that a slow write is still in time.
    this.#heartbeat = this.#clock.after(Math.max(500, updateIntervalMs - timeoutMs - 500), () => void this.#beat());
  }

  async #beat(): Promise<void> {
    const params = [this.#now(), this.#registrationId, addressOf(this.#registration as Registration)];
    try {
      const [result] = await this.#open().write([{ sql: this.#sql.renew, params }], this.#closing.signal);
      if (result?.changes === 0) {
        // Cleaned up by another sidecar after this machine slept, or the file was replaced.
        this.#log.warn("host registration lost; registering again");
        await this.#announce(this.#closing.signal);
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#log.error(`Failed to update host registration: ${messageOf(error)}`);
    }
    if (!this.#closing.signal.aborted) this.#beatLater();
  }

  #cleanUpLater(): void {
    const { cleanupIntervalMs } = this.#layout;
    if (cleanupIntervalMs <= 0) return;
    this.#cleanup = this.#clock.after(cleanupIntervalMs, () => void this.#cleanUp());
  }

  async #cleanUp(): Promise<void> {
    try {
      const statements = [{ sql: this.#sql.cleanUp, params: [this.#aliveSince()] }, { sql: this.#sql.cleanedUp }];
      await this.#open().write(statements, this.#closing.signal);
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#log.warn(`failed to remove dead hosts: ${messageOf(error)}`);
    }
    if (!this.#closing.signal.aborted) this.#cleanUpLater();
  }
}

/** Leaving must not hang on a lock that another process keeps. */
function timeLimit(): AbortSignal {
  return AbortSignal.timeout(timeoutDefaultMs);
}

function addressOf({ host, port }: Registration): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function statements({ table, metadataTable }: Layout) {
  return {
    create: [
      `CREATE TABLE ${table} (registration_id TEXT NOT NULL PRIMARY KEY, address TEXT NOT NULL, app_id TEXT NOT NULL, namespace TEXT NOT NULL, last_update INTEGER NOT NULL)`,
      `CREATE UNIQUE INDEX ${table}_address_idx ON ${table} (address)`,
      `CREATE INDEX ${table}_last_update_idx ON ${table} (last_update)`,
    ],
    // The Go driver writes an empty namespace and ignores it when it reads.
    register: `REPLACE INTO ${table} (registration_id, address, app_id, namespace, last_update) VALUES (?, ?, ?, '', ?)`,
    renew: `UPDATE ${table} SET last_update = ? WHERE registration_id = ? AND address = ?`,
    resolve: `SELECT address FROM ${table} WHERE app_id = ? AND last_update > ? ORDER BY address`,
    remove: `DELETE FROM ${table} WHERE registration_id = ? AND address = ?`,
    cleanUp: `DELETE FROM ${table} WHERE last_update <= ?`,
    cleanedUp: `INSERT INTO ${metadataTable} (key, value) VALUES ('nr-last-cleanup', CURRENT_TIMESTAMP) ON CONFLICT (key) DO UPDATE SET value = CURRENT_TIMESTAMP`,
  };
}
