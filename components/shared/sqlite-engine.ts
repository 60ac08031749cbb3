// One SQLite connection, synchronous: reads in autocommit, and writes in groups that share one transaction. It runs inside
// the worker of sqlite-worker.ts; nothing here waits for a lock, a busy database is reported at once.
// Invariants:
//  1. An outcome is handed out only after the COMMIT that makes it durable has succeeded.
//  2. A request's failure undoes that request alone (its savepoint); the others of its group are committed.
//  3. A busy database fails nobody: the whole group is left undone and can be run again.
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { fault, faultOf, SqliteError, type SqliteFault } from "./sqlite-errors.ts";
import type { Row, SqliteTarget, Statement, StatementResult } from "./sqlite-protocol.ts";

/** Prepared statements kept per connection; the least recently used goes first. */
const preparedStatementsMax = 256;
const noRows: readonly Row[] = [];

interface Prepared {
  readonly statement: StatementSync;
  readonly hasRows: boolean;
}

export type Outcome = readonly StatementResult[] | SqliteFault;

export function isFault(outcome: Outcome): outcome is SqliteFault {
  return !Array.isArray(outcome);
}

export class SqliteEngine {
  readonly #db: DatabaseSync;
  readonly #path: string | null;
  readonly #prepared = new Map<string, Prepared>();

  /** Opens the database. Throws a SqliteError; of kind `busy` when opening may be tried again. */
  constructor(target: SqliteTarget) {
    this.#path = target.path;
    let db: DatabaseSync | null = null;
    try {
      db = new DatabaseSync(target.uri, { timeout: 0, readOnly: target.readOnly, returnArrays: true });
      configure(db, target);
    } catch (error) {
      db?.close();
      throw new SqliteError(faultOf(error, target.path));
    }
    this.#db = db;
  }

  /** Runs the statements, each by itself. Throws a SqliteError. */
  read(statements: readonly Statement[]): readonly StatementResult[] {
    try {
      return this.#runAll(statements);
    } catch (error) {
      throw asSqliteError(error, this.#path);
    }
  }

  /**
   * Runs the requests in one transaction, each in its own savepoint; one outcome per request, in order.
   * Throws a SqliteError of kind `busy`, with nothing done, when another connection holds the lock.
   */
  commit(requests: readonly (readonly Statement[])[]): readonly Outcome[] {
    const outcomes: Outcome[] = [];
    try {
      this.#exec("BEGIN IMMEDIATE");
      for (const statements of requests) outcomes.push(this.#runInSavepoint(statements));
      this.#exec("COMMIT");
      return outcomes;
    } catch (error) {
      if (this.#db.isTransaction) this.#exec("ROLLBACK");
      const failure = asSqliteError(error, this.#path);
      if (failure.kind === "busy") throw failure;
      return requests.map(() => ({ kind: failure.kind, message: failure.message, statement: -1 }));
    }
  }

  close(): void {
    this.#prepared.clear();
    this.#db.close();
  }

  #runInSavepoint(statements: readonly Statement[]): Outcome {
    this.#exec("SAVEPOINT request");
    try {
      const results = this.#runAll(statements);
      this.#exec("RELEASE request");
      return results;
    } catch (error) {
      const failure = asSqliteError(error, this.#path);
      // A full disk or an I/O error ends the whole transaction; a lock met midway means: all of it again, later.
      if (!this.#db.isTransaction || failure.kind === "busy") throw failure;
      this.#exec("ROLLBACK TO request");
      this.#exec("RELEASE request");
      return { kind: failure.kind, message: failure.message, statement: failure.statement };
    }
  }

  #runAll(statements: readonly Statement[]): StatementResult[] {
    const results: StatementResult[] = [];
    for (let index = 0; index < statements.length; index++) {
      const statement = statements[index] as Statement;
      const result = this.#run(statement);
      const count = result.rows === noRows ? result.changes : result.rows.length;
      if (statement.expect !== undefined && statement.expect !== count) {
        throw new SqliteError(fault("expectation", `statement ${index} gave ${count}, expected ${statement.expect}`, index));
      }
      results.push(result);
    }
    return results;
  }

  #run(statement: Statement): StatementResult {
    const prepared = this.#prepare(statement.sql);
    const params = (statement.params ?? []) as SQLInputValue[];
    if (prepared.hasRows) return { rows: prepared.statement.all(...params) as unknown as Row[], changes: 0 };
    return { rows: noRows, changes: Number(prepared.statement.run(...params).changes) };
  }

  #exec(sql: string): void {
    this.#prepare(sql).statement.run();
  }

  #prepare(sql: string): Prepared {
    const known = this.#prepared.get(sql);
    if (known !== undefined) {
      this.#prepared.delete(sql);
      this.#prepared.set(sql, known);
      return known;
    }
    const statement = this.#db.prepare(sql);
    const prepared = { statement, hasRows: statement.columns().length > 0 };
    this.#prepared.set(sql, prepared);
    if (this.#prepared.size > preparedStatementsMax) {
      const oldest = this.#prepared.keys().next().value as string;
      this.#prepared.delete(oldest);
    }
    return prepared;
  }
}

function configure(db: DatabaseSync, target: SqliteTarget): void {
  for (const pragma of target.pragmas) db.exec(`PRAGMA ${pragma}`);
  if (target.path === null || target.readOnly) {
    db.prepare("SELECT count(*) FROM sqlite_schema").all();
    return;
  }
  db.exec(`PRAGMA journal_mode = ${target.writeAheadLog ? "WAL" : "DELETE"}`);
  db.exec("PRAGMA synchronous = FULL");
  // After a burst the log shrinks back to 16 MiB at the next checkpoint.
  db.exec("PRAGMA journal_size_limit = 16777216");
}

function asSqliteError(error: unknown, path: string | null): SqliteError {
  return error instanceof SqliteError ? error : new SqliteError(faultOf(error, path));
}
