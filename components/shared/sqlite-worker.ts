// The thread that owns one SQLite file. It takes what the main thread sent since the last turn, answers the reads, commits the
// writes as one group and answers them; while another process holds the lock it waits by timer, and reads go on meanwhile.
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { assert } from "../../lib/kit/assert.ts";
import { isFault, SqliteEngine } from "./sqlite-engine.ts";
import { fault, type SqliteError, type SqliteFault } from "./sqlite-errors.ts";
import type { FromWorker, StatementResult, ToWorker, WorkerReply, WorkerRequest, WorkerStart } from "./sqlite-protocol.ts";
import { WakeBell } from "./sqlite-wake.ts";

/** Requests per transaction: bounds how long one commit keeps the others waiting. */
const groupMaxRequests = 1024;
/** Waits between tries on a locked database: from the first to the last, doubling, milliseconds. */
const busyRetryFirstMs = 1;
const busyRetryLastMs = 16;

interface Waiting {
  readonly request: WorkerRequest;
  /** performance.now() after which a locked database is this request's failure. */
  readonly deadline: number;
}

class Owner {
  readonly #port: MessagePort;
  readonly #engine: SqliteEngine;
  readonly #bell: WakeBell | null;
  #reads: Waiting[] = [];
  #writes: Waiting[] = [];
  #replies: WorkerReply[] = [];
  #retry: NodeJS.Timeout | null = null;
  #retryMs = busyRetryFirstMs;
  #closing = false;

  constructor(port: MessagePort, engine: SqliteEngine, path: string | null) {
    this.#port = port;
    this.#engine = engine;
    this.#bell = path === null ? null : new WakeBell(path);
    port.on("message", (message: ToWorker) => this.#onMessage(message));
  }

  #onMessage(message: ToWorker): void {
    this.#accept(message);
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; next = receiveMessageOnPort(this.#port)) {
      this.#accept(next.message as ToWorker);
    }
    this.#turn();
  }

  #accept(message: ToWorker): void {
    if (message.kind === "close") {
      this.#closing = true;
    } else if (message.kind === "cancel") {
      const ids = new Set(message.ids);
      this.#reads = this.#reads.filter((waiting) => !ids.has(waiting.request.id));
      this.#writes = this.#writes.filter((waiting) => !ids.has(waiting.request.id));
    } else {
      const now = performance.now();
      for (const request of message.requests) {
        (request.write ? this.#writes : this.#reads).push({ request, deadline: now + request.busyTimeoutMs });
      }
    }
  }

  #turn(): void {
    const busyReads = this.#readAll();
    const busyWrites = this.#commitAll();
    this.#send();
    if (this.#closing) this.#close();
    else if (busyReads || busyWrites) this.#retryLater();
    else this.#retryMs = busyRetryFirstMs;
  }

  /** True when the database was locked and reads are left. */
  #readAll(): boolean {
    const reads = this.#reads;
    this.#reads = [];
    for (let index = 0; index < reads.length; index++) {
      const waiting = reads[index] as Waiting;
      try {
        this.#answer(waiting, this.#engine.read(waiting.request.statements), null);
      } catch (error) {
        const failure = error as SqliteError;
        if (failure.kind !== "busy") this.#answer(waiting, null, plain(failure));
        else {
          this.#reads = this.#failOverdue(reads.slice(index), failure);
          return this.#reads.length > 0;
        }
      }
    }
    return false;
  }

  /** True when the database was locked and writes are left. */
  #commitAll(): boolean {
    while (this.#writes.length > 0) {
      const group = this.#writes.slice(0, groupMaxRequests);
      try {
        this.#commit(group);
        this.#writes = this.#writes.slice(group.length);
      } catch (error) {
        this.#writes = this.#failOverdue(this.#writes, error as SqliteError);
        return this.#writes.length > 0;
      }
      this.#send();
    }
    return false;
  }

  #commit(group: readonly Waiting[]): void {
    const outcomes = this.#engine.commit(group.map((waiting) => waiting.request.statements));
    let ring = false;
    for (let index = 0; index < group.length; index++) {
      const waiting = group[index] as Waiting;
      const outcome = outcomes[index];
      assert(outcome !== undefined, "one outcome per request");
      if (isFault(outcome)) this.#answer(waiting, null, outcome);
      else {
        this.#answer(waiting, outcome, null);
        ring ||= waiting.request.wake;
      }
    }
    if (ring) this.#bell?.ring();
  }

  #failOverdue(waitings: Waiting[], failure: SqliteError): Waiting[] {
    const now = performance.now();
    return waitings.filter((waiting) => {
      if (waiting.deadline > now) return true;
      this.#answer(waiting, null, plain(failure));
      return false;
    });
  }

  #answer(waiting: Waiting, results: readonly StatementResult[] | null, failure: SqliteFault | null): void {
    this.#replies.push({ id: waiting.request.id, results, fault: failure });
  }

  #send(): void {
    if (this.#replies.length === 0) return;
    const message: FromWorker = { kind: "replies", replies: this.#replies };
    this.#replies = [];
    this.#port.postMessage(message);
  }

  #retryLater(): void {
    if (this.#retry !== null) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.#turn();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, busyRetryLastMs);
  }

  #close(): void {
    for (const waiting of [...this.#reads, ...this.#writes]) this.#answer(waiting, null, fault("closed", "the database was closed"));
    this.#send();
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#bell?.close();
    this.#engine.close();
    this.#port.close();
  }
}

function plain(error: SqliteError): SqliteFault {
  return { kind: error.kind, message: error.message, statement: error.statement };
}

function start(port: MessagePort, { target, openTimeoutMs }: WorkerStart): void {
  const deadline = performance.now() + openTimeoutMs;
  const attempt = (waitMs: number) => {
    try {
      const engine = new SqliteEngine(target);
      port.postMessage({ kind: "opened", fault: null } satisfies FromWorker);
      new Owner(port, engine, target.readOnly ? null : target.path);
    } catch (error) {
      const failure = error as SqliteError;
      // Changing to write-ahead logging needs the file to itself for a moment.
      if (failure.kind === "busy" && performance.now() < deadline) {
        setTimeout(attempt, waitMs, Math.min(waitMs * 2, busyRetryLastMs));
      } else {
        port.postMessage({ kind: "opened", fault: plain(failure) } satisfies FromWorker);
        port.close();
      }
    }
  };
  attempt(busyRetryFirstMs);
}

assert(parentPort !== null, "sqlite-worker runs as a worker thread");
start(parentPort, workerData as WorkerStart);
