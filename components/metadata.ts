// Component metadata as drivers read it: case-insensitive keys, typed readers, and every problem reported together.
import { parseDuration } from "../lib/kit/duration.ts";

/** A component's metadata is wrong; `problems` names each field with its remedy. */
export class MetadataError extends Error {
  override readonly name = "MetadataError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("; "));
    this.problems = problems;
  }
}

export class Properties {
  readonly #values = new Map<string, string>();
  readonly #problems: string[] = [];

  constructor(entries: Iterable<readonly [string, string]>) {
    for (const [name, value] of entries) this.#values.set(name.toLowerCase(), value);
  }

  /** The value, or undefined when absent. Empty strings count as present. */
  get(name: string): string | undefined {
    return this.#values.get(name.toLowerCase());
  }

  has(name: string): boolean {
    return this.#values.has(name.toLowerCase());
  }

  string(name: string, fallback: string): string {
    return this.get(name) || fallback;
  }

  required(name: string, remedy: string): string {
    const value = this.get(name);
    if (value === undefined || value === "") this.#problems.push(`missing or empty field '${name}' from metadata properties: ${remedy}`);
    return value ?? "";
  }

  /** Dapr's truthy spellings: y, yes, true, t, on, 1 in any case; everything else is false. */
  boolean(name: string, fallback: boolean): boolean {
    const value = this.get(name);
    return value === undefined || value === "" ? fallback : isTruthy(value);
  }

  integer(name: string, fallback: number, range: { readonly min: number; readonly max: number }): number {
    const value = this.get(name);
    if (value === undefined || value === "") return fallback;
    const parsed = Number(value);
    if (Number.isSafeInteger(parsed) && parsed >= range.min && parsed <= range.max) return parsed;
    this.#problems.push(`invalid value '${value}' for '${name}': use a whole number from ${range.min} to ${range.max}`);
    return fallback;
  }

  /** A Go duration ("1m30s") or a bare number of seconds; milliseconds. */
  durationMs(name: string, fallbackMs: number): number {
    const value = this.get(name);
    if (value === undefined || value === "") return fallbackMs;
    const ms = /^-?\d+$/.test(value) ? Number(value) * 1000 : parseDuration(value);
    if (ms !== undefined) return ms;
    this.#problems.push(`invalid value '${value}' for '${name}': use a duration such as 500ms, 5s or 1h`);
    return fallbackMs;
  }

  /** Adds a problem the driver found itself. */
  problem(text: string): void {
    this.#problems.push(text);
  }

  /** Throws one MetadataError for everything found wrong so far. Call it at the end of reading. */
  check(): void {
    if (this.#problems.length > 0) throw new MetadataError(this.#problems);
  }

  entries(): IterableIterator<[string, string]> {
    return this.#values.entries();
  }
}

const truthy = new Set(["y", "yes", "true", "t", "on", "1"]);

export function isTruthy(value: string | undefined): boolean {
  return value !== undefined && truthy.has(value.trim().toLowerCase());
}

/** Per-request metadata keys are matched exactly first, then without regard to case, as Dapr does. */
export function requestProperty(metadata: Readonly<Record<string, string>>, name: string): string | undefined {
  const exact = metadata[name];
  if (exact !== undefined) return exact;
  const lower = name.toLowerCase();
  for (const key in metadata) if (key.toLowerCase() === lower) return metadata[key];
  return undefined;
}
