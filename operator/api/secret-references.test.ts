import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "../../lib/kube/object.ts";
import { componentSecrets, configurationSecrets, httpEndpointSecrets, mcpServerSecrets, withValues } from "./secret-references.ts";

const object = (more: object): KubeObject => ({ metadata: { name: "o", namespace: "a" }, ...more });
const ref = (name: string, key?: string) => ({ secretKeyRef: key === undefined ? { name } : { name, key } });

test("references are found where each kind has them, with the secret's name for a missing key", () => {
  const component = object({
    spec: {
      metadata: [
        { name: "x", ...ref("s") },
        { name: "y", value: 1 },
      ],
    },
  });
  assert.deepEqual(
    componentSecrets(component).map(({ secret, key, path }) => [secret, key, path.join(".")]),
    [["s", "s", "spec.metadata.0"]],
  );
  const endpoint = object({
    spec: { headers: [{ name: "h", ...ref("s", "k") }], clientTLS: { rootCA: ref("ca", "c"), certificate: { value: "pem" } } },
  });
  assert.deepEqual(
    httpEndpointSecrets(endpoint).map(({ secret, what }) => `${secret} ${what}`),
    ["s header h", "ca clientTLS rootCA"],
  );
  const mcp = object({ spec: { endpoint: { stdio: { env: [{ name: "E", ...ref("s") }] } } } });
  assert.deepEqual(
    mcpServerSecrets(mcp).map(({ what }) => what),
    ["env E"],
  );
  const configuration = object({ spec: { tracing: { otel: { headers: [{ name: "h", ...ref("s", "k") }] } } } });
  assert.deepEqual(
    configurationSecrets(configuration).map(({ encoding }) => encoding),
    ["text"],
  );
});

test("a store that is not Kubernetes is the sidecar's business", () => {
  const spec = { metadata: [{ name: "x", ...ref("s") }] };
  assert.equal(componentSecrets(object({ auth: { secretStore: "vault" }, spec })).length, 0);
  assert.equal(componentSecrets(object({ auth: { secretStore: "kubernetes" }, spec })).length, 1);
  const http = { auth: { secretStore: "vault" }, headers: [{ name: "h", ...ref("s") }] };
  assert.equal(mcpServerSecrets(object({ spec: { endpoint: { sse: http } } })).length, 0);
});

test("whatever an object looks like, no reference is found where there is none", () => {
  for (const spec of [
    null,
    1,
    "x",
    [],
    { metadata: 1 },
    { metadata: [null, 1, [], { secretKeyRef: [] }, { secretKeyRef: { name: 7 } }] },
  ]) {
    assert.deepEqual(componentSecrets(object({ spec })), []);
  }
});

test("values take their places, and the object that was given stays as it was", () => {
  const before = object({
    spec: {
      metadata: [
        { name: "x", ...ref("s", "__proto__") },
        { name: "y", value: "kept" },
      ],
    },
  });
  const text = JSON.stringify(before);
  const [reference] = componentSecrets(before);
  assert.ok(reference);
  const after = withValues(before, new Map([[reference, Buffer.from("secret")]]));
  assert.deepEqual((after["spec"] as { metadata: unknown }).metadata, [
    { name: "x", ...ref("s", "__proto__"), value: Buffer.from("secret").toString("base64") },
    { name: "y", value: "kept" },
  ]);
  assert.equal(JSON.stringify(before), text);
});
