// The JSON bodies of the state API, parsed once at the border into the requests that stores take. Field names match without
// regard to case and unknown fields are ignored, as in Dapr; every other surprise is a FormatError that says what to send.
import type {
  Concurrency,
  Consistency,
  DeleteRequest,
  RequestMetadata,
  SetRequest,
  TransactionOperation,
} from "../../../components/state/store.ts";
import { encodeJson, isPreciseNumber, parseJson } from "./json-value.ts";

/** The body is not what the API asks for. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

/** `options` name a concurrency or consistency that does not exist. Dapr reports it as a failure of the store, so it has a type of its own. */
export class OptionError extends Error {
  override readonly name = "OptionError";
}

/** The transaction has an operation that is neither upsert nor delete. */
export class OperationError extends Error {
  override readonly name = "OperationError";
}

export interface BulkGetBody {
  readonly keys: readonly string[];
  /** 0: no limit. */
  readonly parallelism: number;
  readonly metadata: RequestMetadata;
}

export interface TransactionBody {
  readonly operations: readonly TransactionOperation[];
  readonly metadata: RequestMetadata;
}

type Fields = Readonly<Record<string, unknown>>;

/** `[{key, value, etag, metadata, options}]`. `query` is metadata of the URL, which wins over the item's own. */
export function parseSaveBody(text: string, query: RequestMetadata): readonly SetRequest[] {
  const items = parse(text);
  if (items === null) return [];
  if (!Array.isArray(items))
    throw new FormatError(`the body must be a JSON array of items such as [{"key": "k", "value": 1}], not ${nameOf(items)}`);
  return items.map((item) => setRequest(requireKey(fields(item, "an item"), 'each item needs a "key"'), query));
}

/** `{keys, parallelism, metadata}`. */
export function parseBulkGetBody(text: string, query: RequestMetadata): BulkGetBody {
  const body = fields(parse(text), "the body");
  const keys = body["keys"] ?? [];
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === "string")) throw new FormatError('"keys" must be an array of strings');
  const parallelism = body["parallelism"] ?? 0;
  if (typeof parallelism !== "number" || !Number.isInteger(parallelism)) throw new FormatError('"parallelism" must be a whole number');
  return { keys, parallelism, metadata: metadataOf(body, query) };
}

/** `{operations: [{operation, request}], metadata}`. */
export function parseTransactionBody(text: string, query: RequestMetadata): TransactionBody {
  const body = fields(parse(text), "the body");
  const operations = body["operations"] ?? [];
  if (!Array.isArray(operations)) throw new FormatError('"operations" must be an array');
  return { operations: operations.map((operation) => operationOf(operation, query)), metadata: metadataOf(body, query) };
}

function operationOf(value: unknown, query: RequestMetadata): TransactionOperation {
  const { operation = "", request } = fields(value, "an operation");
  if (operation !== "upsert" && operation !== "delete")
    throw new OperationError(typeof operation === "string" ? operation : nameOf(operation));
  const item = requireKey(fields(request ?? {}, '"request"'), `each ${operation} needs a "key" in its "request"`);
  return operation === "upsert" ? { operation, request: setRequest(item, query) } : { operation, request: deleteRequest(item, query) };
}

function setRequest(item: Fields, query: RequestMetadata): SetRequest {
  const { etag, metadata, key, concurrency, consistency } = deleteRequest(item, query);
  return { key, value: encode(item["value"]), etag, concurrency, consistency, metadata };
}

function deleteRequest(item: Fields, query: RequestMetadata): DeleteRequest {
  const options = fields(item["options"] ?? noFields, '"options"');
  return {
    key: item["key"] as string,
    etag: text(item, "etag"),
    concurrency: concurrencyOf(text(options, "concurrency")),
    consistency: consistencyOf(text(options, "consistency")),
    metadata: metadataOf(item, query),
  };
}

/** Dapr's words for a missing key, with the remedy. */
function requireKey(item: Fields, remedy: string): Fields {
  const key = text(item, "key");
  if (key === null || key === "") throw new FormatError(`"key" is a required field: ${remedy} that is not empty`);
  return item;
}

/** Throws an OptionError for a word that is neither empty nor a concurrency. */
export function concurrencyOf(word: string | null): Concurrency {
  if (word === null || word === "") return "";
  if (word === "first-write" || word === "last-write") return word;
  throw new OptionError(`unrecognized concurrency model '${word}': use first-write or last-write`);
}

export function consistencyOf(word: string | null): Consistency {
  if (word === null || word === "") return "";
  if (word === "strong" || word === "eventual") return word;
  throw new OptionError(`unrecognized consistency model '${word}': use strong or eventual`);
}

const noFields: Fields = Object.freeze(Object.create(null));
const knownFields = new Set([
  "key",
  "value",
  "etag",
  "metadata",
  "options",
  "concurrency",
  "consistency",
  "keys",
  "parallelism",
  "operations",
  "operation",
  "request",
]);

/** A JSON object whose known fields are spelt as we know them; others may be there too. */
function fields(value: unknown, what: string): Fields {
  if (value === null) return noFields;
  if (typeof value !== "object" || Array.isArray(value) || isPreciseNumber(value))
    throw new FormatError(`${what} must be a JSON object, not ${nameOf(value)}`);
  for (const name in value) if (!knownFields.has(name) && knownFields.has(name.toLowerCase())) return respelt(value as Fields);
  return value as Fields;
}

function respelt(value: Fields): Fields {
  const found: Record<string, unknown> = Object.create(null);
  for (const name in value) if (knownFields.has(name.toLowerCase())) found[name.toLowerCase()] = value[name];
  return found;
}

function text(item: Fields, name: string): string | null {
  const value = item[name];
  if (value === undefined || value === null) return null;
  if (typeof value !== "string") throw new FormatError(`"${name}" must be a string, not ${nameOf(value)}`);
  return value;
}

/** The object's `metadata` with `query` over it. */
function metadataOf(item: Fields, query: RequestMetadata): RequestMetadata {
  const own = item["metadata"];
  if (own === undefined || own === null) return query;
  if (typeof own !== "object" || Array.isArray(own)) throw new FormatError(`"metadata" must be an object of strings, not ${nameOf(own)}`);
  const merged: Record<string, string> = Object.create(null);
  for (const name of Object.keys(own)) {
    const value = (own as Fields)[name];
    if (value !== null && typeof value !== "string")
      throw new FormatError(`"metadata" must be an object of strings; put the value of "${name}" in quotes`);
    merged[name] = value ?? "";
  }
  for (const name in query) merged[name] = query[name] as string;
  return merged;
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new FormatError(text.trim() === "" ? "the body is empty; send JSON" : (error as Error).message);
  }
}

function encode(value: unknown): Uint8Array {
  try {
    return encodeJson(value);
  } catch (error) {
    throw new FormatError((error as Error).message);
  }
}

function nameOf(value: unknown): string {
  if (value === null) return "null";
  if (isPreciseNumber(value)) return "a number";
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}
