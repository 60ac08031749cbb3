import assert from "node:assert/strict";
import { test } from "node:test";
import { type GrpcCall, type GrpcMethod, GrpcStatusError } from "../../lib/wire/grpc/types.ts";
import { noContent, type Route } from "../contract/http.ts";
import { grpcFilter, routeFilter } from "./api-list.ts";

const state: Route = {
  methods: ["GET"],
  version: "v1.0",
  path: "state/:s/:k",
  group: "state",
  groupVersion: "v1",
  name: "GetState",
  handle: () => noContent,
};
const query: Route = { ...state, version: "v1.0-alpha1", path: "state/:s/query", groupVersion: "v1alpha1" };
const health: Route = { ...state, path: "healthz", group: "healthz", alwaysAllowed: true };
const rule = (name: string, version: string, protocol = "") => ({ name, version, protocol });

test("an allow list keeps what it names and health", () => {
  const keep = routeFilter({ allowed: [rule("state", "v1.0", "http")], denied: [] });
  assert.deepEqual([state, query, health].map(keep), [true, false, true]);
});

test("a deny list wins over an allow list", () => {
  const keep = routeFilter({ allowed: [rule("state", "v1")], denied: [rule("state", "v1")] });
  assert.deepEqual([state, query, health].map(keep), [false, false, true]);
});

test("rules of the other protocol do not count", () => {
  const keep = routeFilter({ allowed: [], denied: [rule("state", "v1", "grpc")] });
  assert.equal(keep(state), true);
});

test("gRPC: what the lists refuse is Unimplemented; other services are not filtered", () => {
  const filter = grpcFilter({ allowed: [rule("state", "v1")], denied: [] });
  const call = (path: string) => ({ path }) as GrpcCall;
  const method = (group: string) => ({ api: { group, version: "v1" } }) as GrpcMethod;
  assert.doesNotThrow(() => filter?.(call("/dapr.proto.runtime.v1.Dapr/GetState"), method("state")));
  assert.throws(() => filter?.(call("/dapr.proto.runtime.v1.Dapr/GetSecret"), method("secrets")), GrpcStatusError);
  assert.doesNotThrow(() => filter?.(call("/my.Service/Call"), null));
});

test("no gRPC rule, no interceptor", () => {
  assert.equal(grpcFilter({ allowed: [rule("state", "v1", "http")], denied: [] }), null);
});
