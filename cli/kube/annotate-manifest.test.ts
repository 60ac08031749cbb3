// What `annotate` does to a manifest: pods and whatever makes pods get the annotations, all else stays as it is.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dump, load, loadAll } from "js-yaml";
import { type AnnotateRequest, annotateManifest } from "./annotate-manifest.ts";

const nothing: AnnotateRequest = { annotations: {}, resource: null, namespace: null };

interface Annotations {
  readonly [name: string]: string;
}

function templateOf(text: string): Annotations {
  const object = load(text) as { spec: { template: { metadata: { annotations: Annotations } } } };
  return object.spec.template.metadata.annotations;
}

test("a Deployment's template gets the annotations, and an app id", () => {
  const before = { kind: "Deployment", metadata: { name: "shop", namespace: "eu" }, spec: { template: { spec: {} } } };
  const { text, names } = annotateManifest(dump(before), { ...nothing, annotations: { "app-port": "3000" } });
  assert.deepEqual(names, ["Deployment/shop"]);
  assert.deepEqual(templateOf(text), { "dapr.io/enabled": "true", "dapr.io/app-id": "eu-deployment-shop", "dapr.io/app-port": "3000" });
});

test("annotations that are there stay, unless given", () => {
  const annotations = { "dapr.io/app-id": "mine", "dapr.io/app-port": "1", other: "x" };
  const before = { kind: "Deployment", metadata: { name: "shop" }, spec: { template: { metadata: { annotations } } } };
  const { text } = annotateManifest(dump(before), { ...nothing, annotations: { "app-port": "2" } });
  assert.deepEqual(templateOf(text), { ...annotations, "dapr.io/app-port": "2", "dapr.io/enabled": "true" });
});

test("every kind that makes pods is annotated where its pods' metadata stand", () => {
  const kinds = ["Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout", "Job", "CronJob"];
  const text = kinds.map((kind) => dump({ kind, metadata: { name: "a" } })).join("---\n");
  const result = annotateManifest(text, nothing);
  assert.deepEqual(
    result.names,
    kinds.map((kind) => `${kind}/a`),
  );
  const [pod, , , , , , , cron] = loadAll(result.text) as Record<string, unknown>[];
  assert.deepEqual(pod?.["metadata"], { name: "a", annotations: { "dapr.io/enabled": "true", "dapr.io/app-id": "default-pod-a" } });
  const annotations = { "dapr.io/enabled": "true", "dapr.io/app-id": "default-cronjob-a" };
  assert.deepEqual(cron?.["spec"], { jobTemplate: { spec: { template: { metadata: { annotations } } } } });
});

test("items of a List are annotated", () => {
  const list = {
    kind: "List",
    items: [
      { kind: "Service", metadata: { name: "s" } },
      { kind: "Pod", metadata: { name: "p" } },
    ],
  };
  assert.deepEqual(annotateManifest(dump(list), nothing).names, ["Pod/p"]);
});

test("only the named object of the namespace is annotated", () => {
  const pod = (name: string, namespace: string) => dump({ kind: "Pod", metadata: { name, namespace } });
  const text = [pod("a", "x"), pod("a", "y"), pod("b", "y")].join("---\n");
  assert.deepEqual(annotateManifest(text, { ...nothing, resource: "a" }).names, ["Pod/a", "Pod/a"]);
  const { text: annotated } = annotateManifest(text, { ...nothing, resource: "a", namespace: "y" });
  const enabled = loadAll(annotated)
    .map((object) => (object as { metadata: object }).metadata)
    .map((metadata) => "annotations" in metadata);
  assert.deepEqual(enabled, [false, true, false]);
});

test("a value that no sidecar understands is warned of", () => {
  const { warnings } = annotateManifest(dump({ kind: "Pod", metadata: { name: "p" } }), {
    ...nothing,
    annotations: { "app-port": "http" },
  });
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] as string, /^Pod\/p: .*dapr\.io\/app-port/);
});

test("what makes no pods comes out as it went in", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const before = { kind: "ConfigMap", metadata: { name: "c" }, data: value };
      const { text, names } = annotateManifest(dump(before), nothing);
      assert.deepEqual(names, []);
      assert.deepEqual(load(text), load(dump(before)));
    }),
  );
});

test("__proto__ and documents that are no objects are only values", () => {
  const text = 'kind: Pod\nmetadata: {name: p, "__proto__": {annotations: {a: b}}}\n---\n- 1\n---\ntext\n';
  const { names } = annotateManifest(text, nothing);
  assert.deepEqual(names, ["Pod/p"]);
  assert.equal(({} as Record<string, unknown>)["annotations"], undefined);
});
