import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseArguments } from "./config.ts";
import { operatorEnvironment, operatorFlags } from "./flags.ts";

const read = (args: readonly string[], env = {}) => {
  const parsed = parseArguments(args, env, "host");
  assert.ok(parsed.kind === "run");
  return parsed.config;
};
const fatal = (...args: readonly string[]) => {
  const parsed = parseArguments(args, {}, "host");
  return parsed.kind === "fatal" ? parsed.message : parsed.kind;
};

test("defaults are Dapr's, and the watchdog is on", () => {
  const config = read([]);
  assert.deepEqual([config.listen.port, config.healthz.port, config.webhook?.port, config.metrics?.port], [6500, 8080, 19_443, 9090]);
  assert.deepEqual(
    [config.namespace, config.configName, config.leaderElection, config.watchNamespace],
    ["default", "daprsystem", true, null],
  );
  assert.deepEqual(config.watchdog, { intervalMs: 30_000, maxRestartsPerMinute: 20, canPatchLabels: false });
  assert.deepEqual([config.services, config.instance, config.kubeconfig], [{ rollouts: false }, "host", null]);
});

test("flags take one dash, as people write them for Go's flag package", () => {
  const config = read(
    ["-port=1", "-disable-leader-election=true", "-kubeconfig", "/k", "-watch-interval=0", "-disable-service-reconciler"],
    { POD_NAME: "p" },
  );
  assert.deepEqual(
    [config.listen.port, config.leaderElection, config.kubeconfig, config.watchdog, config.services, config.instance],
    [1, false, "/k", null, null, "p"],
  );
  assert.equal(read([], { ENABLE_WEBHOOKS: "False" }).webhook, null);
  assert.equal(read(["--watch-interval", "once"]).watchdog?.intervalMs, null);
  for (const off of ["0", "false", "F", "no", "off"]) assert.equal(read([`--watch-interval=${off}`]).watchdog, null, off);
});

test("bad values say what is wrong", () => {
  assert.match(fatal("--watch-interval=10ms"), /must be at least 1s/);
  assert.match(fatal("--watch-interval=x"), /invalid value for watch-interval/);
  assert.match(fatal("--log-level=loud"), /invalid value for --log-level: loud/);
  assert.match(fatal("--port=70000"), /is no port/);
  assert.equal(fatal("--nope"), "usage");
});

test("the reference lists every flag with its default, and every variable", () => {
  const reference = readFileSync(new URL("../docs/reference/operator.md", import.meta.url), "utf8");
  for (const { name, help } of operatorFlags) assert.ok(reference.includes(`| \`--${name}\` |`) && reference.includes(help), `--${name}`);
  for (const { name, help } of operatorEnvironment) assert.ok(reference.includes(`| \`${name}\` | ${help} |`), name);
});
