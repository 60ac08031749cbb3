import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { noContent, type Route } from "../contract/http.ts";
import { BadParameterError, compileRoutes } from "./router.ts";

function route(methods: string[], path: string, name: string): Route {
  return { methods, version: "v1.0", path, group: "g", groupVersion: "v1", name, handle: () => noContent };
}

const router = compileRoutes([
  route(["GET"], "state/:store/:key", "GetState"),
  route(["POST", "PUT"], "state/:store", "SaveState"),
  route(["POST", "PUT"], "state/:store/bulk", "BulkState"),
  route(["POST"], "publish/:pubsub/*topic", "Publish"),
  route([], "invoke/:id/method/*method", "Invoke"),
  route(["GET"], "secrets/:store/bulk", "BulkSecret"),
  route(["GET"], "secrets/:store/:key", "GetSecret"),
  route(["GET"], "healthz", "Healthz"),
]);

describe("router", () => {
  const cases: [string, string, string | null, Record<string, string>][] = [
    ["GET", "/v1.0/state/redis/key1", "GetState", { store: "redis", key: "key1" }],
    ["PUT", "/v1.0/state/redis", "SaveState", { store: "redis" }],
    ["POST", "/v1.0/state/redis/bulk", "BulkState", { store: "redis" }],
    ["GET", "/v1.0/state/redis/bulk", "GetState", { store: "redis", key: "bulk" }],
    ["POST", "/v1.0/publish/ps/a/b/c", "Publish", { pubsub: "ps", topic: "a/b/c" }],
    ["POST", "/v1.0/publish/ps/a/", "Publish", { pubsub: "ps", topic: "a/" }],
    ["DELETE", "/v1.0/invoke/app/method/x/y", "Invoke", { id: "app", method: "x/y" }],
    ["GET", "/v1.0/invoke/app/method/", "Invoke", { id: "app", method: "" }],
    ["GET", "/v1.0/secrets/s/bulk", "BulkSecret", { store: "s" }],
    ["GET", "/v1.0/secrets/s/bulky", "GetSecret", { store: "s", key: "bulky" }],
    ["GET", "/v1.0/healthz/", "Healthz", {}],
    ["GET", "/v1.0/state/a%20b/k%2Fl", "GetState", { store: "a b", key: "k/l" }],
    ["GET", "/v1.0/state/__proto__/constructor", "GetState", { store: "__proto__", key: "constructor" }],
    ["POST", "/v1.0/healthz", null, {}],
    ["GET", "/v1.0/state//k", null, {}],
    ["GET", "/v2.0/healthz", null, {}],
    ["GET", "/", null, {}],
  ];
  for (const [method, path, name, params] of cases) {
    test(`${method} ${path} → ${name}`, () => {
      const match = router.match(method, path);
      assert.equal(match?.route.name ?? null, name);
      assert.deepEqual({ ...match?.params }, params);
    });
  }

  test("a parameter that is not UTF-8 is refused", () => {
    assert.throws(() => router.match("GET", "/v1.0/state/s/%ff"), BadParameterError);
  });

  test("two routes for one method and path are a programmer error", () => {
    assert.throws(() => compileRoutes([route(["GET"], "a/:x", "A"), route(["GET"], "a/:y", "B")]), /two routes/);
  });
});
