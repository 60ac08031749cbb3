// Command-line flags as Dapr's binaries read them: long flags with one dash or two, `--flag=value` and `--flag value`,
// booleans without a value, lists as CSV and by repetition, `--` ends the flags, anything else is ignored.
// The words of the errors are pflag's (https://github.com/spf13/pflag), because people and scripts know them.
import { assert } from "./assert.ts";
import { formatDuration } from "./duration.ts";
import { quoted, type Read, readBool, readCsv, readDuration, readInt, readUint } from "./go-text.ts";

interface RowBase {
  readonly name: string;
  readonly help: string;
  /** Taken and not shown in the usage text; the text is what to use instead. */
  readonly deprecated?: string;
}

/** One flag. Durations are milliseconds here and Go durations on the command line. */
export type FlagRow = RowBase &
  (
    | { readonly kind: "string"; readonly default: string }
    | { readonly kind: "bool"; readonly default: boolean }
    | { readonly kind: "int" | "uint" | "duration"; readonly default: number }
    | { readonly kind: "strings"; readonly default: readonly string[] }
  );

export interface FlagValues {
  string(name: string): string;
  bool(name: string): boolean;
  /** Kinds int and uint. */
  number(name: string): number;
  durationMs(name: string): number;
  strings(name: string): readonly string[];
  /** True when the flag stood on the command line. */
  changed(name: string): boolean;
}

export type ParsedFlags = (
  | { readonly kind: "values"; readonly values: FlagValues }
  | { readonly kind: "help" }
  | { readonly kind: "error"; readonly message: string }
) & {
  /** Lines for stderr: deprecated flags that were used. */
  readonly notes: readonly string[];
};

type Value = string | boolean | number | readonly string[];

/** Parses the arguments after the program's name. Never throws. */
export function parseFlags(rows: readonly FlagRow[], argv: readonly string[]): ParsedFlags {
  const byName = new Map(rows.map((row) => [row.name, row]));
  const given = new Map<string, Value>();
  const notes: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = twoDashes(argv[i] as string);
    if (argument === "--") break;
    if (!argument.startsWith("-") || argument === "-") continue;
    const named = split(argument);
    if ("error" in named) return { kind: "error", message: named.error, notes };
    const row = byName.get(named.name);
    if (!row) return named.name === "help" ? { kind: "help", notes } : { kind: "error", message: `unknown flag: --${named.name}`, notes };
    let text = named.value ?? (row.kind === "bool" ? "true" : undefined);
    if (text === undefined) {
      text = argv[++i];
      if (text === undefined) return { kind: "error", message: `flag needs an argument: --${row.name}`, notes };
      // A value that looks like a short flag was doubled before pflag saw it.
      text = twoDashes(text);
    }
    const value = readValue(row, text, given.get(row.name));
    if (!value.ok) {
      return { kind: "error", message: `invalid argument ${quoted(text)} for "--${row.name}" flag: ${value.reason}`, notes };
    }
    given.set(row.name, value.value);
    if (row.deprecated !== undefined) notes.push(`Flag --${row.name} has been deprecated, ${row.deprecated}`);
  }
  return { kind: "values", values: valuesOf(byName, given), notes };
}

function twoDashes(argument: string): string {
  const single = argument.startsWith("-") && argument[1] !== "-";
  return single && (argument.length > 2 || argument.charCodeAt(1) > 0x7f) ? `-${argument}` : argument;
}

function split(argument: string): { readonly name: string; readonly value: string | undefined } | { readonly error: string } {
  if (!argument.startsWith("--")) {
    if (argument === "-h") return { name: "help", value: undefined };
    return { error: `unknown shorthand flag: '${argument[1]}' in ${argument}` };
  }
  const body = argument.slice(2);
  if (body.startsWith("-") || body.startsWith("=")) return { error: `bad flag syntax: ${argument}` };
  const equals = body.indexOf("=");
  return equals < 0 ? { name: body, value: undefined } : { name: body.slice(0, equals), value: body.slice(equals + 1) };
}

function readValue(row: FlagRow, text: string, before: Value | undefined): Read<Value> {
  switch (row.kind) {
    case "string":
      return { ok: true, value: text };
    case "bool":
      return readBool(text);
    case "int":
      return readInt(text);
    case "uint":
      return readUint(text);
    case "duration":
      return readDuration(text);
    case "strings": {
      const list = readCsv(text);
      return list.ok && Array.isArray(before) ? { ok: true, value: [...before, ...list.value] } : list;
    }
  }
}

function valuesOf(byName: ReadonlyMap<string, FlagRow>, given: ReadonlyMap<string, Value>): FlagValues {
  const read = (name: string, kinds: readonly FlagRow["kind"][]): Value => {
    const row = byName.get(name);
    assert(row && kinds.includes(row.kind), `no flag ${name} of kind ${kinds}`);
    return given.get(name) ?? row.default;
  };
  return {
    string: (name) => read(name, ["string"]) as string,
    bool: (name) => read(name, ["bool"]) as boolean,
    number: (name) => read(name, ["int", "uint"]) as number,
    durationMs: (name) => read(name, ["duration"]) as number,
    strings: (name) => read(name, ["strings"]) as readonly string[],
    changed: (name) => given.has(name),
  };
}

/** The usage text, flags by name, deprecated ones left out. */
export function usageText(program: string, rows: readonly FlagRow[]): string {
  const shown = rows.filter((row) => row.deprecated === undefined).sort((a, b) => (a.name < b.name ? -1 : 1));
  const heads = shown.map((row) => `      --${row.name}${row.kind === "bool" ? "" : ` ${row.kind}`}`);
  const width = Math.max(...heads.map((head) => head.length)) + 3;
  const lines = shown.map((row, i) => `${(heads[i] as string).padEnd(width)}${row.help}${defaultText(row)}\n`);
  return `Usage of ${program}:\n${lines.join("")}`;
}

function defaultText(row: FlagRow): string {
  const value = row.default;
  if (value === "" || value === false || value === 0 || (Array.isArray(value) && value.length === 0)) return "";
  if (row.kind === "string") return ` (default ${quoted(row.default)})`;
  return ` (default ${row.kind === "duration" ? formatDuration(row.default) : value})`;
}
