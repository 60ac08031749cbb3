// A hundred odd pods, and as many more as chance makes: whatever comes in, a patch only adds, applies, leaves a pod that gets
// no second sidecar, and holds no key; or there is none and a reason. Nothing throws but for what is no pod.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { applyJsonPatch } from "../lib/kube/patch.ts";
import { PodError, readPod } from "./pod.ts";
import { type Around, injected, type TestPod, testPod } from "./test-inputs.ts";

const on = { "dapr.io/enabled": "true", "dapr.io/app-id": "orders" };
// biome-ignore lint/suspicious/noExplicitAny: tests look into JSON
type Any = any;

/** Every container and volume of before is there after, at the same place among its like, with nothing taken away. */
function assertOnlyAdded(before: Any, after: Any, path = ""): void {
  if (Array.isArray(before)) {
    assert.ok(Array.isArray(after) && after.length >= before.length, `${path} lost elements`);
    for (const [i, item] of before.entries()) assertOnlyAdded(item, after[i], `${path}[${i}]`);
  } else if (typeof before === "object" && before !== null) {
    for (const [key, value] of Object.entries(before)) {
      if (value !== null) assertOnlyAdded(value, after?.[key], `${path}.${key}`);
    }
  } else assert.deepEqual(after, before, path);
}

/** `skipped`, `refused`, `patched` or, for null, `none`; with everything checked that holds for each. */
function judge(pod: Any, around: Around = {}): string {
  const injection = injected(pod, around);
  if (injection?.kind !== "patched") {
    for (const { cause, remedy } of injection?.problems ?? []) assert.ok(cause !== "" && remedy !== "");
    return injection?.kind ?? "none";
  }
  const text = JSON.stringify(injection.patch);
  assert.ok(!/PRIVATE KEY/.test(text));
  const after: Any = applyJsonPatch(structuredClone(pod), JSON.parse(text));
  assertOnlyAdded(pod, after);
  const all = [...(after.spec.containers ?? []), ...(after.spec.initContainers ?? [])];
  assert.equal(all.filter(({ name }: Any) => name === "daprd").length, 1);
  const volumes = (after.spec.volumes ?? []).map(({ name }: Any) => name);
  assert.equal(
    new Set(volumes).size,
    new Set((pod.spec.volumes ?? []).map(({ name }: Any) => name)).size + volumes.length - (pod.spec.volumes ?? []).length,
  );
  for (const { env = [], volumeMounts = [] } of all.filter(({ name }: Any) => name === "daprd")) {
    assert.equal(new Set(env.map(({ name }: Any) => name)).size, env.length);
    assert.equal(new Set(volumeMounts.map(({ mountPath }: Any) => mountPath)).size, volumeMounts.length);
    for (const { name } of volumeMounts) assert.ok(volumes.includes(name), `mount of ${name} without volume`);
  }
  const again = injected(after, around);
  assert.deepEqual([again?.kind, again?.kind === "skipped" ? again.problems : null], ["skipped", []]);
  return "patched";
}

const containers = (count: number) => Array.from({ length: count }, (_, i) => ({ name: `c${i}`, image: "x" }));
const long = "x".repeat(200_000);
const port = (containerPort: number) => ({ containers: [{ name: "app", ports: [{ containerPort }] }] });
const volume = (name: string, more: object = { emptyDir: {} }) => ({ volumes: [{ name, ...more }] });
const token = (path: string) => ({ projected: { sources: [{ configMap: { name: "x" } }, { serviceAccountToken: { path } }] } });

const odd: readonly (readonly [string, string, TestPod])[] = [
  ["no containers", "skipped", testPod(on, { containers: [] })],
  ["null containers", "skipped", testPod(on, { containers: null })],
  ["init containers only", "skipped", testPod(on, { containers: [], initContainers: containers(2) })],
  ["a thousand containers", "patched", testPod(on, { containers: containers(1000) })],
  ["a thousand init containers", "patched", testPod(on, { initContainers: containers(1000) })],
  ["a thousand volumes", "patched", testPod(on, { volumes: containers(1000) })],
  ["a container of that name", "skipped", testPod(on, { containers: [{ name: "daprd" }] })],
  ["an init container of that name", "skipped", testPod(on, { initContainers: [{ name: "daprd" }] })],
  ["a container of that name in other case", "patched", testPod(on, { containers: [{ name: "DAPRD" }] })],
  ["two containers of one name", "patched", testPod(on, { containers: [{ name: "a" }, { name: "a" }] })],
  ["null env, ports and mounts", "patched", testPod(on, { containers: [{ name: "a", env: null, ports: null, volumeMounts: null }] })],
  ["empty env, ports and mounts", "patched", testPod(on, { containers: [{ name: "a", env: [], ports: [], volumeMounts: [] }] })],
  ["a variable twice", "patched", testPod(on, { containers: [{ name: "a", env: [{ name: "A" }, { name: "A" }] }] })],
  [
    "all variables set",
    "patched",
    testPod(on, { containers: [{ name: "a", env: ["DAPR_HTTP_PORT", "DAPR_GRPC_PORT", "APP_PROTOCOL"].map((name) => ({ name })) }] }),
  ],
  ["a huge annotation", "patched", testPod({ ...on, note: long })],
  ["a huge variable", "patched", testPod({ ...on, "dapr.io/env": `A=${long}` })],
  ["a huge app id", "refused", testPod({ ...on, "dapr.io/app-id": long })],
  ["a huge unknown annotation", "patched", testPod({ ...on, [`dapr.io/${long.slice(0, 250)}`]: long })],
  ["ten thousand labels", "patched", testPod(on, {}, { labels: Object.fromEntries(containers(10_000).map(({ name }) => [name, ""])) })],
  ["labels null", "patched", testPod(on, {}, { labels: null })],
  [
    "labels already there",
    "patched",
    testPod(on, {}, { labels: { "dapr.io/sidecar-injected": "true", "dapr.io/app-id": "orders", "dapr.io/metrics-enabled": "true" } }),
  ],
  ["volumes null", "patched", testPod(on, { volumes: null })],
  ["initContainers null", "patched", testPod(on, { initContainers: null })],
  ["annotation __proto__", "patched", testPod(JSON.parse(`{"__proto__":"x","dapr.io/enabled":"true","dapr.io/app-id":"a"}`))],
  ["container __proto__", "patched", testPod(on, { containers: [{ name: "__proto__" }] })],
  ["volume constructor", "patched", testPod({ ...on, "dapr.io/volume-mounts": "constructor:/x,__proto__:/y" }, volume("constructor"))],
  ["no name at all, but an id", "patched", testPod(on, {}, { name: undefined, generateName: undefined })],
  ["no name and no id", "refused", testPod({ "dapr.io/enabled": "true" }, {}, { name: undefined })],
  ["an empty id and a name", "patched", testPod({ ...on, "dapr.io/app-id": "" })],
  ["a name that can be no id", "refused", testPod({ "dapr.io/enabled": "true" }, {}, { name: "a.b.c" })],
  ["a foreign token volume", "refused", testPod(on, volume("dapr-identity-token"))],
  ["a token volume that will do", "patched", testPod(on, volume("dapr-identity-token", token("token")))],
  ["a token volume of another path", "refused", testPod(on, volume("dapr-identity-token", token("other")))],
  ["a token volume of nothing", "refused", testPod(on, volume("dapr-identity-token", { projected: {} }))],
  ["a socket volume of its own", "patched", testPod({ ...on, "dapr.io/unix-domain-socket-path": "/s" }, volume("dapr-unix-domain-socket"))],
  [
    "a component socket volume of its own",
    "patched",
    testPod({ ...on, "dapr.io/pluggable-components": "app" }, volume("dapr-components-unix-domain-socket")),
  ],
  [
    "the same path mounted in the app",
    "patched",
    testPod(
      { ...on, "dapr.io/unix-domain-socket-path": "/s" },
      { containers: [{ name: "a", volumeMounts: [{ name: "v", mountPath: "/s" }] }], ...volume("v") },
    ),
  ],
  ["a path with a colon", "refused", testPod({ ...on, "dapr.io/volume-mounts": "v:/a,v:/a" }, volume("v"))],
  ["pluggable components that are not there", "patched", testPod({ ...on, "dapr.io/pluggable-components": "a,b,,c" })],
  ["all containers are components", "patched", testPod({ ...on, "dapr.io/pluggable-components": "c0,c1" }, { containers: containers(2) })],
  ["a static pod", "skipped", testPod({ ...on, "kubernetes.io/config.mirror": "" })],
  ["host network", "patched", testPod(on, { hostNetwork: true })],
  [
    "unknown fields everywhere",
    "patched",
    testPod(on, { newField: { deep: [1] }, containers: [{ name: "a", resizePolicy: [{}], x: null }] }),
  ],
  ["an unknown os", "patched", testPod(on, { os: { name: "plan9" } })],
  ["windows", "patched", testPod(on, { os: { name: "windows" } })],
  ["root", "patched", testPod(on, { securityContext: { runAsUser: 0, runAsNonRoot: false } })],
  ["ephemeral containers", "patched", testPod(on, { ephemeralContainers: [{ name: "daprd" }] })],
  ["a restartable init container already", "patched", testPod(on, { initContainers: [{ name: "istio-proxy", restartPolicy: "Always" }] })],
  ["a toleration of odd types", "patched", testPod(on, { tolerations: [{ tolerationSeconds: "x" }] })],
  [
    "a variable set twice over",
    "patched",
    testPod({ ...on, "dapr.io/env": "A=1,A=2,DAPR_API_TOKEN=x", "dapr.io/env-from-secret": "A=s", "dapr.io/api-token-secret": "s" }),
  ],
  [
    "an empty list of everything",
    "patched",
    testPod({
      ...on,
      "dapr.io/env": "",
      "dapr.io/env-from-secret": ",",
      "dapr.io/volume-mounts": ",:,",
      "dapr.io/pluggable-components": ",",
    }),
  ],
  [
    "a service mesh beside it",
    "patched",
    testPod(on, { containers: [{ name: "app" }, { name: "istio-proxy", ports: [{ containerPort: 15_090 }] }] }),
  ],
  ["a deleted pod", "patched", testPod(on, {}, { deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: ["x"] })],
  ["an image that is none", "refused", testPod({ ...on, "dapr.io/sidecar-image": "a b" })],
  ["an image with a digest", "patched", testPod({ ...on, "dapr.io/sidecar-image": `r.example:5000/a/b@sha256:${"0".repeat(64)}` })],
  ...[3500, 3501, 50_001, 50_002, 9090].map((number) => [`a container on port ${number}`, "patched", testPod(on, port(number))] as const),
  ...[3500, 3501, 50_001, 50_002, 9090].map(
    (number) => [`the app on port ${number}`, "refused", testPod({ ...on, "dapr.io/app-port": String(number) })] as const,
  ),
  ...["metrics-port", "grpc-port", "internal-grpc-port"].flatMap((name) =>
    (["0", "65536", "3500", "-1"] as const).map(
      (text) => [`${name} ${text}`, "refused", testPod({ ...on, [`dapr.io/${name}`]: text })] as const,
    ),
  ),
  ...["metrics-port", "grpc-port", "internal-grpc-port", "app-port", "app-max-concurrency", "sidecar-liveness-probe-period-seconds"].map(
    (name) => [`${name} that is no number`, "patched", testPod({ ...on, [`dapr.io/${name}`]: "abc" })] as const,
  ),
  ...["true", "TRUE", "yes", "y", "t", "on", "1", " true "].map(
    (text) => [`enabled: ${text}`, "patched", testPod({ ...on, "dapr.io/enabled": text })] as const,
  ),
  ...["false", "no", "", "0", "off"].map((text) => [`enabled: '${text}'`, "none", testPod({ ...on, "dapr.io/enabled": text })] as const),
  ...["ture", "enabled", "null", "真"].map((text) => [`enabled: ${text}`, "refused", testPod({ ...on, "dapr.io/enabled": text })] as const),
];

describe("odd pods", () => {
  test("there are a hundred", () => assert.ok(odd.length >= 100, String(odd.length)));
  for (const [what, expected, pod] of odd) {
    test(`${what}: ${expected}`, () => {
      assert.equal(judge(pod), expected);
      assert.equal(judge(pod, { facts: { nativeSidecars: false } }), expected);
    });
  }
});

describe("what is no pod", () => {
  const not = [null, 1, "x", [], { metadata: 1 }, { spec: [] }, { metadata: { annotations: { a: 1 } } }, { spec: { containers: {} } }];
  const worse = [
    { spec: { containers: [null] } },
    { spec: { containers: [{ name: 1 }] } },
    { spec: { volumes: [{}] } },
    { spec: { tolerations: [1] } },
  ];
  const inside = [{ spec: { containers: [{ name: "a", env: [{}] }] } }, { spec: { containers: [{ name: "a", ports: 1 }] } }];
  for (const object of [...not, ...worse, ...inside]) {
    test(JSON.stringify(object), () => assert.throws(() => readPod(object), PodError));
  }
});

const name = fc.constantFrom("app", "daprd", "store", "b", "dapr-identity-token", "dapr-unix-domain-socket", "constructor");
const listOf = (item: fc.Arbitrary<unknown>) => fc.option(fc.array(item, { maxLength: 4 }), { nil: null });
const container = fc.record({
  name,
  env: listOf(fc.record({ name: fc.constantFrom("DAPR_HTTP_PORT", "APP_PROTOCOL", "A"), value: fc.string() })),
  ports: listOf(fc.record({ containerPort: fc.integer({ min: 1, max: 65_535 }) })),
  volumeMounts: listOf(fc.record({ name, mountPath: fc.constantFrom("/s", "/t", "/var/run/dapr-sockets") })),
});
const annotation = fc.constantFrom(
  "volume-mounts",
  "volume-mounts-rw",
  "env",
  "env-from-secret",
  "unix-domain-socket-path",
  "pluggable-components",
  "app-port",
  "grpc-port",
  "enable-debug",
  "sidecar-image",
  "config",
);
const text = fc.oneof(fc.string(), fc.constantFrom("/s", "store,b", "b:/s,app:/t", "A=1,B=2", "3000", "true", "constructor:/c"));

test("any pod is patched soundly, refused or left alone", () => {
  const volumes = fc.option(fc.uniqueArray(fc.record({ name, emptyDir: fc.constant({}) }), { selector: (v) => v.name, maxLength: 4 }), {
    nil: null,
  });
  const spec = fc.record({ containers: listOf(container), initContainers: listOf(container), volumes });
  const pods = fc.record({ spec, extra: fc.dictionary(annotation, text), native: fc.boolean() });
  const seen = new Set<string>();
  fc.assert(
    fc.property(pods, ({ spec: its, extra, native }) => {
      const annotations = Object.fromEntries(Object.entries(extra).map(([key, value]) => [`dapr.io/${key}`, value]));
      seen.add(judge(testPod({ ...on, ...annotations }, its), { facts: { nativeSidecars: native } }));
    }),
    { numRuns: 3000 },
  );
  assert.deepEqual([...seen].sort(), ["patched", "refused", "skipped"]);
});
