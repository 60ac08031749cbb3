import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeMethod, MethodError, normalizeMethod } from "./method-path.ts";

test("a plain method passes unchanged", () => {
  for (const method of [
    "foo",
    "multiple/segments",
    "test%stream",
    "test%25stream",
    'test"stream',
    "test\\stream",
    "a.b/c.d",
    "test%2Fstream",
    "é",
  ])
    assert.equal(normalizeMethod(method), method);
});

test("traversal, double and trailing slashes are resolved", () => {
  assert.equal(normalizeMethod("admin/../public"), "public");
  assert.equal(normalizeMethod("admin/../../public"), "public");
  assert.equal(normalizeMethod("api///v1///users"), "api/v1/users");
  assert.equal(normalizeMethod("public/"), "public");
  assert.equal(normalizeMethod("../../.."), "");
  assert.equal(normalizeMethod("."), "");
  assert.equal(normalizeMethod(""), "");
});

test("forbidden and control characters are refused with Dapr's words", () => {
  assert.throws(() => normalizeMethod("test#stream"), new MethodError('method contains forbidden character: "test#stream"'));
  assert.throws(() => normalizeMethod("test?stream"), MethodError);
  assert.throws(() => normalizeMethod("test\0stream"), MethodError);
  assert.throws(() => normalizeMethod("test\rstream"), /method contains control character at position 4/);
  assert.throws(() => normalizeMethod("test\x7fstream"), MethodError);
});

test("a method is escaped for the request line, and stays as it is when it already was", () => {
  assert.equal(encodeMethod('test"stream'), "test%22stream");
  assert.equal(encodeMethod("a b/é"), "a%20b/%C3%A9");
  assert.equal(encodeMethod("test%20stream"), "test%20stream");
  assert.equal(encodeMethod("a%2Fb"), "a%2Fb");
  assert.equal(encodeMethod("/leading"), "leading");
  assert.throws(() => encodeMethod("test%stream"), MethodError);
});

test("no traversal hides behind an escape", () => {
  assert.equal(encodeMethod("public/%2e%2e/admin"), "admin");
  assert.equal(encodeMethod("public%2F..%2Fadmin"), "admin");
  assert.equal(encodeMethod("%2E%2E%2Fadmin"), "admin");
});

test("whatever comes in: normal forms are stable and request lines are ASCII without dot segments", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
      let normal: string;
      try {
        normal = normalizeMethod(text);
        const line = encodeMethod(normal);
        assert.match(line, /^[\x21-\x7e]*$/);
        assert.ok(!line.split("/").some((segment) => segment === ".." || segment === "."));
      } catch (error) {
        assert.ok(error instanceof MethodError, String(error));
        return;
      }
      assert.equal(normalizeMethod(normal), normal);
    }),
  );
});
