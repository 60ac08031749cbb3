import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { applyJsonPatch, escapePointer, mergePatch } from "./patch.ts";

test("a merge patch sets, replaces and removes", () => {
  assert.deepEqual(mergePatch({ a: 1, b: { c: 2, d: [1] }, e: 3 }, { b: { c: null, d: [2] }, e: null, f: { g: null, h: 4 } }), {
    a: 1,
    b: { d: [2] },
    f: { h: 4 },
  });
});

test("a JSON patch adds, replaces, removes and inserts", () => {
  const patched = applyJsonPatch({ a: { "x/y": 1 }, list: ["one", "three"] }, [
    { op: "add", path: "/a/new", value: 2 },
    { op: "replace", path: "/a/x~1y", value: 3 },
    { op: "add", path: "/list/1", value: "two" },
    { op: "add", path: "/list/-", value: "four" },
    { op: "remove", path: "/list/0" },
  ]);
  assert.deepEqual(patched, { a: { "x/y": 3, new: 2 }, list: ["two", "three", "four"] });
});

test("a JSON patch that does not fit is refused", () => {
  const refused = (operation: Parameters<typeof applyJsonPatch>[1][number]) =>
    assert.throws(() => applyJsonPatch({ a: [1] }, [operation]), RangeError);
  refused({ op: "replace", path: "/b", value: 1 });
  refused({ op: "add", path: "/b/c", value: 1 });
  refused({ op: "remove", path: "/a/1" });
  refused({ op: "add", path: "/a/01", value: 1 });
  refused({ op: "test", path: "/a/0", value: 2 });
  refused({ op: "remove", path: "" });
  refused({ op: "add", path: "a", value: 1 });
});

test("any name is reached by its escaped pointer, __proto__ included, and nothing else changes", () => {
  fc.assert(
    fc.property(fc.string(), fc.jsonValue(), (name, value) => {
      const patched = applyJsonPatch({ other: 1 }, [{ op: "add", path: `/${escapePointer(name)}`, value }]) as object;
      assert.deepEqual(Object.getOwnPropertyDescriptor(patched, name)?.value, value);
      assert.equal(Object.getPrototypeOf(patched), Object.prototype);
      assert.equal((patched as { polluted?: unknown }).polluted, undefined);
    }),
    { examples: [["__proto__", { polluted: true }]] },
  );
});
