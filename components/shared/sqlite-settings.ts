// Component metadata of everything that stands on SQLite: the connection string in the forms that Dapr's Go drivers accept
// (`data.db`, `file:data.db?mode=ro&_pragma=cache_size(1000)`, `:memory:`), and the timeouts.
// One difference, because waiting blocks nobody here: without `busyTimeout` a write waits for another process's lock as long as
// `timeout` allows (20 s), not 2 s. And a database in memory belongs to its component alone.
import { resolve } from "node:path";
import type { Properties } from "../metadata.ts";
import type { SqliteTarget } from "./sqlite-protocol.ts";

export interface SqliteSettings {
  readonly target: SqliteTarget;
  /** Bound of every operation, milliseconds. */
  readonly timeoutMs: number;
  /** How long a write waits for another process's lock, milliseconds. */
  readonly busyTimeoutMs: number;
  /** To be logged as warnings by whoever has a logger. */
  readonly warnings: readonly string[];
}

const defaultTimeoutMs = 20_000;

/** Reads the settings; what is wrong is added to `properties`' problems, so call `properties.check()` before using the result. */
export function readSqliteSettings(properties: Properties): SqliteSettings {
  const alias = (name: string, other: string) => (properties.has(name) ? name : other);
  const connectionString = properties.get(alias("connectionString", "url")) ?? "";
  const timeoutMs = properties.durationMs(alias("timeout", "timeoutInSeconds"), defaultTimeoutMs);
  if (timeoutMs < 1000) properties.problem("invalid value for 'timeout': must be greater than 1s");
  const busyTimeoutMs = properties.durationMs("busyTimeout", timeoutMs);
  const warnings: string[] = [];
  const problem = (text: string) => properties.problem(text);
  const target = parseConnectionString(connectionString, !properties.boolean("disableWAL", false), problem, warnings);
  return { target, timeoutMs, busyTimeoutMs: Math.min(Math.max(0, busyTimeoutMs), timeoutMs), warnings };
}

/** True for names that may stand in SQL unquoted: tableName, metadataTableName. */
export function isSqlIdentifier(name: string): boolean {
  return /^[0-9a-zA-Z_]+$/.test(name);
}

/** `tableName` and its like; adds a problem when the name cannot stand in SQL. */
export function sqlIdentifier(properties: Properties, name: string, fallback: string): string {
  const value = properties.get(name) ?? fallback;
  if (isSqlIdentifier(value)) return value;
  properties.problem(`invalid identifier: ${value}: use letters, digits and underscores for '${name}'`);
  return fallback;
}

/** Where a connection string points. Problems and warnings go to the callbacks; the result is then only a placeholder. */
export function parseConnectionString(
  text: string,
  writeAheadLog: boolean,
  problem: (text: string) => void,
  warnings: string[],
): SqliteTarget {
  if (text === "") problem("missing connection string: set connectionString to a file such as 'data.db'");
  const mark = text.indexOf("?");
  const base = mark > 0 ? text.slice(0, mark) : text;
  const options = new URLSearchParams(mark > 0 ? text.slice(mark + 1) : "");
  const pragmas = readPragmas(options, problem);
  const lock = options.get("_txlock")?.toLowerCase();
  if (lock !== undefined && lock !== "immediate")
    warnings.push(`connectionString: _txlock=${lock} has no effect; writes are always immediate`);
  const mode = options.get("mode");
  if (/^(file:)?:memory:/i.test(text) || mode === "memory") {
    return { uri: ":memory:", path: null, readOnly: false, writeAheadLog: false, pragmas };
  }
  const immutable = options.get("immutable") === "1";
  const path = resolve(filePath(base, problem));
  const uri = fileUri(path, mode, immutable);
  const readOnly = mode === "ro" || immutable;
  return { uri, path, readOnly, writeAheadLog: writeAheadLog && !readOnly, pragmas };
}

/** The path of a `file:` URI, whose authority is empty or localhost (https://www.sqlite.org/uri.html). */
function filePath(base: string, problem: (text: string) => void): string {
  let path = base.replace(/^file:/i, "");
  if (path.startsWith("//")) {
    const end = path.indexOf("/", 2);
    const authority = path.slice(2, end < 0 ? undefined : end);
    if (authority !== "" && authority.toLowerCase() !== "localhost") {
      problem(`invalid connection string: host '${authority}' is not this machine; use file:/absolute/path or file:relative/path`);
    }
    path = end < 0 ? "" : path.slice(end);
  }
  const hash = path.indexOf("#");
  if (hash >= 0) path = path.slice(0, hash);
  const decoded = path.replace(/(%[0-9a-f]{2})+/gi, (escapes) => Buffer.from(escapes.replaceAll("%", ""), "hex").toString());
  if (decoded.includes("\0")) problem("invalid connection string: the path holds a NUL character");
  return decoded.replaceAll("\0", "");
}

const modes = new Set(["ro", "rw", "rwc"]);

function fileUri(path: string, mode: string | null, immutable: boolean): string {
  const escaped = path.replace(/[%?#]/g, (character) => `%${character.charCodeAt(0).toString(16)}`);
  const options = [mode !== null && modes.has(mode) ? `mode=${mode}` : "", immutable ? "immutable=1" : ""].filter(
    (option) => option !== "",
  );
  return options.length === 0 ? `file:${escaped}` : `file:${escaped}?${options.join("&")}`;
}

const pragmaForm = /^([a-z_]+)\s*(?:\(\s*'?[-\w.]+'?\s*\)|=\s*'?[-\w.]+'?)$/i;
const ownPragmas: Readonly<Record<string, string>> = {
  busy_timeout: "use the 'busyTimeout' metadata property instead",
  journal_mode: "use the 'disableWAL' metadata property instead",
  foreign_keys: "remove it",
  synchronous: "remove it: what is acknowledged must be on disk",
};

function readPragmas(options: URLSearchParams, problem: (text: string) => void): string[] {
  const pragmas: string[] = [];
  for (const pragma of options.getAll("_pragma")) {
    const name = pragmaForm.exec(pragma.trim())?.[1]?.toLowerCase();
    if (name === undefined) problem(`invalid option '_pragma=${pragma}' in the connection string: write it as name(value)`);
    else if (Object.hasOwn(ownPragmas, name)) {
      problem(`found forbidden option '_pragma=${name}' in the connection string: ${ownPragmas[name]}`);
    } else pragmas.push(pragma.trim());
  }
  return pragmas;
}
