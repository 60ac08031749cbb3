import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readQuantityBytes } from "./quantity.ts";

test("whole bytes in every suffix", () => {
  const cases: readonly (readonly [string, number])[] = [
    ["0", 0],
    ["12", 12],
    ["-1", -1],
    ["+1k", 1000],
    ["4Mi", 4 * 1024 ** 2],
    ["1.5Ki", 1536],
    [".5Ki", 512],
    ["1.", 1],
    ["1e3", 1000],
    ["1E3", 1000],
    ["1E", 1e18],
    ["2000m", 2],
    ["1.20k", 1200],
    ["0e999999999999", 0],
  ];
  for (const [text, bytes] of cases) assert.deepEqual(readQuantityBytes(text), { ok: true, value: bytes }, text);
});

test("what is not a whole number of bytes below 2^63 says why", () => {
  const reason = (text: string) => {
    const read = readQuantityBytes(text);
    return read.ok ? "" : read.reason;
  };
  for (const text of ["", "abc", " 1", "0x5", "1.2.3", ".", "4 Mi"])
    assert.match(reason(text), /^quantities must match the regular expression/, text);
  for (const text of ["1K", "1ki", "1e", "1Mi2", "1mm"]) assert.equal(reason(text), "unable to parse quantity's suffix", text);
  for (const text of ["0.5", "1n", "1500m", "16E", "8Ei", "1e30", "1e99999999999", "0.3Ki"]) {
    assert.match(reason(text), /^cannot get bytes from resource quantity value/, text);
  }
});

test("any text answers at once", () => {
  fc.assert(fc.property(fc.string(), (text) => assert.equal(typeof readQuantityBytes(text).ok, "boolean")));
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom("", "Ki", "k"), (n, suffix) => assert.equal(readQuantityBytes(`${n}${suffix}`).ok, true)),
  );
});
