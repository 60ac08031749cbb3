import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parseArguments } from "./config.ts";
import { injectorEnvironment, injectorFlags } from "./flags.ts";
import { inDomain } from "./sidecar-settings.ts";

const needed = { SIDECAR_IMAGE: "i", NAMESPACE: "dapr-system" };
function config(env: Record<string, string> = {}, argv: readonly string[] = []) {
  const parsed = parseArguments(argv, { ...needed, ...env });
  assert.equal(parsed.kind, "run", JSON.stringify(parsed));
  return parsed.kind === "run" ? parsed.config : assert.fail();
}
const fatal = (env: Record<string, string>, argv: readonly string[] = []) => {
  const parsed = parseArguments(argv, env);
  return parsed.kind === "fatal" ? parsed.message : assert.fail(JSON.stringify(parsed));
};

describe("defaults", () => {
  const { sidecar, ...rest } = config();
  test("are Dapr's", () => {
    assert.deepEqual(
      [rest.listen.port, rest.healthz.port, rest.metrics?.port, rest.trustAnchorsFile],
      [4000, 8080, 9090, "/var/run/dapr.io/tls/ca.crt"],
    );
    assert.deepEqual(
      [rest.trustDomain, rest.policy, rest.sentryAddress, sidecar.imagePullPolicy],
      ["cluster.local", "service-accounts", null, "Always"],
    );
    assert.deepEqual(
      [sidecar.schedulerEnabled, sidecar.remindersService, sidecar.downwardApis, sidecar.allowedImages],
      [true, null, false, null],
    );
  });
  test("but for what the restricted level wants, and native sidecars", () => {
    assert.deepEqual(sidecar.security, {
      runAsNonRoot: true,
      runAsUser: null,
      runAsGroup: null,
      readOnlyRootFilesystem: true,
      dropAllCapabilities: true,
    });
    assert.equal(sidecar.nativeSidecar, "auto");
  });
});

test("single-dash flags as Dapr's tests pass them", () => {
  const { listen, healthz, kubeconfig } = config({}, ["-port=1", "-healthz-port=2", "-listen-address=127.0.0.1", "-kubeconfig=/k"]);
  assert.deepEqual([listen, healthz.port, kubeconfig], [{ host: "127.0.0.1", port: 1 }, 2, "/k"]);
});

describe("variables", () => {
  const cases: readonly (readonly [Record<string, string>, (c: ReturnType<typeof config>) => unknown, unknown])[] = [
    [{ SIDECAR_RUN_AS_NON_ROOT: "no" }, (c) => c.sidecar.security.runAsNonRoot, false],
    [
      { SIDECAR_RUN_AS_USER: "1000", SIDECAR_RUN_AS_GROUP: "0" },
      (c) => [c.sidecar.security.runAsUser, c.sidecar.security.runAsGroup],
      [1000, 0],
    ],
    [{ SIDECAR_IMAGE_PULL_POLICY: "Sometimes" }, (c) => c.sidecar.imagePullPolicy, "IfNotPresent"],
    [{ NATIVE_SIDECAR_ENABLED: "true" }, (c) => c.sidecar.nativeSidecar, "always"],
    [{ NATIVE_SIDECAR_ENABLED: "false" }, (c) => c.sidecar.nativeSidecar, "never"],
    [{ NATIVE_SIDECAR_ENABLED: "auto" }, (c) => c.sidecar.nativeSidecar, "auto"],
    [{ NATIVE_SIDECAR_ENABLED: "false", NATIVE_SIDECAR_AUTO: "true" }, (c) => c.sidecar.nativeSidecar, "auto"],
    [{ ACTORS_ENABLED: "false" }, (c) => c.sidecar.actors, null],
    [{ INJECTION_POLICY: "pods" }, (c) => c.policy, "pods"],
    [
      { ALLOWED_SIDECAR_IMAGES: "good/*, also/this:1" },
      (c) => ["good/a/b:1", "also/this:1", "bad/x"].map((i) => c.sidecar.allowedImages?.(i)),
      [true, true, false],
    ],
    [{ IGNORE_ENTRYPOINT_TOLERATIONS: '[{"key":"a"}]' }, (c) => c.sidecar.ignoreEntrypointTolerations, [{ key: "a" }]],
    [{ IGNORE_ENTRYPOINT_TOLERATIONS: "{" }, (c) => [c.sidecar.ignoreEntrypointTolerations, c.warnings.length], [[], 1]],
    [{ ALLOWED_SERVICE_ACCOUNTS_PREFIX_NAMES: "a:b" }, (c) => [c.accounts, c.warnings.length], [["", "a:b"], 1]],
  ];
  for (const [env, read, expected] of cases) test(JSON.stringify(env), () => assert.deepEqual(read(config(env)), expected));

  test("addresses have the cluster's domain", () => {
    const env = {
      ...needed,
      ACTORS_SERVICE_NAME: "mine",
      ACTORS_SERVICE_ADDRESS: "svc:1",
      REMINDERS_SERVICE_NAME: "r",
      REMINDERS_SERVICE_ADDRESS: "rem:2",
    };
    const { actors, remindersService } = inDomain(config(env).sidecar, "x.y", env);
    assert.deepEqual(actors, { flag: "--actors-service", value: "mine:svc.dapr-system.svc.x.y:1" });
    assert.equal(remindersService, "r:rem.dapr-system.svc.x.y:2");
    const placement = { ...needed, ACTORS_SERVICE_NAME: "placement", ACTORS_SERVICE_ADDRESS: "dapr-placement-server:50005" };
    const flag = "--placement-host-address";
    assert.deepEqual(inDomain(config(placement).sidecar, "x", placement).actors, {
      flag,
      value: "dapr-placement-server.dapr-system.svc.x:50005",
    });
  });
});

describe("fatal", () => {
  const cases: readonly (readonly [Record<string, string>, readonly string[], RegExp])[] = [
    [{ NAMESPACE: "n" }, [], /required key SIDECAR_IMAGE missing value/],
    [{ SIDECAR_IMAGE: "i" }, [], /required key NAMESPACE missing value/],
    [{ ...needed, SIDECAR_RUN_AS_USER: "me" }, [], /failed to parse runAsUser/],
    [{ ...needed, SIDECAR_RUN_AS_USER: "-1" }, [], /failed to parse runAsUser/],
    [{ ...needed, ACTORS_SERVICE_NAME: "x", ACTORS_SERVICE_ADDRESS: "y" }, [], /invalid value for actor service address/],
    [{ ...needed, REMINDERS_SERVICE_NAME: "x", REMINDERS_SERVICE_ADDRESS: "y:0" }, [], /invalid value for reminder service address/],
    [{ ...needed, INJECTION_POLICY: "none" }, [], /neither service-accounts nor pods/],
    [{ ...needed, ALLOWED_SIDECAR_IMAGES: "[" }, [], /ALLOWED_SIDECAR_IMAGES/],
    [needed, ["--log-level=loud"], /invalid value for --log-level/],
    [needed, ["--port=70000"], /--port=70000 is no port/],
    [needed, ["--metrics-port=x"], /failed to parse metrics port/],
  ];
  for (const [env, argv, expected] of cases) test(`${JSON.stringify(env)} ${argv}`, () => assert.match(fatal(env, argv), expected));
});

test("usage and version", () => {
  assert.deepEqual(parseArguments(["--version"], {}).kind, "version");
  assert.deepEqual([parseArguments(["--help"], {}).kind, parseArguments(["--nope"], {}).kind], ["usage", "usage"]);
});

test("docs/reference/injector.md lists every flag and variable", () => {
  const text = readFileSync(new URL("../docs/reference/injector.md", import.meta.url), "utf8");
  for (const { name } of injectorFlags) assert.ok(text.includes(`\`--${name}\``), name);
  for (const { name } of injectorEnvironment) assert.ok(text.includes(`\`${name}\``), name);
});
