// Component metadata of everything that stands on Redis: state, pub/sub, configuration, locks. Names and defaults are Dapr's
// (inventory §11.3). A duration is Go's ("500ms") or a bare number of milliseconds; -1 switches off.
// Connections are multiplexed, so `poolSize`, `poolTimeout`, `minIdleConns`, `maxConnAge`, `idleTimeout` and `idleCheckFrequency` are
// checked and have no effect. Entra ID is refused by name: it needs a cloud login that this driver does not have.
import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { parseDuration } from "../../lib/kit/duration.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Properties } from "../metadata.ts";

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

export interface RedisTls {
  /** PEM; null without a client certificate. */
  readonly clientCert: string | null;
  readonly clientKey: string | null;
  readonly insecureSkipVerify: boolean;
}

/** Login of one server or cluster; empty strings are absent. Never log it whole. */
export interface RedisSettings {
  readonly mode: "node" | "cluster" | "sentinel";
  /** Servers, cluster nodes or sentinels; at least one. */
  readonly addresses: readonly RedisAddress[];
  readonly masterName: string;
  readonly username: string;
  readonly password: string;
  readonly sentinelUsername: string;
  readonly sentinelPassword: string;
  readonly database: number;
  readonly tls: RedisTls | null;
  /** Attempts after the first, of connecting at start and of commands that did not reach the server. */
  readonly maxRetries: number;
  readonly minRetryMs: number;
  readonly maxRetryMs: number;
  readonly dialTimeoutMs: number;
  /** How long a reply may take; 0: for ever. */
  readonly commandTimeoutMs: number;
  /** To be logged as warnings by whoever has a logger. */
  readonly warnings: readonly string[];
}

const defaultPort = 6379;
const databaseMax = 1_000_000;
const retriesMax = 1000;

/** Where the parts of a type differ: state and lock know the older names `maxRetries` and `maxRetryBackoff` (nanoseconds). */
export interface RedisDefaults {
  readonly minRetryMs: number;
  readonly maxRetryMs: number;
  readonly legacyNames: boolean;
}

export const stateDefaults: RedisDefaults = { minRetryMs: 2000, maxRetryMs: 512, legacyNames: true };
export const configurationDefaults: RedisDefaults = { minRetryMs: 8, maxRetryMs: 2000, legacyNames: false };
export const pubSubDefaults: RedisDefaults = { minRetryMs: 8, maxRetryMs: 512, legacyNames: false };

/** Reads the settings; what is wrong is added to `properties`' problems, so call `properties.check()` before using the result. */
export function readRedisSettings(properties: Properties, defaults: RedisDefaults): RedisSettings {
  const warnings: string[] = [];
  if (properties.boolean("useEntraID", false) || properties.boolean("useAzureAD", false)) {
    properties.problem("useEntraID is not supported by this driver: use redisUsername and redisPassword (an access key)");
  }
  const mode = readMode(properties);
  const addresses = readAddresses(properties, mode);
  const masterName = properties.string("sentinelMasterName", "");
  if (mode === "sentinel" && masterName === "") {
    properties.problem("missing field 'sentinelMasterName': failover needs the name of the master that the sentinels watch");
  }
  checkWithoutEffect(properties);
  const read = redisDurationMs(properties, "readTimeout", 3000);
  const write = redisDurationMs(properties, "writeTimeout", read);
  return {
    mode,
    addresses,
    masterName,
    username: properties.string("redisUsername", ""),
    password: properties.string("redisPassword", ""),
    sentinelUsername: properties.string("sentinelUsername", ""),
    sentinelPassword: properties.string("sentinelPassword", ""),
    database: properties.integer("redisDB", 0, { min: 0, max: databaseMax }),
    tls: properties.boolean("enableTLS", false) ? readTls(properties, warnings) : null,
    ...readRetries(properties, defaults),
    dialTimeoutMs: redisDurationMs(properties, "dialTimeout", 5000) || 5000,
    commandTimeoutMs: read < 0 || write < 0 ? 0 : Math.max(read || 3000, write || 3000),
    warnings,
  };
}

/** A Go duration, or a bare number of milliseconds; milliseconds. Anything below zero is -1: switched off. */
export function redisDurationMs(properties: Properties, name: string, fallbackMs: number): number {
  const value = properties.get(name);
  if (value === undefined || value === "") return fallbackMs;
  const ms = /^[+-]?\d+$/.test(value) ? Number(value) : parseDuration(value);
  if (ms !== undefined) return ms < 0 ? -1 : ms;
  properties.problem(`invalid value '${value}' for '${name}': use a duration such as 500ms or 5s, or a number of milliseconds`);
  return fallbackMs;
}

function readMode(properties: Properties): RedisSettings["mode"] {
  const type = properties.string("redisType", "node").toLowerCase();
  if (type !== "node" && type !== "cluster") properties.problem(`invalid redisType '${type}': use node or cluster`);
  if (properties.boolean("failover", false)) return "sentinel";
  return type === "cluster" ? "cluster" : "node";
}

function readAddresses(properties: Properties, mode: RedisSettings["mode"]): readonly RedisAddress[] {
  const hosts = properties.required("redisHost", "set it to host:port, for example localhost:6379").split(",");
  const port = properties.integer("redisPort", 0, { min: 0, max: 65_535 });
  const texts = hosts.map((host) => host.trim()).filter((host) => host !== "");
  if (texts.length > 1 && mode === "node") {
    properties.problem("redisHost names several servers: set redisType to cluster, or failover to true for sentinels");
  }
  return texts.map((text) => readAddress(properties, text, port));
}

/** `host`, `host:port`, `[v6]:port` or a bare IPv6 address. */
function readAddress(properties: Properties, text: string, port: number): RedisAddress {
  if (isIP(text) === 6) return { host: text, port: port || defaultPort };
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) {
    properties.problem(`invalid redisHost '${withoutLogin(text)}': use host:port, without a scheme`);
    return { host: "", port: 0 };
  }
  const own = match?.[3];
  if (own === undefined) return { host, port: port || defaultPort };
  if (Number(own) > 65_535) properties.problem(`invalid port ${own} in redisHost: use a number up to 65535`);
  if (port !== 0 && Number(own) !== port) {
    properties.problem(
      `redis host '${text}' already contains port ${own}, but redisPort is set to ${port}; ` +
        "either remove the port from redisHost or remove the redisPort setting",
    );
  }
  return { host, port: Number(own) };
}

/** People paste URLs with a password in them. */
function withoutLogin(text: string): string {
  return text.replace(/^.*@/, "…@");
}

function readRetries(properties: Properties, defaults: RedisDefaults): Pick<RedisSettings, "maxRetries" | "minRetryMs" | "maxRetryMs"> {
  const { legacyNames } = defaults;
  const retriesName = legacyNames && !properties.get("redisMaxRetries") ? "maxRetries" : "redisMaxRetries";
  // As in go-redis, 0 is the default and -1 means none.
  const retries = properties.integer(retriesName, 3, { min: -1, max: retriesMax }) || 3;
  const backoff = properties.get("maxRetryBackoff");
  let minRetryMs = defaults.minRetryMs;
  if (legacyNames && !properties.get("redisMinRetryInterval") && backoff !== undefined && backoff !== "") {
    minRetryMs = Number(backoff) / 1e6;
    if (!/^[+-]?\d+$/.test(backoff)) properties.problem(`redis store error: can't parse maxRetryBackoff field: '${backoff}' is no number`);
  }
  const max = redisDurationMs(properties, "redisMaxRetryInterval", defaults.maxRetryMs);
  const min = redisDurationMs(properties, "redisMinRetryInterval", minRetryMs);
  const maxRetryMs = Math.max(0, max || 512);
  return { maxRetries: Math.max(0, retries), maxRetryMs, minRetryMs: Math.min(Math.max(0, min || 8), maxRetryMs) };
}

function readTls(properties: Properties, warnings: string[]): RedisTls {
  const cert = properties.string("clientCert", "");
  const key = properties.string("clientKey", "");
  const both = cert !== "" && key !== "";
  if (!both && cert !== key) warnings.push("clientCert and clientKey only work together: the connection is made without them");
  if (both) {
    try {
      createSecureContext({ cert, key });
    } catch (error) {
      properties.problem(`clientCert and clientKey are no matching pair in PEM form: ${messageOf(error)}`);
    }
  }
  const insecureSkipVerify = properties.boolean("insecureSkipTLSVerify", false);
  if (insecureSkipVerify) warnings.push("insecureSkipTLSVerify is on: the server's certificate is not checked");
  return { clientCert: both ? cert : null, clientKey: both ? key : null, insecureSkipVerify };
}

function checkWithoutEffect(properties: Properties): void {
  for (const name of ["poolSize", "minIdleConns"]) properties.integer(name, 0, { min: 0, max: 2 ** 31 - 1 });
  for (const name of ["poolTimeout", "maxConnAge", "idleTimeout", "idleCheckFrequency"]) redisDurationMs(properties, name, 0);
}
