import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseComponent } from "./component.ts";
import { enabledFeatures } from "./configuration.ts";
import { defaultConfiguration, mergeValues, parseConfiguration } from "./configuration-parser.ts";
import { parseHttpEndpoint } from "./http-endpoint.ts";
import { type Parsed, problemText } from "./problem.ts";
import { parseResiliency } from "./resiliency.ts";
import { parseSubscription } from "./subscription.ts";
import { parseYaml, plainValue, splitDocuments, type Value } from "./yaml.ts";

function yaml(text: string): Value {
  const parsed = parseYaml(text);
  assert.ok("value" in parsed, JSON.stringify(parsed));
  return parsed.value;
}

function good<T>(parsed: Parsed<T>): T {
  assert.deepEqual(parsed.problems, []);
  assert.notEqual(parsed.resource, null);
  return parsed.resource as T;
}

const texts = <T>(parsed: Parsed<T>) => parsed.problems.map((problem) => `${problem.severity}: ${problemText(problem)}`);

const header = (kind: string, version = "v1alpha1") => `apiVersion: dapr.io/${version}\nkind: ${kind}\nmetadata: {name: x}\n`;

test("a component with every field", () => {
  const component = good(
    parseComponent(
      yaml(`apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: 123, namespace: ns, labels: {a: b}}
scopes: [app1, app2]
auth: {secretStore: vault}
spec:
  type: state.sqlite
  version: v1
  ignoreErrors: true
  initTimeout: 1m30s
  metadata:
  - {name: text, value: hello}
  - {name: empty, value: ""}
  - {name: number, value: 1.10}
  - {name: octal, value: 0644}
  - {name: account, value: 12345678901234567890}
  - {name: yes, value: yes}
  - {name: object, value: {b: [1, true], a: null}}
  - {name: absent, value: null}
  - {name: secret, secretKeyRef: {name: s, key: k}}
  - {name: env, envRef: HOME}
`),
      "f.yaml",
    ),
  );
  assert.deepEqual(
    [component.name, component.namespace, component.scopes, component.secretStore],
    ["123", "ns", ["app1", "app2"], "vault"],
  );
  assert.deepEqual(
    [component.type, component.version, component.ignoreErrors, component.initTimeoutMs],
    ["state.sqlite", "v1", true, 90_000],
  );
  assert.deepEqual(
    component.metadata.map((pair) => [pair.name, pair.value]),
    [
      ["text", "hello"],
      ["empty", ""],
      ["number", "1.1"],
      ["octal", "420"],
      ["account", "12345678901234567890"],
      ["true", "true"],
      ["object", '{"a":null,"b":[1,true]}'],
      ["absent", null],
      ["secret", null],
      ["env", null],
    ],
  );
  assert.deepEqual(component.metadata[8]?.secretKeyRef, { name: "s", key: "k" });
  assert.equal(component.metadata[9]?.envRef, "HOME");
  assert.throws(() => Object.assign(component, { name: "y" }), TypeError);
});

test("all problems of a component are reported together, with place and remedy", () => {
  const parsed = parseComponent(
    yaml(`metadata: {name: a/b}
scopes: app1
spec:
  type: {a: b}
  ignoreErrors: maybe
  initTimeout: soon
  colour: red
  metadata:
  - just text
  - {value: v}
  - {name: n, secretKeyRef: k}
`),
    "f.yaml",
  );
  assert.equal(parsed.resource, null);
  assert.deepEqual(texts(parsed), [
    `error: metadata.name: invalid name "a/b": may not contain '/'; choose another name`,
    "error: scopes: this text is not a list; write a list here",
    "error: spec.type: a mapping is not text; write text here",
    "error: spec.ignoreErrors: this text is not true or false; write true or false here",
    "error: spec.metadata[0]: this text is not a mapping; write the item as a mapping of fields",
    "error: spec.metadata[1].name: the field is missing or empty; name the property",
    "error: spec.metadata[2].secretKeyRef: this text is not a mapping; write a mapping here",
    "warning: spec.initTimeout: this is not a duration; 5s is used; write a duration such as 30s or 1m",
    "warning: spec.colour: the field is not known and has no effect; check its spelling and its place",
  ]);
});

test("subscriptions of both versions come out in one form", () => {
  const one = good(parseSubscription(yaml(`${header("Subscription")}spec: {topic: t, pubsubname: p, route: /a, metadata: {k: 1}}`), "f"));
  assert.deepEqual([one.topic, one.pubsubName, one.rules, one.metadata["k"]], ["t", "p", [{ match: "", path: "/a" }], "1"]);
  const two = good(
    parseSubscription(
      yaml(`${header("Subscription", "v2alpha1")}scopes: [a]
spec:
  topic: t
  pubsubname: p
  deadLetterTopic: dead
  bulkSubscribe: {enabled: true, maxMessagesCount: 10, maxAwaitDurationMs: 40}
  routes:
    rules:
    - {match: event.type == "x", path: /x}
    default: /d
`),
      "f",
    ),
  );
  assert.deepEqual(two.rules, [
    { match: 'event.type == "x"', path: "/x" },
    { match: "", path: "/d" },
  ]);
  assert.deepEqual(two.bulkSubscribe, { enabled: true, maxMessagesCount: 10, maxAwaitDurationMs: 40 });
  assert.deepEqual([two.deadLetterTopic, two.scopes], ["dead", ["a"]]);
});

test("resiliency: durations, ranges, defaults, and its problems", () => {
  const policy = good(
    parseResiliency(
      yaml(`${header("Resiliency")}spec:
  policies:
    timeouts: {fast: 100, slow: 5s}
    retries:
      r: {policy: exponential, maxInterval: 15s, maxRetries: 3, matching: {httpStatusCodes: "429,501-503", gRPCStatusCodes: "14"}}
    circuitBreakers:
      c: {timeout: 30s, trip: consecutiveFailures >= 5}
  targets:
    apps: {app: {retry: r}}
    actors: {A: {circuitBreaker: c, circuitBreakerScope: both}}
    components: {store: {outbound: {timeout: fast}}}
`),
      "f",
    ),
  );
  assert.deepEqual(
    [...policy.timeoutsMs],
    [
      ["fast", 100],
      ["slow", 5000],
    ],
  );
  assert.deepEqual(policy.retries.get("r"), {
    policy: "exponential",
    durationMs: 5000,
    maxIntervalMs: 15_000,
    maxRetries: 3,
    httpStatusCodes: [
      { from: 429, to: 429 },
      { from: 501, to: 503 },
    ],
    grpcStatusCodes: [{ from: 14, to: 14 }],
  });
  assert.deepEqual(policy.circuitBreakers.get("c"), { maxRequests: 1, intervalMs: 0, timeoutMs: 30_000, trip: "consecutiveFailures >= 5" });
  assert.equal(policy.apps.get("app")?.circuitBreakerCacheSize, 100);
  assert.equal(policy.components.get("store")?.outbound.timeout, "fast");
  const bad = parseResiliency(
    yaml(`${header("Resiliency")}spec:
  policies: {timeouts: {t: soon}, retries: {r: {policy: random, matching: {httpStatusCodes: "99"}}}}
  targets: {actors: {A: {circuitBreaker: c}}}
`),
    "f",
  );
  assert.deepEqual(
    bad.problems.map((problem) => problem.field),
    [
      "spec.policies.timeouts.t",
      "spec.policies.retries.r.policy",
      "spec.policies.retries.r.matching.httpStatusCodes",
      "spec.targets.actors.A.circuitBreakerScope",
    ],
  );
});

test("an HTTP endpoint, and one with a bad URL", () => {
  const text = `${header("HTTPEndpoint")}auth: {secretStore: s}
spec:
  baseUrl: https://a.example
  headers: [{name: H, value: v}]
  clientTLS: {rootCA: {secretKeyRef: {name: ca, key: pem}}, renegotiation: OnceAsClient}
`;
  const endpoint = good(parseHttpEndpoint(yaml(text), "f"));
  assert.equal(endpoint.clientTls?.rootCa?.secretKeyRef?.key, "pem");
  assert.equal(endpoint.clientTls?.renegotiation, "OnceAsClient");
  assert.deepEqual(texts(parseHttpEndpoint(yaml(text.replace("https://a.example", "nowhere")), "f")), [
    "error: spec.baseUrl: this is not a URL; write it with its scheme, e.g. https://api.example.com",
  ]);
});

test("the default configuration", () => {
  const configuration = defaultConfiguration();
  assert.deepEqual(
    [configuration.metrics.enabled, configuration.tracing.otel.secure, configuration.tracing.samplingRate],
    [true, true, ""],
  );
  assert.deepEqual(configuration.accessControl, { defaultAction: "allow", trustDomain: "public", policies: [] });
  assert.deepEqual(enabledFeatures(configuration), ["HotReload", "WorkflowsRemoteActivityReminder"]);
  assert.equal(configuration.metrics.http.increasedCardinality, null);
});

test("a configuration with every part", () => {
  const configuration = good(
    parseConfiguration(
      yaml(`${header("Configuration")}spec:
  tracing: {samplingRate: "1", stdout: true, zipkin: {endpointAddress: z}, otel: {endpointAddress: o, isSecure: false, protocol: grpc, headers: ["a=b"], timeout: 10s}}
  metric: {enabled: true, http: {increasedCardinality: true}}
  metrics: {enabled: false, http: {pathMatching: [/a]}, latencyDistributionBuckets: [1, 5], rules: [{name: n, labels: [{name: l, regex: {a: b}}]}]}
  httpPipeline: {handlers: [{name: u, type: middleware.http.uppercase, version: v1, selector: {fields: [{field: f, value: v}]}}]}
  mtls: {enabled: true, workloadCertTTL: 24h}
  secrets: {scopes: [{storeName: s, defaultAccess: Deny, allowedSecrets: [b, a]}]}
  accessControl: {trustDomain: td, policies: [{appId: a, namespace: n, trustDomain: t, defaultAction: deny, operations: [{name: /x, httpVerb: [GET], action: allow}]}]}
  nameResolution: {component: sqlite, configuration: {connectionString: c}}
  features: [{name: HotReload, enabled: false}, {name: Own, enabled: true}]
  api: {allowed: [{name: state, version: v1, protocol: HTTP}], denied: []}
  components: {deny: [bindings.smtp]}
  logging: {apiLogging: {enabled: true, obfuscateURLs: true, omitHealthChecks: true}}
  wasm: {strictSandbox: true}
  workflow: {maxConcurrentWorkflowInvocations: 5, stateRetentionPolicy: {completed: 1h}}
`),
      "f",
    ),
  );
  assert.deepEqual(
    [configuration.metrics.enabled, configuration.metrics.http.pathMatching, configuration.metrics.latencyBuckets],
    [false, ["/a"], [1, 5]],
  );
  assert.deepEqual(
    [configuration.tracing.otel.secure, configuration.tracing.otel.timeoutMs, configuration.tracing.otel.headers],
    [false, 10_000, ["a=b"]],
  );
  assert.deepEqual(configuration.secretScopes[0], { storeName: "s", defaultAccess: "deny", allowedSecrets: ["b", "a"], deniedSecrets: [] });
  assert.deepEqual(
    [configuration.accessControl.defaultAction, configuration.accessControl.policies[0]?.operations[0]?.httpVerbs],
    ["allow", ["GET"]],
  );
  assert.deepEqual(enabledFeatures(configuration), ["Own", "WorkflowsRemoteActivityReminder"]);
  assert.deepEqual(configuration.api.allowed, [{ name: "state", version: "v1", protocol: "http" }]);
  assert.deepEqual([configuration.deniedComponents, configuration.apiLogging.obfuscateUrls], [["bindings.smtp"], true]);
  assert.equal(configuration.workflow.retentionMs.completed, 3_600_000);
});

test("repeated and unknown secret scopes are errors in Dapr's words", () => {
  const parsed = parseConfiguration(
    yaml(`${header("Configuration")}spec: {secrets: {scopes: [{storeName: s}, {storeName: s, defaultAccess: perhaps}]}}`),
    "f",
  );
  assert.deepEqual(
    parsed.problems.map((problem) => problem.cause),
    ["s storeName is repeated in secrets configuration", "defaultAccess perhaps can be either allow or deny"],
  );
});

test("merging replaces lists and joins mappings", () => {
  const merged = mergeValues(yaml("{a: {b: 1, c: [1, 2]}, d: 1}"), yaml("{a: {c: [3]}, e: null}"));
  assert.deepEqual(plainValue(merged), yaml("{a: {b: 1, c: [3]}, d: 1, e: null}"));
});

test("documents end at a line that starts with three dashes", () => {
  assert.deepEqual(splitDocuments("---\na: 1\n--- # two\r\nb: 2\n---\n# nothing\n\n---\nc: 3"), ["---\na: 1", "b: 2", "c: 3"]);
});

test("__proto__ is a key like any other", () => {
  const value = yaml("__proto__: {polluted: true}\nconstructor: 1") as Record<string, Value>;
  assert.equal(Object.getPrototypeOf(value), null);
  assert.deepEqual(Object.keys(value), ["__proto__", "constructor"]);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  const component = parseComponent(yaml(`${header("Component")}spec: {type: t, __proto__: {version: v9}}`), "f");
  assert.equal(component.resource?.version, "");
});

test("bombs are refused: aliases, nesting, size", () => {
  const doubling = Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`).join("\n");
  assert.match(JSON.stringify(parseYaml(`a0: &a0 x\n${doubling}`)), /more than 200000 values/);
  assert.ok("cause" in parseYaml("[".repeat(100_000)));
  assert.ok("cause" in parseYaml("a: &a [*a]"));
  assert.ok("cause" in parseYaml(`a: ${"x".repeat(4 * 1024 * 1024)}`));
});

const parsers = [parseComponent, parseSubscription, parseHttpEndpoint, parseResiliency, parseConfiguration];

test("no text and no value makes a parser throw", () => {
  const line = fc.constantFrom(
    "apiVersion: dapr.io/v1alpha1",
    "kind: Component",
    "metadata:",
    "spec:",
    "  name: x",
    "  - a",
    "- &a [*a]",
    "? {}",
    "!!js/function x",
    "<<: 1",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(line).map((lines) => lines.join("\n")),
      ),
      (text) => {
        for (const document of splitDocuments(text)) assert.ok(parseYaml(document));
      },
    ),
  );
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { depthSize: "small" },
      fc.jsonValue(),
      fc.array(tie("tree"), { maxLength: 3 }),
      fc.dictionary(
        fc.constantFrom("spec", "metadata", "name", "type", "policies", "retries", "scopes", "secrets", "tracing", "__proto__"),
        tie("tree"),
      ),
    ),
  }));
  fc.assert(
    fc.property(tree, (value) => {
      for (const parse of parsers) {
        const parsed = parse(plainValue(value), "f");
        assert.equal(
          parsed.resource === null,
          parsed.problems.some((problem) => problem.severity === "error"),
        );
      }
    }),
  );
});
