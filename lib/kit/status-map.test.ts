import assert from "node:assert/strict";
import { test } from "node:test";
import { grpcCodeOf, httpStatusOf } from "./status-map.ts";

test("HTTP of gRPC codes, as Dapr maps them", () => {
  const statuses = Array.from({ length: 18 }, (_unused, code) => httpStatusOf(code));
  assert.deepEqual(statuses, [200, 408, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401, 500]);
});

test("gRPC codes of HTTP, as Dapr maps them: not the inverse", () => {
  const codes = [200, 204, 400, 401, 403, 404, 408, 409, 429, 500, 501, 503, 504, 302, 418].map(grpcCodeOf);
  assert.deepEqual(codes, [0, 0, 13, 16, 7, 5, 1, 6, 8, 2, 12, 14, 4, 2, 2]);
});
