// The words and exit codes in these tables were taken from runs of daprd 1.18.3 with the same arguments.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { type Arguments, parseArguments } from "./config.ts";
import { daprdFlags } from "./flags.ts";
import type { SidecarConfig } from "./sidecar-config.ts";

function run(argv: readonly string[], env: Record<string, string> = {}): SidecarConfig {
  const parsed = parseArguments(["--app-id", "a", ...argv], env);
  assert.equal(parsed.kind, "run", JSON.stringify(parsed));
  return (parsed as Extract<Arguments, { kind: "run" }>).config;
}

function failure(argv: readonly string[]): Extract<Arguments, { kind: "error" }> {
  const parsed = parseArguments(argv, {});
  assert.equal(parsed.kind, "error", JSON.stringify(parsed));
  return parsed as Extract<Arguments, { kind: "error" }>;
}

const usageErrors: readonly (readonly [readonly string[], string])[] = [
  [["--x"], "unknown flag: --x"],
  [["-x1"], "unknown flag: --x1"],
  [["-xyz=3"], "unknown flag: --xyz"],
  [["-x"], "unknown shorthand flag: 'x' in -x"],
  [["---x"], "bad flag syntax: ---x"],
  [["--=x"], "bad flag syntax: --=x"],
  [["--version", "foo", "--y"], "unknown flag: --y"],
  [["--app-port"], "flag needs an argument: --app-port"],
  [
    ["--app-max-concurrency=abc"],
    'invalid argument "abc" for "--app-max-concurrency" flag: strconv.ParseInt: parsing "abc": invalid syntax',
  ],
  [
    ["--app-max-concurrency", "abc"],
    'invalid argument "abc" for "--app-max-concurrency" flag: strconv.ParseInt: parsing "abc": invalid syntax',
  ],
  [["--app-max-concurrency="], 'invalid argument "" for "--app-max-concurrency" flag: strconv.ParseInt: parsing "": invalid syntax'],
  [
    ["--app-max-concurrency=99999999999999999999"],
    'invalid argument "99999999999999999999" for "--app-max-concurrency" flag: strconv.ParseInt: parsing "99999999999999999999": value out of range',
  ],
  [
    ["--scheduler-job-streams=-1"],
    'invalid argument "-1" for "--scheduler-job-streams" flag: strconv.ParseUint: parsing "-1": invalid syntax',
  ],
  [["--enable-mtls=maybe"], 'invalid argument "maybe" for "--enable-mtls" flag: strconv.ParseBool: parsing "maybe": invalid syntax'],
  [["--enable-mtls="], 'invalid argument "" for "--enable-mtls" flag: strconv.ParseBool: parsing "": invalid syntax'],
  [
    ["--dapr-block-shutdown-duration=5"],
    'invalid argument "5" for "--dapr-block-shutdown-duration" flag: time: missing unit in duration "5"',
  ],
  [["--dapr-block-shutdown-duration="], 'invalid argument "" for "--dapr-block-shutdown-duration" flag: time: invalid duration ""'],
  [
    ["--dapr-block-shutdown-duration=5x"],
    'invalid argument "5x" for "--dapr-block-shutdown-duration" flag: time: unknown unit "x" in duration "5x"',
  ],
  [["--config", 'a"b'], 'invalid argument "a\\"b" for "--config" flag: parse error on line 1, column 2: bare " in non-quoted-field'],
  [
    ["--config", '"a'],
    'invalid argument "\\"a" for "--config" flag: parse error on line 1, column 3: extraneous or missing " in quoted-field',
  ],
];

test("a bad flag is a usage error with daprd's words and exit code 2", () => {
  for (const [argv, message] of usageErrors) {
    const error = failure(argv);
    assert.deepEqual([error.message, error.exitCode], [message, 2], argv.join(" "));
    assert.match(error.usage ?? "", /^Usage of daprd:\n {6}--actors-disseminate-timeout duration {8}/);
  }
});

const id = ["--app-id", "a"];
const fatalErrors: readonly (readonly [readonly string[], string])[] = [
  [[], "Fatal error from runtime: parameter app-id cannot be empty"],
  [["--app-id", "a.b"], "Fatal error from runtime: parameter app-id cannot contain dots"],
  [["--", "--app-id", "a"], "Fatal error from runtime: parameter app-id cannot be empty"],
  [[...id, "--mode=foo"], "Fatal error from runtime: invalid mode: foo"],
  [[...id, "--log-level=foo"], "invalid value for --log-level: foo"],
  [[...id, "--app-protocol=foo"], "Fatal error from runtime: invalid value for 'app-protocol': foo"],
  [[...id, "--app-port", "3500"], "Fatal error from runtime: the 'dapr-http-port' argument value 3500 conflicts with 'app-port'"],
  [[...id, "--app-port", "50001"], "Fatal error from runtime: the 'dapr-grpc-port' argument value 50001 conflicts with 'app-port'"],
  [[...id, "--dapr-http-port=0"], "Fatal error from runtime: the 'dapr-http-port' argument value 0 conflicts with 'app-port'"],
  [[...id, "--app-port", "abc"], 'Fatal error from runtime: error parsing app-port: strconv.Atoi: parsing "abc": invalid syntax'],
  [
    [...id, "--dapr-http-port", "x"],
    'Fatal error from runtime: error parsing dapr-http-port flag: strconv.Atoi: parsing "x": invalid syntax',
  ],
  [[...id, "--dapr-http-port="], 'Fatal error from runtime: error parsing dapr-http-port flag: strconv.Atoi: parsing "": invalid syntax'],
  [
    [...id, "--dapr-http-port=99999999999999999999"],
    'Fatal error from runtime: error parsing dapr-http-port flag: strconv.Atoi: parsing "99999999999999999999": value out of range',
  ],
  [
    [...id, "--dapr-internal-grpc-port", "y"],
    'Fatal error from runtime: error parsing dapr-internal-grpc-port: strconv.Atoi: parsing "y": invalid syntax',
  ],
  [
    [...id, "--dapr-public-port", "y"],
    'Fatal error from runtime: error parsing dapr-public-port: strconv.Atoi: parsing "y": invalid syntax',
  ],
  [[...id, "--profile-port", "y"], 'Fatal error from runtime: error parsing profile-port flag: strconv.Atoi: parsing "y": invalid syntax'],
  [
    [...id, "--app-health-probe-timeout", "6000"],
    "Fatal error from runtime: value for 'health-probe-timeout' must be smaller than 'health-probe-interval'",
  ],
  [[...id, "--disable-init-endpoints", "foo"], "Fatal error from runtime: invalid value for 'disable-init-endpoints': foo"],
  [
    ["--actors-disseminate-timeout=0s"],
    "Failed to parse flags: invalid value for 'actors-disseminate-timeout' option: must be positive, got 0s",
  ],
  [
    ["--max-body-size=abc", "--version"],
    "Failed to parse flags: invalid value for 'max-body-size' option: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  ],
  [["--max-body-size=1Mi2"], "Failed to parse flags: invalid value for 'max-body-size' option: unable to parse quantity's suffix"],
  [["--read-buffer-size=1K"], "Failed to parse flags: invalid value for 'read-buffer-size' option: unable to parse quantity's suffix"],
];

test("a bad value of a good flag is fatal with daprd's words and exit code 1", () => {
  for (const [argv, message] of fatalErrors) {
    const error = failure(argv);
    assert.deepEqual([error.message, error.exitCode, error.usage], [message, 1, null], argv.join(" "));
  }
});

test("a port outside 0 to 65535 is refused with its flag", () => {
  assert.equal(
    failure([...id, "--app-port", "70000"]).message,
    "Fatal error from runtime: error parsing app-port: 70000 is not a port; give --app-port a number from 0 to 65535",
  );
});

test("one dash or two, with = or a space, and positional words in between", () => {
  for (const argv of [["-app-port=9"], ["-app-port", "9"], ["--app-port=9"], ["word", "--app-port", "9", "more"]]) {
    assert.equal(run(argv).appPort, 9, argv.join(" "));
  }
});

test("integers take Go's literals", () => {
  for (const [text, value] of [
    ["0x10", 16],
    ["1_0", 10],
    ["010", 8],
    ["0b11", 3],
    ["+7", 7],
  ] as const) {
    assert.equal(run([`--app-max-concurrency=${text}`]).appMaxConcurrency, value, text);
  }
  assert.equal(run(["--app-max-concurrency", "-1"]).appMaxConcurrency, 0);
});

test("lists are CSV and repeatable", () => {
  assert.deepEqual(run(["--resources-path", "a,b", "--resources-path", 'c,"d,e"']).resourcesPaths, ["a", "b", "c", "d,e"]);
  assert.deepEqual(run(["--config", ""]).configPaths, []);
  assert.deepEqual(run(["--disable-init-endpoints", " Config ,,subscribe"]).disabledInitEndpoints, ["config", "subscribe"]);
});

test("sizes are quantities; the deprecated flags count MB and KB and lose", () => {
  assert.equal(run([]).maxBodyBytes, 4 * 1024 * 1024);
  assert.equal(run([]).readBufferBytes, 4 * 1024);
  assert.equal(run(["--max-body-size=-1"]).maxBodyBytes, 4 * 1024 * 1024);
  assert.equal(run(["--max-body-size=0"]).maxBodyBytes, 0);
  assert.equal(run(["--max-body-size=1e3"]).maxBodyBytes, 1000);
  assert.equal(run(["--dapr-http-max-request-size=2"]).maxBodyBytes, 2 * 1024 * 1024);
  assert.equal(run(["--dapr-http-max-request-size=2", "--max-body-size=1k"]).maxBodyBytes, 1000);
  assert.equal(run(["--dapr-http-read-buffer-size=8"]).readBufferBytes, 8192);
});

test("deprecated flags work, say so on stderr and lose to their successors", () => {
  const parsed = parseArguments(["--app-id=a", "--components-path", "x", "--app-ssl", "--actors-service=y"], {});
  assert.deepEqual(parsed.notes, [
    "Flag --components-path has been deprecated, use --resources-path",
    "Flag --app-ssl has been deprecated, use '--app-protocol https|grpcs'",
    "Flag --actors-service has been deprecated, flag no longer has any effect",
  ]);
  assert.deepEqual(run(["--components-path", "x"]).resourcesPaths, ["x"]);
  assert.deepEqual(run(["--components-path", "x", "--resources-path", "y"]).resourcesPaths, ["y"]);
  const ssl = run(["--app-ssl", "--app-protocol=GRPC"]);
  assert.deepEqual([ssl.appProtocol, ssl.warnings], ["grpcs", ["The 'app-ssl' flag is deprecated; use 'app-protocol=grpcs' instead"]]);
});

test("flags whose absence means something", () => {
  const bare = run([]);
  assert.deepEqual(
    [bare.apiLogging, bare.blockShutdownMs, bare.publicPort, bare.appPort, bare.internalGrpcPort],
    [null, null, null, null, null],
  );
  assert.equal(run(["--enable-api-logging=false"]).apiLogging, false);
  assert.equal(run(["--enable-api-logging"]).apiLogging, true);
  assert.equal(run(["--dapr-block-shutdown-duration=0s"]).blockShutdownMs, 0);
  assert.equal(run(["--dapr-block-shutdown-duration", "1m30s"]).blockShutdownMs, 90_000);
  assert.deepEqual(bare.allowedOrigins, null);
  assert.deepEqual(run(["--allowed-origins=http://a,http://b"]).allowedOrigins, ["http://a", "http://b"]);
  assert.deepEqual(bare.listenAddresses, [""]);
  assert.equal(bare.appHealth, null);
});

test("durations have units, defaults and the platform's ceiling", () => {
  assert.equal(run([]).gracefulShutdownMs, 5_000);
  assert.equal(run(["--dapr-graceful-shutdown-seconds=-3"]).gracefulShutdownMs, 5_000);
  assert.equal(run(["--dapr-graceful-shutdown-seconds=0"]).gracefulShutdownMs, 0);
  assert.equal(run(["--dapr-graceful-shutdown-seconds=99999999999"]).gracefulShutdownMs, 2 ** 31 - 1);
  assert.equal(run(["--app-binding-options-timeout=-1s"]).appBindingOptionsTimeoutMs, 3_000);
  assert.deepEqual(run(["--enable-app-health-check", "--app-health-probe-interval=0", "--app-health-threshold=0"]).appHealth, {
    path: "/healthz",
    probeIntervalMs: 5_000,
    probeTimeoutMs: 500,
    threshold: 3,
  });
});

test("the environment: secrets, identity, and fallbacks that a flag beats", () => {
  const env = {
    NAMESPACE: "ns1",
    DAPR_API_TOKEN: "t1",
    APP_API_TOKEN: "t2",
    DAPR_ENV_KEYS: "A  B",
    DAPR_HTTP_DISABLE_H2C: "yes",
    DAPR_CONTROLPLANE_NAMESPACE: "cp",
    DAPR_SCHEDULER_HOST_ADDRESS_DNS_A: "s1:1,s2:2",
  };
  const config = run([], env);
  assert.deepEqual([config.namespace, config.namespaceGiven, config.apiToken, config.appApiToken], ["ns1", true, "t1", "t2"]);
  assert.deepEqual([config.envKeys, config.disableH2c, config.controlPlaneNamespace], [["A", "B"], true, "cp"]);
  assert.deepEqual(config.schedulerAddresses, ["s1:1", "s2:2"]);
  const beaten = run(["--control-plane-namespace=x", "--scheduler-host-address=h:1"], env);
  assert.deepEqual([beaten.controlPlaneNamespace, beaten.schedulerAddresses], ["x", ["h:1"]]);
  const bare = run([]);
  assert.deepEqual([bare.namespace, bare.namespaceGiven, bare.apiToken, bare.envKeys], ["default", false, "", null]);
});

test("version, build info, wait and help need no app id", () => {
  const build = { version: "9.9.9", commit: "abc", gitVersion: "v9" };
  const text = (argv: readonly string[]) => {
    const parsed = parseArguments(argv, {}, build);
    assert.equal(parsed.kind, "print");
    return (parsed as Extract<Arguments, { kind: "print" }>).text;
  };
  assert.equal(text(["--version"]), "9.9.9\n");
  assert.equal(text(["--build-info"]), "Version: 9.9.9\nGit Commit: abc\nGit Version: v9\n");
  assert.match(text(["-h"]), /^Usage of daprd:\n/);
  assert.match(text(["--help"]), / {6}--dapr-http-port string {22}.*\(default "3500"\)\n/);
  const wait = parseArguments(["--wait", "--dapr-http-port=1234"], {});
  assert.equal(wait.kind === "wait" ? wait.url : wait.kind, "http://localhost:1234/v1.0/healthz/outbound");
});

test("every flag is read: a value of its kind is taken, and the config is frozen", () => {
  const sample = { string: "7", bool: "true", int: "7", uint: "7", duration: "7s", strings: "7" };
  for (const flag of daprdFlags) {
    const argv = [`--${flag.name}=${sample[flag.kind]}`];
    const parsed = parseArguments(argv, {});
    assert.notEqual(parsed.kind === "error" && parsed.exitCode, 2, flag.name);
  }
  assert.throws(() => Object.assign(run([]), { appId: "b" }), TypeError);
  assert.throws(() => Object.assign(run([]).log, { json: true }), TypeError);
});

test("no argument list makes it throw", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(...daprdFlags.map((flag) => `--${flag.name}`)),
    fc.tuple(fc.constantFrom(...daprdFlags.map((flag) => flag.name)), fc.string()).map(([name, text]) => `-${name}=${text}`),
  );
  fc.assert(
    fc.property(fc.array(word), (argv) => {
      assert.ok(["run", "print", "wait", "error"].includes(parseArguments(argv, {}).kind));
    }),
  );
});

test("docs/reference/flags.md is what the tables say", async () => {
  const { flagsReference } = await import("./flags-reference.ts");
  const page = readFileSync(new URL("../docs/reference/flags.md", import.meta.url), "utf8");
  assert.equal(page, flagsReference(), "regenerate it: node tools/write-flags-reference.ts > docs/reference/flags.md");
});
