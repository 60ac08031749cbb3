import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { firstValue, joinObject, splitObject } from "./json-object.ts";

describe("splitObject", () => {
  it("keeps the text of values, digit for digit", () => {
    const members = splitObject(' { "a" : 12345678901234567890 , "b":[1.10, {"c":"}\\""}],"\\u0061b":null } ');
    assert.deepEqual(
      [...(members ?? [])],
      [
        ["a", "12345678901234567890"],
        ["b", '[1.10, {"c":"}\\""}]'],
        ["ab", "null"],
      ],
    );
  });

  it("takes only objects", () => {
    for (const text of ["", "null", "[1]", '"{}"', "1", "{", '{"a"}', "{} x"]) assert.equal(splitObject(text), null, text);
  });

  it("treats __proto__ as any other name, and keeps the last of a repeated one", () => {
    const members = splitObject('{"__proto__":{"x":1},"a":1,"a":2}');
    assert.deepEqual([members?.get("__proto__"), members?.get("a")], ['{"x":1}', "2"]);
  });

  it("is undone by joinObject", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()), fc.nat(2), (object, indent) => {
        const members = splitObject(JSON.stringify(object, null, indent));
        assert.deepEqual(JSON.parse(joinObject(members ?? new Map())), JSON.parse(JSON.stringify(object)));
        for (const [name, text] of members ?? []) assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(object))[name]);
      }),
    );
  });

  it("survives nesting that would exhaust a stack", () => {
    const deep = `{"a":${"[".repeat(200_000)}${"]".repeat(200_000)},"b":1}`;
    assert.equal(splitObject(deep)?.get("b"), "1");
  });
});

describe("firstValue", () => {
  it("gives the first value of a text", () => {
    const cases = [
      ['{"a":1} xx', '{"a":1}'],
      [" 12 13", "12"],
      ['"a"b', '"a"'],
      ['{"a":', null],
      ["", null],
      ["nope", null],
    ] as const;
    for (const [text, expected] of cases) assert.equal(firstValue(text), expected, text);
  });

  it("never throws", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void firstValue(text)));
    fc.assert(fc.property(fc.stringMatching(/^[[\]{}",:\\0-9a-z ]*$/), (text) => void firstValue(text)));
  });
});
