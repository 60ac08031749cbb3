import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isEnabled } from "./annotation-readers.ts";
import { type AnnotationName, annotationRows } from "./annotation-rows.ts";
import { readAnnotations } from "./annotations.ts";

const pod = (annotations: Record<string, string>) => ({ name: "pod", annotations });
const read = (name: string, text: string) => readAnnotations(pod({ [`dapr.io/${name}`]: text }));
const severities = (name: string, text: string) => read(name, text).problems.map(({ severity }) => severity);

describe("spellings of true", () => {
  for (const text of ["true", "TRUE", " True ", "t", "y", "yes", "YES", "on", "1"]) {
    test(`${JSON.stringify(text)} is true`, () => {
      assert.equal(isEnabled(text), true);
      assert.deepEqual([read("enabled", text).values.enabled, severities("enabled", text)], [true, []]);
    });
  }
  for (const text of ["false", "", "no", "off", "0", "F", "n"]) {
    test(`${JSON.stringify(text)} is false`, () => {
      assert.equal(isEnabled(text), false);
      assert.deepEqual([read("enabled", text).values.enabled, severities("enabled", text)], [false, []]);
    });
  }
  test("what is neither is an error for the switch, and false with a warning elsewhere", () => {
    assert.deepEqual(severities("enabled", "ture"), ["error"]);
    assert.deepEqual([read("log-as-json", "ja").values["log-as-json"], severities("log-as-json", "ja")], [false, ["warning"]]);
  });
});

describe("values", () => {
  const cases: readonly (readonly [AnnotationName, string, unknown, readonly string[]])[] = [
    ["app-port", "3000", 3000, []],
    ["app-port", "http", 0, ["warning"]],
    ["app-port", "70000", 0, ["error"]],
    ["app-port", "-1", -1, []],
    ["app-port", "3000 ", 0, ["warning"]],
    ["metrics-port", "0", 9090, ["error"]],
    ["metrics-port", "9091", 9091, []],
    ["app-protocol", "GRPCS", "grpcs", []],
    ["app-protocol", "", "http", []],
    ["app-protocol", "tcp", "http", ["error"]],
    ["log-level", "verbose", "info", ["error"]],
    ["log-level", "Debug", "debug", []],
    ["enable-api-logging", "false", false, []],
    ["enable-api-logging", "true", true, []],
    ["app-max-concurrency", "x", null, ["warning"]],
    ["app-max-concurrency", "7", 7, []],
    ["sidecar-cpu-request", "100m", "100m", []],
    ["sidecar-cpu-request", "a lot", "", ["warning"]],
    ["sidecar-memory-limit", "1.5Gi", "1.5Gi", []],
    ["max-body-size", "4Mi", "4Mi", []],
    ["max-body-size", "big", "", ["error"]],
    ["block-shutdown-duration", "30s", "30s", []],
    ["block-shutdown-duration", "soon", null, ["error"]],
    ["placement-host-address", "", "", []],
    ["placement-host-address", '" "', "", []],
    ["scheduler-host-address", " a:1 ", "a:1", []],
    ["app-id", "My_App", "", ["error"]],
    ["app-id", `a${"b".repeat(57)}`, `a${"b".repeat(57)}`, []],
    ["app-id", `a${"b".repeat(58)}`, "", ["error"]],
    ["sidecar-image", "docker.io/local/outrigger:1", "docker.io/local/outrigger:1", []],
    ["sidecar-image", "an image", "", ["error"]],
    ["sidecar-seccomp-profile-type", "Localhost", "", ["error"]],
    ["api-token-secret", "Not A Name", "", ["error"]],
    ["sidecar-liveness-probe-threshold", "-2", 5, ["error"]],
    ["graceful-shutdown-seconds", "-1", -1, []],
    ["app-ssl", "true", true, ["warning"]],
  ];
  for (const [name, text, value, expected] of cases) {
    test(`${name}: ${JSON.stringify(text)}`, () => {
      assert.deepEqual(read(name, text).values[name], value);
      assert.deepEqual(severities(name, text), expected);
    });
  }

  test("a comma is part of a value unless another variable follows", () => {
    const { values, problems } = read("env", "A=1,2, B=x=y ,_c9=,not a pair");
    assert.deepEqual(values.env, [
      { name: "A", value: "1,2" },
      { name: "B", value: "x=y" },
      { name: "_c9", value: ",not a pair" },
    ]);
    assert.deepEqual(problems, []);
  });

  test("variables of the control plane cannot be set", () => {
    const { values, problems } = read("env", "NAMESPACE=other,A=1");
    assert.deepEqual(values.env, [{ name: "A", value: "1" }]);
    assert.match(problems[0]?.cause ?? "", /NAMESPACE/);
  });

  test("secrets by key and without one", () => {
    const { values, problems } = read("env-from-secret", "A=s:k,B=s2,C=a:b:c,D=:");
    assert.deepEqual(values["env-from-secret"], [
      { name: "A", secret: "s", key: "k" },
      { name: "B", secret: "s2", key: "s2" },
    ]);
    assert.match(problems[0]?.cause ?? "", /"C", "D"/);
  });

  test("mounts", () => {
    const { values, problems } = read("volume-mounts", "a:/x, b:/y,bad,c:/z:ro");
    assert.deepEqual(values["volume-mounts"], [
      { volume: "a", path: "/x" },
      { volume: "b", path: "/y" },
    ]);
    assert.equal(problems.length, 1);
  });
});

describe("sources", () => {
  test("the pod wins over its namespace, whose own matters do not pass on", () => {
    const shared = {
      name: "namespace shop",
      annotations: { "dapr.io/log-level": "debug", "dapr.io/config": "c", "dapr.io/app-id": "x" },
      shared: true,
    };
    const { values, given } = readAnnotations(shared, pod({ "dapr.io/log-level": "warn" }));
    assert.deepEqual([values["log-level"], values.config, values["app-id"]], ["warn", "c", ""]);
    assert.deepEqual([...given].sort(), ["config", "log-level"]);
  });

  test("an unknown annotation is named with what was meant", () => {
    const [problem] = readAnnotations(pod({ "dapr.io/app-prot": "1" })).problems;
    assert.deepEqual([problem?.severity, problem?.field], ["warning", "metadata.annotations[dapr.io/app-prot]"]);
    assert.match(problem?.remedy ?? "", /did you mean dapr.io\/app-port\?/);
  });

  test("names of Object.prototype are unknown, others' annotations nobody's business", () => {
    const { problems, values } = readAnnotations(pod({ "dapr.io/constructor": "1", "dapr.io/__proto__": "1", "example.com/enabled": "x" }));
    assert.equal(problems.length, 2);
    assert.equal(values.enabled, false);
  });

  test("thousands of unknown annotations cost little time", () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`dapr.io/unknown-annotation-${i}`, ""]));
    const started = performance.now();
    assert.equal(readAnnotations(pod(many)).problems.length, 5000);
    assert.ok(performance.now() - started < 1000);
  });
});

test("any text of any annotation gives a value of the default's kind and never throws", () => {
  const names = Object.keys(annotationRows) as AnnotationName[];
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "grapheme" }),
    fc.constantFrom("true", "1", "-1", "99999999999999999999", "a=b,c=d", "s:/p"),
  );
  fc.assert(
    fc.property(fc.constantFrom(...names), text, (name, value) => {
      const { values, problems } = read(name, value);
      const fallback = annotationRows[name].default;
      const got = values[name];
      assert.ok(fallback === null || typeof got === typeof fallback);
      for (const { cause, remedy } of problems) assert.ok(cause !== "" && remedy !== "");
    }),
    { numRuns: 2000 },
  );
});
