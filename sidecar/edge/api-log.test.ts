import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../../lib/telemetry/log.ts";
import type { Route } from "../contract/http.ts";
import { createHttpApiLog } from "./api-log.ts";
import type { EdgeRequest } from "./http-request.ts";

function methodsOf(obfuscateUrls: boolean, name: string, paths: readonly string[]): unknown[] {
  const methods: unknown[] = [];
  const log = {
    ...silentLogger,
    scope: () => ({ ...silentLogger, info: (_: string, fields?: { method?: unknown }) => void methods.push(fields?.method) }),
  };
  const record = createHttpApiLog(log, { obfuscateUrls, omitHealthChecks: false });
  for (const path of paths) record({ method: "GET", path, headers: {} } as EdgeRequest, { name } as Route, 200, 0, 0);
  return methods;
}

test("obfuscated lines name what was called, an invocation its app as well, and never what it was called with", () => {
  const paths = ["/v1.0/invoke/cart/method/orders/7", "/v1.0/invoke/http%3A%2F%2Fx%2Fy/method/z", "/v1.0/invoke/cart", "/orders"];
  assert.deepEqual(methodsOf(true, "InvokeService", paths), [
    "InvokeService/cart",
    "InvokeService/http://x/y",
    "InvokeService",
    "InvokeService",
  ]);
  assert.deepEqual(methodsOf(true, "GetState", ["/v1.0/state/s/secret-key"]), ["GetState"]);
  assert.deepEqual(methodsOf(false, "GetState", ["/v1.0/state/s/a%20b"]), ["GET /v1.0/state/s/a b"]);
});
