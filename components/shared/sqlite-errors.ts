// SQLite's failures in words that name the file, the cause and the remedy. Result codes: https://www.sqlite.org/rescode.html
import { existsSync } from "node:fs";
import { dirname } from "node:path";

export type SqliteFaultKind =
  /** Another process held the lock for longer than the busy timeout. */
  | "busy"
  /** A statement's `expect` did not hold. */
  | "expectation"
  | "constraint"
  | "read-only"
  | "full"
  | "corrupt"
  | "cannot-open"
  | "overloaded"
  | "timeout"
  | "closed"
  | "other";

/** A SqliteError as it crosses threads. */
export interface SqliteFault {
  readonly kind: SqliteFaultKind;
  readonly message: string;
  /** Index of the statement whose `expect` failed; -1 otherwise. */
  readonly statement: number;
}

export class SqliteError extends Error {
  override readonly name = "SqliteError";
  readonly kind: SqliteFaultKind;
  readonly statement: number;

  constructor(fault: SqliteFault) {
    super(fault.message);
    this.kind = fault.kind;
    this.statement = fault.statement;
  }
}

export function fault(kind: SqliteFaultKind, message: string, statement = -1): SqliteFault {
  return { kind, message, statement };
}

const kindByCode: Readonly<Record<number, SqliteFaultKind>> = {
  5: "busy",
  6: "busy",
  8: "read-only",
  11: "corrupt",
  13: "full",
  14: "cannot-open",
  19: "constraint",
  26: "corrupt",
};

const remedies: Readonly<Partial<Record<SqliteFaultKind, string>>> = {
  busy: "another process holds its write lock; end that process's transaction or raise busyTimeout",
  "read-only": "give this process write permission on the file and its folder, or remove mode=ro and immutable=1 from connectionString",
  full: "free space on its disk or raise max_page_count, then try again",
  corrupt: "the file is damaged or not an SQLite database; restore it from a backup or point connectionString at another file",
};

/** The fault behind anything node:sqlite threw while working on the database at `path` (null: in memory). */
export function faultOf(thrown: unknown, path: string | null): SqliteFault {
  const { errcode, message } = thrown as { errcode?: number; message?: string };
  const text = message ?? String(thrown);
  if (typeof errcode !== "number") return fault("other", text);
  const kind = kindByCode[errcode & 0xff] ?? "other";
  const name = path === null ? "in-memory SQLite database" : `SQLite database '${path}'`;
  if (kind === "cannot-open") return fault(kind, `${name}: ${text}: ${cannotOpen(path)}`);
  const remedy = remedies[kind];
  return fault(kind, remedy === undefined ? `${name}: ${text} (${errcode})` : `${name}: ${text}: ${remedy}`);
}

function cannotOpen(path: string | null): string {
  if (path === null) return "check connectionString";
  const folder = dirname(path);
  if (!existsSync(folder)) return `the folder '${folder}' does not exist; create it or correct connectionString`;
  return `check that the file exists, is no folder, and that this process may read and write it and '${folder}'`;
}
