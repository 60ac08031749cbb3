import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { driverContext } from "../shared/test-context.ts";
import { create } from "./kubernetes.ts";

const signal = new AbortController().signal;
const request = { appId: "cart", namespace: "shop", port: 50_002 };

async function resolve(properties: Record<string, string>): Promise<readonly string[]> {
  const resolver = create(driverContext("nameresolution.kubernetes", properties, new FakeClock()));
  await resolver.init(signal);
  await resolver.register({ appId: "a", namespace: "b", host: "127.0.0.1", port: 1 }, signal);
  return resolver.resolve(request, signal);
}

test("the Service of the app, in the cluster's domain", async () => {
  assert.deepEqual(await resolve({}), ["cart-dapr.shop.svc.cluster.local:50002"]);
  assert.deepEqual(await resolve({ clusterDomain: "corp.example" }), ["cart-dapr.shop.svc.corp.example:50002"]);
  assert.deepEqual(await resolve({ clusterDomain: "", template: "" }), ["cart-dapr.shop.svc.cluster.local:50002"]);
});

test("a template of its own", async () => {
  assert.deepEqual(await resolve({ template: "{{.ID}}-{{ .Namespace }}.internal:{{- .Port -}}" }), ["cart-shop.internal:50002"]);
  assert.deepEqual(await resolve({ template: "{{.ID}}-{{.Data.region}}.internal:8888" }), ["cart-<no value>.internal:8888"]);
  assert.deepEqual(await resolve({ template: "fixed:1" }), ["fixed:1"]);
  await assert.rejects(resolve({ template: "{{.Id}}:{{if .Port}}1{{end}}" }), /invalid value '\{\{\.Id\}\}' in 'template'/);
});
