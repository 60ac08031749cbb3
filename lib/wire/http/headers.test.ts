import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalName, connectionTokens, isHopByHop } from "./headers.ts";

test("names are written as Go writes them", () => {
  assert.equal(canonicalName("content-type"), "Content-Type");
  assert.equal(canonicalName("X-REQUEST-id"), "X-Request-Id");
  assert.equal(canonicalName("http2-settings"), "Http2-Settings");
  assert.equal(canonicalName("not a token"), "not a token");
});

test("fields that Connection names are hop-by-hop too", () => {
  assert.equal(connectionTokens("keep-alive"), null);
  assert.deepEqual([...(connectionTokens("close, X-Secret , x-other") ?? [])], ["x-secret", "x-other"]);
  assert.ok(isHopByHop("te"));
  assert.ok(!isHopByHop("authorization"));
});
