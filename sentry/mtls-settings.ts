// What sentry takes from a Configuration: life of certificates, clock skew, and which validators judge requests. The rules
// and words are those of Dapr's sentry: `kubernetes` and `insecure` are built in and cannot be configured, `jwks` replaces
// `insecure`, and the trust domain is the flag's.
import { readDuration } from "../lib/kit/go-text.ts";
import type { MtlsSettings } from "../lib/resources/configuration.ts";
import { parseConfiguration } from "../lib/resources/configuration-parser.ts";
import { expandEnvironment } from "../lib/resources/expand-env.ts";
import { problemText } from "../lib/resources/problem.ts";
import { isObject } from "../lib/resources/reader.ts";
import { parseYaml, splitDocuments, type Value } from "../lib/resources/yaml.ts";
import type { Environment, SentryConfig } from "./config.ts";

export interface JwksOptions {
  /** URL, path, or the key set itself, which may be base64. */
  readonly source: string;
  /** Path or PEM; empty: the system's. */
  readonly caCertificate: string;
  /** 0: the default. */
  readonly minRefreshIntervalMs: number;
  readonly requestTimeoutMs: number;
}

export interface ValidatorSettings {
  readonly insecure: boolean;
  readonly kubernetes: boolean;
  readonly jwks: JwksOptions | null;
  /** Which judges a request that names none; null refuses it. */
  readonly fallback: "insecure" | "kubernetes" | null;
}

export interface MtlsConfig {
  readonly leafTtlMs: number;
  readonly clockSkewMs: number;
  readonly validators: ValidatorSettings;
}

export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

const leafTtlDefaultMs = 86_400_000;
/** Certificates hold whole seconds. */
const leafTtlMinMs = 1_000;
const clockSkewDefaultMs = 900_000;

/** The first document of a standalone file, variables expanded; an empty file is an empty mapping. Throws SettingsError. */
export function readConfigurationText(text: string, env: Environment): Value {
  const document = splitDocuments(expandEnvironment(text, env))[0];
  if (document === undefined) return Object.create(null) as Value;
  const parsed = parseYaml(document);
  if ("cause" in parsed) throw new SettingsError(parsed.cause);
  if (!isObject(parsed.value)) throw new SettingsError("the document is not a mapping; write apiVersion, kind, metadata and spec");
  return parsed.value;
}

/** Throws SettingsError. `name` is the file or the object, for messages. */
export function readMtls(value: Value, name: string, mode: SentryConfig["mode"]): MtlsConfig {
  const { resource, problems } = parseConfiguration(value, name);
  if (resource === null) throw new SettingsError(problems.map(problemText).join("; "));
  const { mtls } = resource;
  return Object.freeze({
    leafTtlMs: duration(mtls.workloadCertTtl, "WorkloadCertTTL", leafTtlDefaultMs, leafTtlMinMs),
    clockSkewMs: duration(mtls.allowedClockSkew, "AllowedClockSkew", clockSkewDefaultMs),
    validators: validators(mtls.tokenValidators, mode),
  });
}

function duration(text: string, what: string, defaultMs: number, minMs = 0): number {
  if (text === "") return defaultMs;
  const ms = readDuration(text);
  if (!ms.ok) throw new SettingsError(`error parsing ${what} duration: ${ms.reason}`);
  if (ms.value < minMs) throw new SettingsError(`error parsing ${what} duration: ${text} is too short; give a duration such as 24h`);
  return ms.value;
}

function validators(given: MtlsSettings["tokenValidators"], mode: SentryConfig["mode"]): ValidatorSettings {
  const kubernetes = mode === "kubernetes";
  let jwks: JwksOptions | null = null;
  for (const { name, options } of given) {
    const kind = name.toUpperCase();
    if (kind === "KUBERNETES" || kind === "INSECURE") {
      throw new SettingsError("invalid token validator: the built-in 'kubernetes' and 'insecure' validators cannot be configured manually");
    }
    if (kind !== "JWKS") throw new SettingsError(`invalid token validator name: '${name}'; supported values: 'jwks'`);
    jwks = readJwks(options);
  }
  const insecure = !kubernetes && given.length === 0;
  return Object.freeze({ insecure, kubernetes, jwks, fallback: kubernetes ? "kubernetes" : insecure ? "insecure" : null });
}

function readJwks(options: Value): JwksOptions {
  const byName = new Map<string, string>();
  for (const [name, value] of isObject(options) ? Object.entries(options) : []) {
    byName.set(name.toLowerCase(), value === null || typeof value === "object" ? "" : String(value));
  }
  const text = (name: string): string => byName.get(name.toLowerCase()) ?? "";
  if (text("source").trim() === "") {
    throw new SettingsError("invalid token validator: jwks has no source; give options.source as a URL, a file or a key set");
  }
  return Object.freeze({
    source: text("source"),
    caCertificate: text("caCertificate"),
    minRefreshIntervalMs: interval(text("minRefreshInterval"), "minRefreshInterval"),
    requestTimeoutMs: interval(text("requestTimeout"), "requestTimeout"),
  });
}

/** A duration, or whole seconds. */
function interval(text: string, name: string): number {
  if (text === "") return 0;
  if (/^[+-]?\d+$/.test(text)) return Number(text) * 1000;
  const ms = readDuration(text);
  if (!ms.ok) throw new SettingsError(`failed to decode validator options: ${name}: ${ms.reason}`);
  return ms.value;
}
