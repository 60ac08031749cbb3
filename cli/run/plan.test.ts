import assert from "node:assert/strict";
import { test } from "node:test";
import { type AppPlan, appEnv, planProblems, sidecarArgs, sidecarEnv } from "./plan.ts";
import { withPort } from "./settings.ts";

const noPorts = { http: null, grpc: null, internalGrpc: null, metrics: null, profile: null };
const base: AppPlan = {
  appId: "shop",
  workDir: "/shop",
  command: ["node"],
  env: { COLOUR: "red" },
  appPort: 6001,
  ports: noPorts,
  resourcesPaths: null,
  configFiles: [],
  settings: {},
  appLog: "console",
  sidecarLog: "console",
};
const ports = { http: 1, grpc: 2, internalGrpc: 3, metrics: 4, profile: 5 };
const defaults = { resourcesPath: "/home/resources", configFile: "/home/config.yaml" };

/** Values of a flag in an argument list. */
function values(args: readonly string[], flag: string): string[] {
  return args.flatMap((word, index) => (word === flag ? [args[index + 1] as string] : []));
}

test("a bare plan gets the defaults and all ports", () => {
  const args = sidecarArgs(base, ports, defaults, null);
  assert.deepEqual(values(args, "--app-id"), ["shop"]);
  assert.deepEqual(values(args, "--app-port"), ["6001"]);
  assert.deepEqual(values(args, "--dapr-http-port"), ["1"]);
  assert.deepEqual(values(args, "--dapr-grpc-port"), ["2"]);
  assert.deepEqual(values(args, "--dapr-internal-grpc-port"), ["3"]);
  assert.deepEqual(values(args, "--metrics-port"), ["4"]);
  assert.deepEqual(values(args, "--profile-port"), []);
  assert.deepEqual(values(args, "--resources-path"), ["/home/resources"]);
  assert.deepEqual(values(args, "--config"), ["/home/config.yaml"]);
});

test("the user's resources replace the defaults, the user's configuration is merged over ours", () => {
  const args = sidecarArgs({ ...base, resourcesPaths: ["/a", "/b"], configFiles: ["/c"] }, ports, defaults, null);
  assert.deepEqual(values(args, "--resources-path"), ["/a", "/b"]);
  assert.deepEqual(values(args, "--config"), ["/home/config.yaml", "/c"]);
});

test("settings become daprd's flags", () => {
  const settings = {
    "log-level": "debug",
    "enable-api-logging": "true",
    "enable-app-health-check": "false",
    "placement-host-address": "here",
  };
  const args = sidecarArgs({ ...base, appPort: null, settings }, ports, defaults, null);
  assert.deepEqual(values(args, "--log-level"), ["debug"]);
  assert.ok(args.includes("--enable-api-logging"));
  assert.ok(args.includes("--enable-app-health-check=false"));
  assert.deepEqual(values(args, "--placement-host-address"), ["here:50005"]);
  assert.deepEqual(values(args, "--app-port"), []);
});

test("profiling brings its port", () => {
  const args = sidecarArgs({ ...base, settings: { "enable-profiling": "true" } }, ports, defaults, null);
  assert.deepEqual(values(args, "--profile-port"), ["5"]);
});

test("the app's environment tells it where its sidecar is, over what the template says", () => {
  const env = appEnv({ ...base, env: { COLOUR: "red", APP_ID: "other" }, settings: { "app-protocol": "grpc" } }, ports);
  const expected = { COLOUR: "red", APP_ID: "shop", APP_PORT: "6001", APP_PROTOCOL: "grpc" };
  assert.deepEqual(env, { ...expected, DAPR_HTTP_PORT: "1", DAPR_GRPC_PORT: "2", DAPR_METRICS_PORT: "4" });
  assert.equal("APP_PORT" in appEnv({ ...base, appPort: null }, ports), false);
});

test("the sidecar advertises loopback unless told otherwise", () => {
  assert.deepEqual(sidecarEnv(base, {}, null), { DAPR_HOST_IP: "127.0.0.1", COLOUR: "red" });
  assert.equal(sidecarEnv(base, { DAPR_HOST_IP: "10.0.0.1" }, null).DAPR_HOST_IP, "10.0.0.1");
});

test("all problems of the plans are found", () => {
  const clash = { ...base, ports: { ...noPorts, http: 6001, grpc: 70_000 } };
  const problems = planProblems([clash, { ...base, appPort: null }, { ...base, appId: "a.b", appPort: null }]);
  assert.equal(problems.length, 4);
  assert.match(problems[0] as string, /http port of "shop" is 6001, which is already the app port of "shop"/);
  assert.match(problems[1] as string, /grpc port of "shop" is 70000: use 1 to 65535/);
  assert.match(problems[2] as string, /app id "shop" is used twice/);
  assert.match(problems[3] as string, /app id "a\.b" is invalid/);
  assert.deepEqual(planProblems([base]), []);
});

test("addresses get the service's port when they have none", () => {
  assert.equal(withPort("localhost", 50005), "localhost:50005");
  assert.equal(withPort("a:1, b", 50005), "a:1,b:50005");
  assert.equal(withPort("[::1]", 50005), "[::1]:50005");
  assert.equal(withPort("[::1]:9", 50005), "[::1]:9");
});

test("with mTLS the sidecar is told of sentry and whom to trust, the app is not", () => {
  const mesh = { sentryAddress: "127.0.0.1:50001", trustAnchorsPem: "PEM" };
  assert.match(sidecarArgs(base, ports, defaults, mesh).join(" "), /--enable-mtls --sentry-address 127\.0\.0\.1:50001/);
  assert.doesNotMatch(sidecarArgs(base, ports, defaults, null).join(" "), /mtls|sentry/);
  assert.equal(sidecarEnv({ ...base, env: { DAPR_TRUST_ANCHORS: "other" } }, {}, mesh).DAPR_TRUST_ANCHORS, "PEM");
  assert.equal(appEnv(base, ports).DAPR_TRUST_ANCHORS, undefined);
});
