// YAML to plain values: null, booleans, numbers, strings, arrays and objects without prototype, so that a key such as
// `__proto__` is only a key. Text, nesting and the values that aliases multiply are bounded before anyone walks them.
import { boolYaml11Tag, CORE_SCHEMA, defineScalarTag, intCoreTag, load, mergeTag, NOT_RESOLVED, realMapTag } from "js-yaml";
import { messageOf } from "../kit/errors.ts";

export type Value = null | boolean | number | string | readonly Value[] | { readonly [key: string]: Value };

/** A resource file, and a configuration after its variables are expanded. */
export const yamlMaxBytes = 4 * 1024 * 1024;
/** Values in one document, aliases counted each time they are used. */
export const yamlMaxValues = 200_000;
/** Nesting of one document. */
export const yamlMaxDepth = 64;

/** Go's YAML reads 0644 as octal; integers that a double cannot hold stay text, digit for digit. */
const intTag = defineScalarTag<number | string>("tag:yaml.org,2002:int", {
  implicit: true,
  resolve(source, isExplicit, tagName) {
    if (/^[-+]?0[0-7]+$/.test(source)) return Number.parseInt(source, 8);
    const value = intCoreTag.resolve(source, isExplicit, tagName);
    return value === NOT_RESOLVED || Number.isSafeInteger(value) ? value : source;
  },
  identify: () => false,
});

const schema = CORE_SCHEMA.withTags(mergeTag, realMapTag, boolYaml11Tag, intTag);

/** The documents of a file. A line that starts with `---` ends a document, as Dapr splits. */
export function splitDocuments(text: string): readonly string[] {
  const documents: string[] = [];
  let rest = text.replaceAll("\r\n", "\n");
  for (;;) {
    const at = rest.indexOf("\n---");
    if (at < 0) break;
    documents.push(rest.slice(0, at));
    const next = rest.indexOf("\n", at + 1);
    rest = next < 0 ? "" : rest.slice(next + 1);
  }
  documents.push(rest);
  return documents.filter((document) => document.split("\n").some((line) => !/^(#|---|$)/.test(line.trim())));
}

/** Reads one document. Never throws: the text of what is wrong instead. */
export function parseYaml(text: string): { readonly value: Value } | { readonly cause: string } {
  if (text.length > yamlMaxBytes) return { cause: `the text is longer than ${yamlMaxBytes} bytes` };
  try {
    const loaded = load(text, { schema, maxDepth: yamlMaxDepth, maxAliases: 10_000, json: true });
    return { value: plainValue(loaded) };
  } catch (error) {
    return { cause: firstLine(messageOf(error)) };
  }
}

class TooLarge extends Error {}

/** Anything that YAML or JSON yields, copied to plain values. Throws when it is too large, too deep or of another kind. */
export function plainValue(loaded: unknown): Value {
  const left = { values: yamlMaxValues };
  return copy(loaded, left, 0);
}

function copy(value: unknown, left: { values: number }, depth: number): Value {
  if (--left.values < 0) throw new TooLarge(`the document holds more than ${yamlMaxValues} values`);
  if (depth > yamlMaxDepth) throw new TooLarge(`the document is nested deeper than ${yamlMaxDepth} levels`);
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map((item) => copy(item, left, depth + 1));
  if (typeof value !== "object") throw new TooLarge(`a ${typeof value} is not a YAML value`);
  const object: Record<string, Value> = Object.create(null);
  const entries = value instanceof Map ? value.entries() : Object.entries(value);
  for (const [key, item] of entries) object[keyText(key)] = copy(item, left, depth + 1);
  return object;
}

function keyText(key: unknown): string {
  if (typeof key === "object" && key !== null) throw new TooLarge("a key must be a word, not a list or a mapping");
  return String(key);
}

function firstLine(message: string): string {
  return message.split("\n", 1)[0] as string;
}
