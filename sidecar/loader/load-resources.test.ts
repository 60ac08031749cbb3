// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the placeholders are the subject
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { expandEnvironment } from "../../lib/resources/expand-env.ts";
import { diskFiles } from "./disk-files.ts";
import { loadConfiguration } from "./load-configuration.ts";
import { loadResources, type ResourceSource } from "./load-resources.ts";
import { filesInMemory, keptLog } from "./test-surroundings.ts";

const never = new AbortController().signal;

function component(name: string, type: string, extra = ""): string {
  return `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n name: ${name}\n${extra}spec:\n type: ${type}\n version: v1\n`;
}

function source(files: Record<string, string>, more: Partial<ResourceSource> = {}) {
  const { log, lines } = keptLog();
  const base = { paths: ["/r"], files: filesInMemory(files), appId: "app1", namespace: "default", namespaceGiven: false, log };
  return { lines, source: { ...base, ...more } };
}

const six = [
  component("abc", "state.in-memory", " namespace: mynamespace\n"),
  component("abc", "pubsub.in-memory"),
  component("abc", "state.in-memory", " namespace: foobar\n"),
  component("123", "state.in-memory"),
  component("123", "state.in-memory", " namespace: mynamespace\n"),
  component("123", "pubsub.in-memory"),
].join("---\n");

test("duplicate names end the start with Dapr's words, all of them", async () => {
  await assert.rejects(loadResources(source({ "/r/a.yaml": six }).source, never), {
    message:
      "failed to load components: duplicate definition of Component name abc (pubsub.in-memory/v1) with existing abc (state.in-memory/v1)\n" +
      "duplicate definition of Component name abc (state.in-memory/v1) with existing abc (state.in-memory/v1)\n" +
      "duplicate definition of Component name 123 (state.in-memory/v1) with existing 123 (state.in-memory/v1)\n" +
      "duplicate definition of Component name 123 (pubsub.in-memory/v1) with existing 123 (state.in-memory/v1)",
  });
  const given = { namespace: "mynamespace", namespaceGiven: true };
  await assert.rejects(loadResources(source({ "/r/a.yaml": six }, given).source, never), {
    message:
      "failed to load components: duplicate definition of Component name abc (pubsub.in-memory/v1) with existing abc (state.in-memory/v1)\n" +
      "duplicate definition of Component name 123 (state.in-memory/v1) with existing 123 (state.in-memory/v1)\n" +
      "duplicate definition of Component name 123 (pubsub.in-memory/v1) with existing 123 (state.in-memory/v1)",
  });
});

test("the namespace counts only when the sidecar has one; scopes always count", async () => {
  const text = [
    component("abc", "state.in-memory", " namespace: abc\n"),
    component("123", "state.in-memory"),
    component("789", "state.in-memory", " namespace: mynamespace\n"),
    component("other", "state.in-memory", "scopes: [app2]\n"),
    component("mine", "state.in-memory", "scopes: [app2, app1]\n"),
  ].join("---\n");
  const names = async (more: Partial<ResourceSource>) =>
    (await loadResources(source({ "/r/a.yaml": text }, more).source, never)).components.map((one) => one.name);
  assert.deepEqual(await names({}), ["abc", "123", "789", "mine"]);
  assert.deepEqual(await names({ namespace: "mynamespace", namespaceGiven: true }), ["123", "789", "mine"]);
});

test("files in the order of their names, all kinds, foreign kinds and non-YAML files left out", async () => {
  const { lines, source: from } = source({
    "/r/b.yml": component("two", "state.in-memory"),
    "/r/a.YAML": `${component("one", "state.in-memory")}---\nkind: ConfigMap\napiVersion: v1\n---\napiVersion: dapr.io/v9\nkind: Component\n`,
    "/r/c.yaml": `apiVersion: dapr.io/v1alpha1\nkind: Subscription\nmetadata: {name: s}\nspec: {topic: t, pubsubname: p, route: /r}\n---
apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata: {name: s}\nspec: {topic: t, pubsubname: p, routes: {default: /r2}}\n---
apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: s}\n---
apiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata: {name: h}\nspec: {baseUrl: "http://x"}\n`,
    "/r/readme.txt": "hi",
    "/r/dir.yaml/": "",
  });
  const resources = await loadResources(from, never);
  assert.deepEqual(
    resources.components.map((one) => one.name),
    ["one", "two"],
  );
  assert.deepEqual(
    resources.subscriptions.map((one) => one.rules[0]?.path),
    ["/r", "/r2"],
  );
  assert.deepEqual([resources.resiliencies.length, resources.httpEndpoints.length, resources.problems.length], [1, 1, 0]);
  assert.deepEqual(lines, ["warning A non-YAML Component file readme.txt was detected, it will not be loaded"]);
});

test("a document that cannot be read is left out with every reason; the others stand", async () => {
  const { lines, source: from } = source({
    "/r/a.yaml": `${component("good", "state.in-memory")}---\nkind: [\n---\n${component("bad", "{a: b}", "scopes: x\n")}`,
  });
  const resources = await loadResources(from, never);
  assert.deepEqual(
    resources.components.map((one) => one.name),
    ["good"],
  );
  assert.deepEqual(
    resources.problems.map((problem) => problem.field),
    ["", "scopes", "spec.type"],
  );
  assert.match(lines[0] ?? "", /^warning daprd load Component error when parsing manifests yaml resource in \/r\/a.yaml \(document 2\): /);
  assert.equal(
    lines[1],
    "warning daprd load Component error when parsing manifests yaml resource in /r/a.yaml (document 3): " +
      "scopes: this text is not a list; write a list here\nspec.type: a mapping is not text; write text here",
  );
});

test("a directory that is not there ends the start", async () => {
  await assert.rejects(loadResources(source({}).source, never), {
    message: "failed to load components: open /r: no such file or directory",
  });
});

test("real directories are read too", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "loader-"));
  t.after(() => rm(directory, { recursive: true }));
  await mkdir(join(directory, "sub.yaml"));
  await writeFile(join(directory, "a.yaml"), component("one", "state.in-memory"));
  await writeFile(join(directory, "big.yaml"), Buffer.alloc(5 * 1024 * 1024, "a"));
  const { lines, source: from } = source({}, { paths: [directory], files: diskFiles });
  assert.deepEqual(
    (await loadResources(from, never)).components.map((one) => one.name),
    ["one"],
  );
  assert.match(lines.join(), /error when opening file .*big\.yaml: .* the limit is 4194304; split it/);
});

test("no directory of random text makes the loader throw", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string(), { maxLength: 4 }), async (texts) => {
      const files = Object.fromEntries(["x", ...texts].map((text, i) => [`/r/${i}.yaml`, text]));
      assert.deepEqual((await loadResources(source(files).source, never)).components, []);
    }),
  );
});

test("variables expand as Go's os.ExpandEnv does", () => {
  const env = { A: "1", B_2: "two", "1": "one", "*": "star" };
  const cases: readonly (readonly [string, string])[] = [
    ["$A ${B_2}x $B_2.", "1 twox two."],
    ["$Ab ${NOPE} $NOPE.", "  ."],
    ["cost $ 5, $", "cost $ 5, $"],
    ["$.x $/y", "$.x $/y"],
    ["$1 $12 ${*} $*", "one one2 star star"],
    ["${} ${A", " A"],
    ["$$A", "A"],
    ["$__proto__ ${constructor}", " "],
  ];
  for (const [text, expanded] of cases) assert.equal(expandEnvironment(text, env), expanded, text);
  fc.assert(fc.property(fc.string(), (text) => assert.equal(typeof expandEnvironment(text, env), "string")));
});

function configure(files: Record<string, string>, paths: readonly string[], env = {}) {
  const { log, lines } = keptLog();
  return { lines, loaded: loadConfiguration({ paths, files: filesInMemory(files), env, log }, never) };
}

test("configuration files are merged field by field, variables expanded", async () => {
  const { loaded, lines } = configure(
    {
      "/1.yaml": "spec:\n  tracing: {samplingRate: '1', zipkin: {endpointAddress: $ZIPKIN}}\n  features: [{name: A, enabled: true}]\n",
      "/2.yaml": "spec:\n  tracing: {stdout: true}\n  features: [{name: B, enabled: true}]\n---\nspec: {tracing: null}\n",
    },
    ["/1.yaml", "/2.yaml"],
    { ZIPKIN: "http://z" },
  );
  const { tracing, features } = await loaded;
  assert.deepEqual([tracing.samplingRate, tracing.stdout, tracing.zipkinEndpoint], ["1", true, "http://z"]);
  assert.deepEqual([features.has("A"), features.get("B")], [false, true]);
  assert.deepEqual(lines, []);
});

test("a configuration that is missing or wrong ends the start", async () => {
  await assert.rejects(configure({}, ["/none.yaml"]).loaded, {
    message: "error loading configuration: stat /none.yaml: no such file or directory",
  });
  await assert.rejects(configure({ "/c.yaml": "spec: {tracing: [1], metric: 5}" }, ["/c.yaml"]).loaded, {
    message:
      "error loading configuration: /c.yaml: spec.tracing: a list is not a mapping; write a mapping here\n" +
      "/c.yaml: spec.metric: 5 is not a mapping; write a mapping here",
  });
  await assert.rejects(configure({ "/c.yaml": "a: [" }, ["/c.yaml"]).loaded, /^LoadError: error loading configuration: \/c\.yaml: /);
});
