// SQLite for drivers, without ever blocking the main thread: each database file has one worker thread that owns it, shared by all
// components of the process that name the same file. What one turn of the event loop asks for goes to the worker in one message
// and is committed as one group (design.md, decision 4).
import { Worker } from "node:worker_threads";
import { assert } from "../../lib/kit/assert.ts";
import type { Clock, Timer } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import { fault, SqliteError, type SqliteFault } from "./sqlite-errors.ts";
import type { FromWorker, Row, SqlValue, Statement, StatementResult, ToWorker, WorkerRequest, WorkerStart } from "./sqlite-protocol.ts";
import type { SqliteSettings } from "./sqlite-settings.ts";

/** Requests that wait for the worker; more are refused rather than piled up. */
export const sqlitePendingMaxRequests = 65_536;
/** How often overdue requests are looked for, milliseconds: a timeout is late by at most this. */
const overdueSweepMs = 250;

export interface WriteOptions {
  /** Ring the bell of sqlite-wake.ts after the commit. */
  readonly wake?: boolean;
}

/** One component's view of a database. */
export interface SqliteDatabase {
  /** Absolute path of the file; null when in memory. */
  readonly path: string | null;
  /** Rows of a SELECT. It sees every write that was acknowledged before. */
  query(sql: string, params: readonly SqlValue[], signal: AbortSignal): Promise<readonly Row[]>;
  /**
   * All of the statements or none, durable when it resolves. Rejects with a SqliteError: `expectation` when a statement's
   * `expect` did not hold, `busy` when another process kept the lock, `timeout` when it is not known whether the write happened.
   */
  write(statements: readonly Statement[], signal: AbortSignal, options?: WriteOptions): Promise<readonly StatementResult[]>;
  /** Ends this view; the last one closes the file. */
  close(): Promise<void>;
}

interface Pending {
  readonly resolve: (results: readonly StatementResult[]) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal;
  readonly onAbort: () => void;
  /** Monotonic, milliseconds. */
  readonly deadline: number;
}

const owners = new Map<string, Owner>();

/** Opens the database of `settings`, or joins the view of another component on it. Rejects with a SqliteError. */
export async function openSqlite(settings: SqliteSettings, clock: Clock, signal: AbortSignal): Promise<SqliteDatabase> {
  signal.throwIfAborted();
  const owner = acquire(settings, clock);
  const onAbort = () => rejectOpen(signal.reason);
  let rejectOpen: (reason: unknown) => void = () => {};
  try {
    const aborted = new Promise<never>((_, reject) => {
      rejectOpen = reject;
      signal.addEventListener("abort", onAbort, { once: true });
    });
    await Promise.race([owner.opened, aborted]);
    return new View(owner, settings);
  } catch (error) {
    await release(owner);
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function acquire(settings: SqliteSettings, clock: Clock): Owner {
  const key = settings.target.path === null ? null : JSON.stringify(settings.target);
  const known = key === null ? undefined : owners.get(key);
  if (known !== undefined && !known.ended) {
    known.views++;
    return known;
  }
  const owner = new Owner(key, settings, clock);
  if (key !== null) owners.set(key, owner);
  return owner;
}

async function release(owner: Owner): Promise<void> {
  owner.views--;
  if (owner.views > 0) return;
  if (owner.key !== null && owners.get(owner.key) === owner) owners.delete(owner.key);
  await owner.close();
}

class View implements SqliteDatabase {
  readonly path: string | null;
  readonly #owner: Owner;
  readonly #settings: SqliteSettings;
  #closed = false;

  constructor(owner: Owner, settings: SqliteSettings) {
    this.path = settings.target.path;
    this.#owner = owner;
    this.#settings = settings;
  }

  async query(sql: string, params: readonly SqlValue[], signal: AbortSignal): Promise<readonly Row[]> {
    const results = await this.#request(false, [{ sql, params }], false, signal);
    return (results[0] as StatementResult).rows;
  }

  write(statements: readonly Statement[], signal: AbortSignal, options?: WriteOptions): Promise<readonly StatementResult[]> {
    return this.#request(true, statements, options?.wake === true, signal);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await release(this.#owner);
  }

  #request(write: boolean, statements: readonly Statement[], wake: boolean, signal: AbortSignal): Promise<readonly StatementResult[]> {
    if (this.#closed) return Promise.reject(new SqliteError(fault("closed", "the database was closed")));
    return this.#owner.request(write, statements, wake, this.#settings, signal);
  }
}

/** The main thread's end of one worker. */
class Owner {
  readonly key: string | null;
  readonly opened: Promise<void>;
  views = 1;
  ended = false;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #clock: Clock;
  readonly #path: string | null;
  readonly #pending = new Map<number, Pending>();
  #outbox: WorkerRequest[] = [];
  #cancelled: number[] = [];
  #flushing = false;
  #sweep: Timer | null = null;
  #nextId = 1;
  #settleOpened: (failure: SqliteFault | null) => void = () => {};

  constructor(key: string | null, settings: SqliteSettings, clock: Clock) {
    this.key = key;
    this.#clock = clock;
    this.#path = settings.target.path;
    this.opened = new Promise((resolve, reject) => {
      this.#settleOpened = (failure) => (failure === null ? resolve() : reject(new SqliteError(failure)));
    });
    this.opened.catch(() => {});
    const start: WorkerStart = { target: settings.target, openTimeoutMs: settings.busyTimeoutMs };
    this.#worker = new Worker(workerUrl(), {
      workerData: start,
      name: "sqlite",
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    this.#worker.on("message", (message: FromWorker) => this.#onMessage(message));
    this.#worker.on("error", (error) => this.#fail(fault("other", `the worker of ${this.#name()} failed: ${messageOf(error)}`)));
    this.#exited = new Promise((resolve) => {
      this.#worker.once("exit", () => {
        this.#fail(fault("closed", `the worker of ${this.#name()} has ended`));
        resolve();
      });
    });
  }

  request(
    write: boolean,
    statements: readonly Statement[],
    wake: boolean,
    settings: SqliteSettings,
    signal: AbortSignal,
  ): Promise<readonly StatementResult[]> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.ended)
      return Promise.reject(new SqliteError(fault("closed", `the worker of ${this.#name()} has ended; reload the component`)));
    if (this.#pending.size >= sqlitePendingMaxRequests) return Promise.reject(new SqliteError(overloaded(this.#name())));
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const onAbort = () => this.#abandon(id, signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#pending.set(id, { resolve, reject, signal, onAbort, deadline: this.#clock.monotonic() + settings.timeoutMs });
      this.#outbox.push({ id, write, statements: statements.map(compact), busyTimeoutMs: settings.busyTimeoutMs, wake });
      this.#flushSoon();
      this.#sweep ??= this.#clock.after(overdueSweepMs, () => this.#failOverdue());
    });
  }

  /** Resolves when the file is closed. Requests still waiting for a lock are rejected. */
  async close(): Promise<void> {
    this.#flush();
    if (!this.ended) this.#worker.postMessage({ kind: "close" } satisfies ToWorker);
    await this.#exited;
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#cancelled.length > 0) {
      this.#worker.postMessage({ kind: "cancel", ids: this.#cancelled } satisfies ToWorker);
      this.#cancelled = [];
    }
    if (this.#outbox.length === 0) return;
    const requests = this.#outbox;
    this.#outbox = [];
    this.#worker.postMessage({ kind: "requests", requests } satisfies ToWorker);
  }

  #onMessage(message: FromWorker): void {
    if (message.kind === "opened") {
      this.#settleOpened(message.fault);
      return;
    }
    for (const reply of message.replies) {
      const pending = this.#take(reply.id);
      if (pending === undefined) continue;
      if (reply.fault !== null) pending.reject(new SqliteError(reply.fault));
      else {
        assert(reply.results !== null, "a reply is a fault or results");
        pending.resolve(reply.results);
      }
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    pending.signal.removeEventListener("abort", pending.onAbort);
    return pending;
  }

  /** The caller is gone: what has not been sent never is, what waits for a lock is called back. */
  #abandon(id: number, reason: unknown): void {
    const unsent = this.#outbox.findIndex((request) => request.id === id);
    if (unsent >= 0) this.#outbox.splice(unsent, 1);
    else {
      this.#cancelled.push(id);
      this.#flushSoon();
    }
    this.#take(id)?.reject(reason);
  }

  #failOverdue(): void {
    this.#sweep = null;
    const now = this.#clock.monotonic();
    for (const [id, pending] of this.#pending) {
      if (pending.deadline <= now) this.#abandon(id, new SqliteError(fault("timeout", `${this.#name()}: operation timed out`)));
    }
    if (this.#pending.size > 0) this.#sweep = this.#clock.after(overdueSweepMs, () => this.#failOverdue());
  }

  #fail(failure: SqliteFault): void {
    this.ended = true;
    this.#sweep?.cancel();
    this.#settleOpened(failure);
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(new SqliteError(failure));
  }

  #name(): string {
    return this.#path === null ? "the in-memory SQLite database" : `SQLite database '${this.#path}'`;
  }
}

function overloaded(name: string): SqliteFault {
  return fault("overloaded", `${name}: ${sqlitePendingMaxRequests} requests are already waiting; slow down or use a faster disk`);
}

/** A view on a larger buffer would be cloned with all of that buffer. */
function compact(statement: Statement): Statement {
  const params = statement.params;
  if (params === undefined || !params.some(isSlice)) return statement;
  return { ...statement, params: params.map((param) => (isSlice(param) ? new Uint8Array(param) : param)) };
}

function isSlice(param: SqlValue): param is Uint8Array {
  return param instanceof Uint8Array && param.byteLength !== param.buffer.byteLength;
}

/** Sources run as they stand; a bundle has the worker beside it (tools/build.ts). */
function workerUrl(): URL {
  return import.meta.url.endsWith(".ts") ? new URL("./sqlite-worker.ts", import.meta.url) : new URL("./sqlite-worker.mjs", import.meta.url);
}
