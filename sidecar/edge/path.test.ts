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
    ["/v1.0/invoke/shop/method/a/../../admin", { path: "/v1.0/invoke/shop/method/admin", query: "" }],
    ["/v1.0/invoke/shop/method/../../../metadata", { path: "/v1.0/invoke/shop/method/metadata", query: "" }],
    ["//v1.0/invoke/./shop//method/../method/x", { path: "/v1.0/invoke/shop/method/method/x", query: "" }],
    ["/v1.0/invoke/method/../shop/method/x", { path: "/v1.0/invoke/shop/method/x", query: "" }],
    ["/v1.0/invoke/http://host/a/../method/..", { path: "/v1.0/invoke/http:/host/method", query: "" }],
    ["/v1.0/state/method/../store", { path: "/v1.0/state/store", query: "" }],
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
      fc.property(fc.array(fc.constantFrom("a", "b%2f", "..", ".", "", "...", "v1.0", "invoke", "method")), (segments) => {
        const cleaned = cleanPath(`/${segments.join("/")}`);
        assert.equal(cleanPath(cleaned), cleaned);
        assert.doesNotMatch(cleaned, /\/\.\.?(\/|$)|\/\//);
      }),
    );
  });
});

test("no method leaves the app it was sent to", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("a", "..", ".", "", "method", "..%2f", "invoke")), (segments) => {
      assert.match(`${cleanPath(`/v1.0/invoke/shop/method/${segments.join("/")}`)}/`, /^\/v1\.0\/invoke\/shop\/method\//);
    }),
  );
});

test("parameters are form-decoded once", () => {
  assert.equal(decodeParameter("a+b%20c%2Fd"), "a b c/d");
  assert.equal(decodeParameter("%252e"), "%2e");
  assert.throws(() => decodeParameter("%ff"), URIError);
});
