// envRef and secretKeyRef of name-value pairs, resolved. What cannot be resolved is said in the log, by name and never by
// value, and the property stays as it was: Dapr starts the component then, and its driver says what it misses.
import { messageOf } from "../../lib/kit/errors.ts";
import type { NameValue } from "../../lib/resources/resource.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { Environment, SecretSource } from "./ports.ts";

/** A resource whose pairs are resolved. */
export interface Referrer {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  /** Empty: none. */
  readonly secretStore: string;
  readonly pairs: readonly NameValue[];
}

export interface ReferenceSurroundings {
  readonly env: Environment;
  readonly envKeys: readonly string[] | null;
  /** Its secrets stand in the values, base64; empty: none. */
  readonly inlinedSecretStore: string;
  readonly secrets: SecretSource;
  readonly log: Logger;
}

export type ResolvedPairs =
  | { readonly kind: "resolved"; readonly pairs: readonly (readonly [name: string, value: string])[] }
  /** The store is not there yet. */
  | { readonly kind: "waiting"; readonly store: string };

export async function resolveReferences(referrer: Referrer, around: ReferenceSurroundings, signal: AbortSignal): Promise<ResolvedPairs> {
  const subject = `${referrer.kind} ${referrer.name}`;
  const store = referrer.secretStore;
  const inlined = store !== "" && store === around.inlinedSecretStore;
  const wantsSecrets = !inlined && referrer.pairs.some((pair) => pair.secretKeyRef !== null && !readsEnvironment(pair));
  const ready = wantsSecrets && around.secrets.has(store);
  if (wantsSecrets && !ready) {
    around.log.warn(`${subject} references a secret store that isn't loaded: ${store}`);
    // Without a name there is nothing to wait for: the properties stay empty.
    if (store !== "") return { kind: "waiting", store };
  }
  const secrets = new Map<string, Promise<Readonly<Record<string, string>> | null>>();
  const pairs: (readonly [string, string])[] = [];
  for (const pair of referrer.pairs) {
    let value = pair.value;
    if (readsEnvironment(pair)) value = environmentValue(pair.envRef, subject, around);
    else if (pair.secretKeyRef !== null && inlined) value = inlinedValue(pair, subject, around);
    else if (pair.secretKeyRef !== null && ready) value = (await secretValue(pair, referrer, around, secrets, signal)) ?? value;
    pairs.push([pair.name, value ?? ""]);
  }
  return { kind: "resolved", pairs };
}

function readsEnvironment(pair: NameValue): boolean {
  return pair.value === null && pair.envRef !== "";
}

function environmentValue(name: string, subject: string, around: ReferenceSurroundings): string | null {
  if (isEnvironmentAllowed(name, around.envKeys)) return Object.hasOwn(around.env, name) ? (around.env[name] ?? "") : "";
  around.log.warn(`${subject} references an env variable that isn't allowed: ${name}`);
  return null;
}

function inlinedValue(pair: NameValue, subject: string, around: ReferenceSurroundings): string | null {
  const text = pair.value ?? "";
  if (text !== "" && /^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0) return Buffer.from(text, "base64").toString("utf8");
  const { name, key } = pair.secretKeyRef as NonNullable<NameValue["secretKeyRef"]>;
  const cause =
    text === ""
      ? "the operator has not resolved it; look for the secret, its key, and the operator's right to read it"
      : "it is not base64";
  around.log.error(`Error decoding secret: ${subject}: property ${pair.name}, secret ${name}, key ${key || name}: ${cause}`);
  return null;
}

/** The sidecar's own secrets and settings are never handed to a component; a list, if there is one, must hold the rest. */
export function isEnvironmentAllowed(name: string, envKeys: readonly string[] | null): boolean {
  const upper = name.toUpperCase();
  if (upper === "" || upper === "APP_API_TOKEN" || upper.startsWith("DAPR_") || upper.includes(" ")) return false;
  return envKeys === null || envKeys.includes(upper);
}

async function secretValue(
  pair: NameValue,
  referrer: Referrer,
  around: ReferenceSurroundings,
  cache: Map<string, Promise<Readonly<Record<string, string>> | null>>,
  signal: AbortSignal,
): Promise<string | null> {
  const { name, key } = pair.secretKeyRef as NonNullable<NameValue["secretKeyRef"]>;
  let fetched = cache.get(name);
  if (fetched === undefined) {
    fetched = around.secrets.get(referrer.secretStore, name, { namespace: referrer.namespace }, signal).catch((error: unknown) => {
      around.log.error(`Error getting secret: ${messageOf(error)}`);
      return null;
    });
    cache.set(name, fetched);
  }
  const secret = await fetched;
  if (secret === null) return null;
  const field = key === "" ? name : key;
  const value = Object.hasOwn(secret, field) ? secret[field] : undefined;
  if (value !== undefined && value !== "") return value;
  around.log.warn(
    `${referrer.kind} ${referrer.name}: secret ${name} in store ${referrer.secretStore} has no value for key ${field}, ` +
      `so property ${pair.name} is not set; add the key or correct secretKeyRef`,
  );
  return null;
}
