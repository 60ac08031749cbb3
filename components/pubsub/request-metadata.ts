// Per-request metadata that pub/sub gives a meaning to, whoever reads it first: the runtime or the broker.
import { parseDuration } from "../../lib/kit/duration.ts";
import { requestProperty } from "../metadata.ts";

const integerForm = /^[+-]?\d+$/;
/** Ten thousand years: a longer time to live is no limit, and the sum with the clock stays a valid date. */
const timeToLiveMaxMs = 10_000 * 365 * 24 * 3_600_000;

/**
 * `ttl` or `ttlInSeconds`, in any case: a Go duration or whole seconds; milliseconds. Null without one, and when the value is not one, or not
 * above zero, which Dapr ignores rather than refuses. A negative duration is zero: expired at once.
 */
export function timeToLiveMs(metadata: Readonly<Record<string, string>>): number | null {
  const value = requestProperty(metadata, "ttl") ?? requestProperty(metadata, "ttlInSeconds");
  if (value === undefined || value === "") return null;
  const duration = parseDuration(value);
  if (duration !== undefined) return Math.min(Math.max(0, duration), timeToLiveMaxMs);
  if (!integerForm.test(value)) return null;
  const seconds = Number(value);
  return seconds > 0 ? Math.min(seconds * 1000, timeToLiveMaxMs) : null;
}

const trueForms = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const falseForms = new Set(["0", "f", "F", "FALSE", "false", "False"]);

/** `rawPayload`, in Go's spellings of a boolean. Throws an Error in Dapr's words when it is something else. */
export function rawPayload(metadata: Readonly<Record<string, string>>): boolean {
  const value = metadata.rawPayload;
  if (value === undefined || value === "" || falseForms.has(value)) return false;
  if (trueForms.has(value)) return true;
  throw new Error(`rawPayload value must be a valid boolean: actual is '${value}'`);
}
