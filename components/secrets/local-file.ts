// secretstores.local.file v1: a JSON file, read once at init. Nested values are flattened to names joined by nestedSeparator;
// with multiValued each top-level object is one secret of several values, flattened within itself.
// Where Dapr's Go driver garbles numbers and booleans ("%!s(float64=1)"), ours gives them as they are written in the file.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { DriverContext } from "../driver.ts";
import type { Secret, SecretFeature, SecretStore } from "./store.ts";

export function create(context: DriverContext): SecretStore {
  const { properties } = context;
  const path = properties.required("secretsFile", "set it to the path of a JSON file");
  const separator = properties.string("nestedSeparator", ":");
  const multiValued = properties.boolean("multiValued", false);
  properties.check();
  return new LocalFile({ path: resolve(path), separator, multiValued, log: context.log });
}

interface Settings {
  readonly path: string;
  readonly separator: string;
  readonly multiValued: boolean;
  readonly log: Logger;
}

class LocalFile implements SecretStore {
  readonly features: readonly SecretFeature[];
  readonly #settings: Settings;
  #secrets: ReadonlyMap<string, Secret> = new Map();

  constructor(settings: Settings) {
    this.#settings = settings;
    this.features = settings.multiValued ? ["MULTIPLE_KEY_VALUES_PER_SECRET"] : [];
  }

  async init(signal: AbortSignal): Promise<void> {
    const { path, multiValued } = this.#settings;
    const content = parseObject(await readText(path, signal), path);
    this.#secrets = multiValued ? this.#multi(content) : this.#flat(content);
  }

  async close(): Promise<void> {}

  async get(name: string): Promise<Secret> {
    const secret = this.#secrets.get(name);
    if (secret === undefined) throw new Error(`secret ${name} not found`);
    return secret;
  }

  async bulkGet(): Promise<ReadonlyMap<string, Secret>> {
    return this.#secrets;
  }

  #flat(content: object): ReadonlyMap<string, Secret> {
    const secrets = new Map<string, Secret>();
    for (const [name, value] of this.#flatten(content)) secrets.set(name, secretOf([[name, value]]));
    return secrets;
  }

  #multi(content: object): ReadonlyMap<string, Secret> {
    const secrets = new Map<string, Secret>();
    for (const [name, value] of Object.entries(content)) {
      const leaf = textOf(value);
      secrets.set(name, leaf === null ? secretOf(this.#flatten(value as object)) : secretOf([[name, leaf]]));
    }
    return secrets;
  }

  #flatten(content: object): ReadonlyMap<string, string> {
    const { separator, log, path } = this.#settings;
    const found = new Map<string, string>();
    const visit = (value: unknown, name: string) => {
      const leaf = textOf(value);
      if (leaf === null) for (const [key, child] of Object.entries(value as object)) visit(child, `${name}${separator}${key}`);
      else if (!found.has(name)) found.set(name, leaf);
      else log.warn(`secrets file '${path}': two entries are both named '${name}' once flattened; the first is used`);
    };
    for (const [key, child] of Object.entries(content)) visit(child, key);
    return found;
  }
}

function secretOf(entries: Iterable<readonly [string, string]>): Secret {
  const secret: Record<string, string> = Object.create(null);
  for (const [key, value] of entries) secret[key] = value;
  return secret;
}

/** The text of a leaf; null for objects and arrays. */
function textOf(value: unknown): string | null {
  if (value === null) return "";
  return typeof value === "object" ? null : String(value);
}

async function readText(path: string, signal: AbortSignal): Promise<string> {
  try {
    return await readFile(path, { encoding: "utf8", signal });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`cannot read the secrets file '${path}' (${code}): check that it exists and that this process may read it`);
  }
}

/** Numbers become the text they are written as. The parser's own message would quote the file, so only the place is told. */
function parseObject(text: string, path: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text, ((_key: string, parsed: unknown, { source }: { source: string }) =>
      typeof parsed === "number" ? source : parsed) as (key: string, value: unknown) => unknown);
  } catch (error) {
    const place = /(?:line \d+ column \d+|position \d+)/.exec((error as Error).message)?.[0];
    throw new Error(`the secrets file '${path}' is not valid JSON${place === undefined ? "" : ` at ${place}`}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new Error(`the secrets file '${path}' must hold a JSON object of names and values`);
}
