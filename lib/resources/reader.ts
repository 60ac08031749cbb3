// Reads the fields of an object one by one, with the leniency of Go's decoder that Dapr's users rely on: a number or a
// boolean where text is wanted becomes text, null is absent, a name in other case is found. Problems go to the list.
import type { ProblemList } from "./problem.ts";
import type { Value } from "./yaml.ts";

export type Fields = { readonly [key: string]: Value };

export function isObject(value: Value | undefined): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export class ObjectReader {
  readonly path: string;
  readonly list: ProblemList;
  readonly #fields: Fields;
  readonly #byLowerCase: ReadonlyMap<string, string>;
  readonly #read = new Set<string>();

  constructor(list: ProblemList, fields: Fields, path: string) {
    this.list = list;
    this.#fields = fields;
    this.path = path;
    this.#byLowerCase = new Map(Object.keys(fields).map((key) => [key.toLowerCase(), key]));
  }

  /** The raw value; null when absent. */
  value(name: string): Value {
    const key = name in this.#fields ? name : this.#byLowerCase.get(name.toLowerCase());
    if (key === undefined) return null;
    this.#read.add(key);
    return this.#fields[key] ?? null;
  }

  has(name: string): boolean {
    return this.value(name) !== null;
  }

  string(name: string, fallback = ""): string {
    const value = this.value(name);
    if (value === null) return fallback;
    if (typeof value !== "object") return String(value);
    this.#wrong(name, value, "text");
    return fallback;
  }

  /** Text that must be there and not be empty. */
  required(name: string, remedy: string): string {
    const text = this.string(name);
    if (text === "" && !this.#isContainer(name)) this.list.error(this.at(name), "the field is missing or empty", remedy);
    return text;
  }

  /** One of `allowed` in any case, else an error; empty text is the fallback. */
  choice<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const text = this.string(name);
    if (text === "") return fallback;
    const found = allowed.find((word) => word.toLowerCase() === text.toLowerCase());
    if (found !== undefined) return found;
    this.list.error(this.at(name), `'${text}' is not a known value`, `use one of ${allowed.join(", ")}`);
    return fallback;
  }

  boolean(name: string): boolean | null {
    const value = this.value(name);
    if (value === null || typeof value === "boolean") return value;
    this.#wrong(name, value, "true or false");
    return null;
  }

  /** A whole number, 32 bits unless `max` says less. */
  integer(name: string, min = -(2 ** 31), max = 2 ** 31 - 1): number | null {
    const value = this.value(name);
    if (value === null) return null;
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
    this.list.error(this.at(name), `${shown(value)} is not a whole number from ${min} to ${max}`, "write the number without quotes");
    return null;
  }

  strings(name: string): readonly string[] {
    const items = this.#items(name);
    const texts = items.map((item, i) => {
      if (item !== null && typeof item !== "object") return String(item);
      if (item !== null) this.list.error(this.at(`${name}[${i}]`), `${shown(item)} is not text`, "write the item as text");
      return "";
    });
    return Object.freeze(texts);
  }

  /** Text by key, without prototype. */
  stringMap(name: string): Readonly<Record<string, string>> {
    const map: Record<string, string> = Object.create(null);
    const fields = this.object(name);
    for (const key of fields?.keys() ?? []) map[key] = fields?.string(key) ?? "";
    return Object.freeze(map);
  }

  object(name: string): ObjectReader | null {
    const value = this.value(name);
    if (value === null) return null;
    if (isObject(value)) return new ObjectReader(this.list, value, this.at(name));
    this.#wrong(name, value, "a mapping");
    return null;
  }

  /** As object(), an empty one when absent. */
  part(name: string): ObjectReader {
    return this.object(name) ?? new ObjectReader(this.list, nothing, this.at(name));
  }

  objects(name: string): readonly ObjectReader[] {
    const readers: ObjectReader[] = [];
    this.#items(name).forEach((item, i) => {
      const path = this.at(`${name}[${i}]`);
      if (isObject(item)) readers.push(new ObjectReader(this.list, item, path));
      else this.list.error(path, `${shown(item)} is not a mapping`, "write the item as a mapping of fields");
    });
    return readers;
  }

  keys(): readonly string[] {
    return Object.keys(this.#fields);
  }

  at(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  /** Call when all fields are read: what nobody asked for has no effect, which its author should know. */
  end(): void {
    for (const key of this.keys()) {
      if (!this.#read.has(key))
        this.list.warning(this.at(key), "the field is not known and has no effect", "check its spelling and its place");
    }
  }

  #items(name: string): readonly Value[] {
    const value = this.value(name);
    if (value === null) return [];
    if (Array.isArray(value)) return value;
    this.#wrong(name, value, "a list");
    return [];
  }

  #isContainer(name: string): boolean {
    const value = this.value(name);
    return typeof value === "object" && value !== null;
  }

  #wrong(name: string, value: Value, wanted: string): void {
    this.list.error(this.at(name), `${shown(value)} is not ${wanted}`, `write ${wanted} here`);
  }
}

const nothing: Fields = Object.freeze(Object.create(null));

/** The kind of a value and, where it is short and cannot be a secret, itself. */
function shown(value: Value): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return value === null ? "nothing" : "a mapping";
  return typeof value === "string" ? "this text" : String(value);
}
