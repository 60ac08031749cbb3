// `ttlInSeconds`, the request metadata that makes an entry expire, and `ttlExpireTime`, which tells when (inventory §5.1).
import { requestProperty } from "../metadata.ts";
import type { RequestMetadata } from "./store.ts";

const ttlMaxSeconds = 2 ** 31 - 1;

/** Seconds the entry may live; null for ever (absent, -1 or 0). Throws when the value is no such number. */
export function ttlSeconds(metadata: RequestMetadata): number | null {
  const text = requestProperty(metadata, "ttlInSeconds");
  if (text === undefined || text === "") return null;
  const seconds = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(seconds) || seconds < -1 || seconds > ttlMaxSeconds) {
    throw new Error(`incorrect value for metadata 'ttlInSeconds': '${text}' must be a whole number of seconds, -1 or greater`);
  }
  return seconds > 0 ? seconds : null;
}

const noMetadata: RequestMetadata = Object.freeze(Object.create(null));

/** Item metadata of an entry that expires at `expiresAt` (milliseconds since the epoch; null: never), RFC 3339 to the second. */
export function expiryMetadata(expiresAt: number | null): RequestMetadata {
  return expiresAt === null ? noMetadata : { ttlExpireTime: `${new Date(expiresAt).toISOString().slice(0, 19)}Z` };
}
