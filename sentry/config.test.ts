// Flags and settings: what Dapr's sentry takes, refuses, and in which words.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { formatDuration } from "../lib/kit/duration.ts";
import { parseArguments, type SentryConfig } from "./config.ts";
import { sentryEnvironment, sentryFlags } from "./flags.ts";
import { readConfigurationText, readMtls } from "./mtls-settings.ts";

function config(argv: readonly string[], env: Record<string, string> = {}): SentryConfig {
  const parsed = parseArguments(argv, env);
  assert.equal(parsed.kind, "run", JSON.stringify(parsed));
  return (parsed as { config: SentryConfig }).config;
}

function message(argv: readonly string[]): string {
  const parsed = parseArguments(argv, {});
  return parsed.kind === "fatal"
    ? parsed.message
    : parsed.kind === "usage"
      ? (parsed.text.trimEnd().split("\n").at(-1) ?? "")
      : parsed.kind;
}

test("defaults are Dapr's", () => {
  const { listen, healthz, metrics, trustDomain, namespace, mode, jwt, oidc, credentials, configName } = config([]);
  assert.deepEqual([listen.port, healthz.port, metrics?.port], [50_001, 8080, 9090]);
  assert.deepEqual([trustDomain, namespace, mode, configName, jwt, oidc], ["localhost", "default", "standalone", "daprsystem", null, null]);
  assert.equal(credentials.issuerKey, "issuer.key");
});

test("flags take one dash or two", () => {
  const argv = ["-jwt-enabled", "-jwt-issuer=https://i", "--oidc-enabled", "-oidc-server-tls-enabled=false", "-oidc-allowed-hosts", "a,b"];
  const { jwt, oidc } = config([...argv, "--jwt-ttl=90m"], { NAMESPACE: "dapr-system" });
  assert.deepEqual(jwt, { issuer: "https://i", algorithm: "RS256", keyId: null, ttlMs: 5_400_000 });
  assert.deepEqual([oidc?.tls, oidc?.allowedHosts], [null, ["a", "b"]]);
});

test("the OIDC server needs JWTs", () => {
  assert.equal(config(["--oidc-enabled", "--oidc-server-tls-enabled=false"]).oidc, null);
});

test("what is wrong is said in Dapr's words", () => {
  const tls = "is required when OIDC HTTP server is enabled (unless oidc-server-tls-enabled is false)";
  const cases: readonly [readonly string[], string][] = [
    [["--bogus"], "unknown flag: --bogus"],
    [["--port=x"], 'invalid argument "x" for "--port" flag: strconv.ParseInt: parsing "x": invalid syntax'],
    [["--jwt-ttl=x"], 'invalid argument "x" for "--jwt-ttl" flag: time: invalid duration "x"'],
    [["--mode=foo"], "Invalid options: invalid mode: foo"],
    [["--oidc-enabled"], `Invalid options: oidc-server-tls-cert-file ${tls}`],
    [["--oidc-enabled", "--oidc-server-tls-cert-file=a"], `Invalid options: oidc-server-tls-key-file ${tls}`],
    [["--oidc-server-tls-cert-file=a"], "both OIDC TLS certificate and key must be provided if one is specified"],
    [["--jwt-issuer=a"], "Invalid options: jwt-issuer cannot be set when jwt-enabled is false"],
    [["--log-level=loud"], "invalid value for --log-level: loud"],
    [["--metrics-port=abc"], 'failed to parse metrics port: strconv.Atoi: parsing "abc": invalid syntax'],
    [["--port=70000"], "Invalid options: --port=70000 is no port; give a number from 0 to 65535"],
    [["--root-rotation=maybe"], "Invalid options: --root-rotation=maybe is none of auto, always and off"],
  ];
  for (const [argv, expected] of cases) assert.equal(message(argv), expected);
  assert.equal((parseArguments(["--bogus"], {}) as { exitCode: number }).exitCode, 2);
});

const mtls = (text: string, mode: SentryConfig["mode"] = "standalone") =>
  readMtls(readConfigurationText(text, { TTL: "2h" }), "file", mode);

test("an empty Configuration is Dapr's defaults", () => {
  assert.deepEqual(mtls(""), {
    leafTtlMs: 86_400_000,
    clockSkewMs: 900_000,
    validators: { insecure: true, kubernetes: false, jwks: null, fallback: "insecure" },
  });
  assert.deepEqual(mtls("", "kubernetes").validators, { insecure: false, kubernetes: true, jwks: null, fallback: "kubernetes" });
});

test("life and skew come from the Configuration, variables expanded", () => {
  const { leafTtlMs, clockSkewMs } = mtls("spec: {mtls: {workloadCertTTL: $TTL, allowedClockSkew: 30s}}");
  assert.deepEqual([leafTtlMs, clockSkewMs], [7_200_000, 30_000]);
  assert.throws(() => mtls("spec: {mtls: {workloadCertTTL: zz}}"), /error parsing WorkloadCertTTL duration: time: invalid duration "zz"/);
  assert.throws(() => mtls("spec: {mtls: {workloadCertTTL: 0s}}"), /WorkloadCertTTL duration: 0s is too short/);
});

test("jwks takes the place of insecure, and the built-in validators cannot be configured", () => {
  const jwks = (options: string) => mtls(`spec: {mtls: {tokenValidators: [{name: jwks, options: {${options}}}]}}`).validators;
  assert.deepEqual(jwks("source: https://keys, minRefreshInterval: 2m, requestTimeout: 5"), {
    insecure: false,
    kubernetes: false,
    jwks: { source: "https://keys", caCertificate: "", minRefreshIntervalMs: 120_000, requestTimeoutMs: 5000 },
    fallback: null,
  });
  assert.throws(() => jwks("caCertificate: x"), /jwks has no source/);
  const named = (name: string) => () => mtls(`spec: {mtls: {tokenValidators: [{name: ${name}}]}}`);
  assert.throws(named("foo"), /invalid token validator name: 'foo'; supported values: 'jwks'/);
  assert.throws(named("Insecure"), /the built-in 'kubernetes' and 'insecure' validators cannot be configured manually/);
});

test("docs/reference/sentry.md lists every flag with its default, and every variable", () => {
  const page = readFileSync(new URL("../docs/reference/sentry.md", import.meta.url), "utf8");
  for (const flag of sentryFlags) {
    const value = flag.kind === "duration" ? formatDuration(flag.default) : String(flag.default);
    const shown = value === "" ? "" : `\`${value}\``;
    assert.ok(page.includes(`| \`--${flag.name}\` | ${flag.kind} | ${shown} | ${flag.help} |`), flag.name);
  }
  for (const { name, help } of sentryEnvironment) assert.ok(page.includes(`| \`${name}\` | ${help} |`), name);
});
