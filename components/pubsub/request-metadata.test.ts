import assert from "node:assert/strict";
import { it } from "node:test";
import { rawPayload, timeToLiveMs } from "./request-metadata.ts";

it("reads the time to live in all of Dapr's forms", () => {
  const cases: readonly [Record<string, string>, number | null][] = [
    [{}, null],
    [{ ttlInSeconds: "60" }, 60_000],
    [{ TTLINSECONDS: "1" }, 1000],
    [{ ttl: "1m30s" }, 90_000],
    [{ ttl: "5", ttlInSeconds: "7" }, 5000],
    [{ ttlInSeconds: "0" }, 0],
    [{ ttl: "-5s" }, 0],
    [{ ttlInSeconds: "-1" }, null],
    [{ ttlInSeconds: "abc" }, null],
    [{ ttlInSeconds: "1.5" }, null],
    [{ ttlInSeconds: "9223372036854775807" }, 10_000 * 365 * 24 * 3_600_000],
  ];
  for (const [metadata, expected] of cases) assert.equal(timeToLiveMs(metadata), expected, JSON.stringify(metadata));
});

it("reads rawPayload as Go reads a boolean", () => {
  for (const value of ["1", "t", "T", "TRUE", "true", "True"]) assert.equal(rawPayload({ rawPayload: value }), true);
  for (const value of ["", "0", "f", "F", "FALSE", "false", "False"]) assert.equal(rawPayload({ rawPayload: value }), false);
  assert.equal(rawPayload({ rawpayload: "true" }), false);
  assert.throws(() => rawPayload({ rawPayload: "yes" }), { message: "rawPayload value must be a valid boolean: actual is 'yes'" });
});
