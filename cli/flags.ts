// Command-line flags as Dapr's CLI takes them: `--name value`, `--name=value`, `-x value`, `-xvalue`, booleans without a value, lists
// repeated or comma separated, and everything after `--` (or from the first word that is no flag) left to the caller.

export interface FlagSpec {
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  readonly kind: "string" | "number" | "boolean" | "list";
  readonly help: string;
  /** Accepted, not shown in the help. */
  readonly hidden?: boolean;
}

export interface Flags {
  string(name: string): string | undefined;
  number(name: string): number | undefined;
  boolean(name: string): boolean | undefined;
  list(name: string): readonly string[] | undefined;
  /** The words from the first that is no flag on, the `--` before them removed. */
  readonly rest: readonly string[];
}

/** The user's command line is wrong; the message says how. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

type Values = Map<string, string[]>;

/**
 * Parses `args`. With `interspersed`, words between flags are collected and parsing goes on; without, the first word
 * that is no flag ends it (it begins the user's command).
 */
export function parseFlags(specs: readonly FlagSpec[], args: readonly string[], interspersed: boolean): Flags {
  const values: Values = new Map();
  const rest: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at] as string;
    if (word === "--") {
      rest.push(...args.slice(at + 1));
      break;
    }
    if (word === "-" || !word.startsWith("-")) {
      rest.push(...(interspersed ? [word] : args.slice(at)));
      if (interspersed) continue;
      break;
    }
    at += word.startsWith("--") ? readLong(specs, args, at, values) : readShort(specs, args, at, values);
  }
  return reader(values, rest);
}

/** Reads the flag at `at`; returns how many further words it used. */
function readLong(specs: readonly FlagSpec[], args: readonly string[], at: number, values: Values): number {
  const word = args[at] as string;
  const equals = word.indexOf("=");
  const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
  const spec = specs.find((candidate) => candidate.name === name);
  if (spec === undefined) throw new UsageError(`unknown flag: --${name}`);
  return take(spec, `--${name}`, equals < 0 ? null : word.slice(equals + 1), args[at + 1], values);
}

function readShort(specs: readonly FlagSpec[], args: readonly string[], at: number, values: Values): number {
  const word = args[at] as string;
  const spec = specs.find((candidate) => candidate.short === word[1]);
  if (spec === undefined) throw new UsageError(`unknown shorthand flag: '${word[1]}' in ${word}`);
  const attached = word.length > 2 ? word.slice(word[2] === "=" ? 3 : 2) : null;
  return take(spec, `-${word[1]}`, attached, args[at + 1], values);
}

function take(spec: FlagSpec, shown: string, attached: string | null, next: string | undefined, values: Values): number {
  const value = attached ?? (spec.kind === "boolean" ? "true" : next);
  if (value === undefined) throw new UsageError(`flag needs an argument: ${shown}`);
  check(spec, shown, value);
  const known = spec.kind === "list" ? (values.get(spec.name) ?? []) : [];
  known.push(...(spec.kind === "list" ? value.split(",").filter((item) => item !== "") : [value]));
  values.set(spec.name, known);
  return attached === null && spec.kind !== "boolean" ? 1 : 0;
}

function check(spec: FlagSpec, shown: string, value: string): void {
  if (spec.kind === "number" && !/^-?\d{1,15}$/.test(value)) {
    throw new UsageError(`invalid argument "${value}" for "${shown}": give a whole number`);
  }
  if (spec.kind === "boolean" && !/^(true|false|1|0|t|f)$/i.test(value)) {
    throw new UsageError(`invalid argument "${value}" for "${shown}": give true or false`);
  }
}

function reader(values: Values, rest: readonly string[]): Flags {
  const last = (name: string) => values.get(name)?.at(-1);
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
  const boolean = (text: string | undefined) => (text === undefined ? undefined : /^(true|1|t)$/i.test(text));
  return {
    string: last,
    number: (name) => number(last(name)),
    boolean: (name) => boolean(last(name)),
    list: (name) => values.get(name),
    rest,
  };
}

/** The `Flags:` part of a help text. */
export function flagsHelp(specs: readonly FlagSpec[]): string {
  const shown = specs.filter((spec) => spec.hidden !== true);
  const left = shown.map((spec) => {
    const kind = spec.kind === "boolean" ? "" : ` ${spec.kind === "number" ? "int" : spec.kind === "list" ? "strings" : "string"}`;
    return `${spec.short === undefined ? "      " : `  -${spec.short}, `}--${spec.name}${kind}`;
  });
  const width = Math.max(...left.map((text) => text.length));
  return shown.map((spec, index) => `${(left[index] as string).padEnd(width)}   ${spec.help}`).join("\n");
}
