import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeJson, parseJson } from "./json-value.ts";

function roundTrip(text: string): string {
  return Buffer.from(encodeJson(parseJson(text))).toString();
}

test("numbers keep their digits", () => {
  for (const number of ["12345678901234567890", "0.12345678901234567890", "12345678.123456789012", "1e400", "-9007199254740993", "1E-7"]) {
    assert.equal(roundTrip(`{"n":[${number},1]}`), `{"n":[${number},1]}`);
  }
});

test("text is escaped as Go's encoder does", () => {
  assert.equal(roundTrip('"<a href=\\"x\\">&\u2028\u2029é"'), '"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028\\u2029é"');
});

test("an absent value is null, whitespace goes, __proto__ stays a key", () => {
  assert.equal(Buffer.from(encodeJson(undefined)).toString(), "null");
  assert.equal(roundTrip(' { "__proto__" : { "x" : 1 } , "a" : [ 1 , 2 ] } '), '{"__proto__":{"x":1},"a":[1,2]}');
  assert.equal(({} as { x?: number }).x, undefined);
});

test("deep nesting is written back as it came, or refused with a SyntaxError, and never more", () => {
  const nested = (depth: number, inner: string) => `${"[".repeat(depth)}${inner}${"]".repeat(depth)}`;
  assert.equal(roundTrip(nested(100_000, "1")), nested(100_000, "1"));
  assert.equal(roundTrip(nested(500, "12345678901234567890")), nested(500, "12345678901234567890"));
  assert.throws(() => parseJson(nested(100_000, "12345678901234567890")), /SyntaxError: the JSON is nested too deeply/);
});

test("any JSON value comes back equal", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.deepEqual(JSON.parse(roundTrip(JSON.stringify(value))), JSON.parse(JSON.stringify(value)));
    }),
  );
});
