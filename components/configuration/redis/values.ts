// How configuration lies on Redis, as Dapr's Go driver reads it: a plain string `value||version` per key, and keyspace events that tell which
// key changed (https://redis.io/docs/latest/develop/use/keyspace-notifications/).
import type { ConfigurationItem } from "../store.ts";

const separator = "||";
/** Keyspace channels of generic and string commands, of expiry and of eviction. */
const neededFlags = "Kg$xe";
/** `A` stands for these. */
const allFlags = "g$lshzxetd";

/** Null for a value that is empty, which counts as absent. */
export function itemOf(text: string): ConfigurationItem | null {
  const [value = "", version = ""] = text.split(separator, 2);
  return value === "" ? null : { value, version, metadata: {} };
}

export function channelOf(key: string, database: number): string {
  return `__keyspace@${database}__:${key}`;
}

/** The key behind a channel; keys may hold anything. */
export function keyOf(channel: string, database: number): string {
  return channel.slice(channelOf("", database).length);
}

/** The server's setting with what is missing added, or null when nothing is. */
export function withNeededFlags(current: string): string | null {
  const has = (flag: string) => current.includes(flag) || (current.includes("A") && allFlags.includes(flag));
  const missing = [...neededFlags].filter((flag) => !has(flag));
  return missing.length === 0 ? null : current + missing.join("");
}
