import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { cleanPath, decodeParameter, parseTarget } from "./path.ts";

describe("parseTarget", () => {
  const cases: [string, ReturnType<typeof parseTarget>][] = [
    ["/v1.0/healthz", { path: "/v1.0/healthz", query: "" }],
    ["/v1.0//state///store", { path: "/v1.0/state/store", query: "" }],
    ["/a/./b/../c?x=1?2", { path: "/a/c", query: "x=1?2" }],
    ["/../../etc/passwd", { path: "/etc/passwd", query: "" }],
    ["/topic/", { path: "/topic/", query: "" }],
    ["http://localhost:3500/v1.0/metadata?a=b", { path: "/v1.0/metadata", query: "a=b" }],
    ["http://localhost", { path: "/", query: "" }],
    ["*", { path: "*", query: "" }],
    ["/a%zz", null],
    ["/a%", null],
    ["no-slash", null],
    ["/a%2e%2e/b", { path: "/a%2e%2e/b", query: "" }],
  ];
  for (const [target, expected] of cases) test(target, () => assert.deepEqual(parseTarget(target), expected));

  test("a cleaned path is a fixed point and has no dot segments", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "b%2f", "..", ".", "", "...")), (segments) => {
        const cleaned = cleanPath(`/${segments.join("/")}`);
        assert.equal(cleanPath(cleaned), cleaned);
        assert.doesNotMatch(cleaned, /\/\.\.?(\/|$)|\/\//);
      }),
    );
  });
});

test("parameters are form-decoded once", () => {
  assert.equal(decodeParameter("a+b%20c%2Fd"), "a b c/d");
  assert.equal(decodeParameter("%252e"), "%2e");
  assert.throws(() => decodeParameter("%ff"), URIError);
});
