// From the command line and the environment to one frozen object, or to the text to print. Pure: nothing here reads the
// process. The checks, their order, their words and exit codes are those of Dapr's sentry: a bad flag is a usage error
// (stderr, 2), a bad value of a good flag a fatal log line (1). Dapr's Configuration is mtls-settings.ts.
import { type FlagValues, parseFlags, usageText } from "../lib/kit/flags.ts";
import { readAtoi } from "../lib/kit/go-text.ts";
import { type LogLevel, logLevels } from "../lib/telemetry/log.ts";
import { sentryFlags } from "./flags.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface LogConfig {
  readonly level: LogLevel;
  readonly json: boolean;
  /** Null writes to stdout. */
  readonly file: string | null;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface JwtConfig {
  /** Null: no `iss` claim. */
  readonly issuer: string | null;
  readonly algorithm: string;
  /** Null: the thumbprint. */
  readonly keyId: string | null;
  readonly ttlMs: number;
}

export interface OidcConfig {
  readonly listen: Endpoint;
  /** Null: plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  readonly jwksUri: string | null;
  readonly pathPrefix: string;
  readonly allowedHosts: readonly string[];
}

/** Which file, or key of the Secret, holds what. Names, or absolute paths. */
export interface CredentialNames {
  readonly anchors: string;
  readonly issuerChain: string;
  readonly issuerKey: string;
  readonly jwtKey: string;
  readonly jwks: string;
}

export interface RotationConfig {
  readonly policy: "auto" | "always" | "off";
  readonly rootTtlMs: number;
  readonly beforeMs: number;
  /** 0: computed. */
  readonly distributeMs: number;
  readonly retireMs: number;
  readonly overlapMs: number;
}

export interface SentryConfig {
  readonly log: LogConfig;
  readonly mode: "standalone" | "kubernetes";
  readonly configName: string;
  /** Empty: not given. */
  readonly kubeconfig: string;
  readonly namespace: string;
  readonly trustDomain: string;
  readonly listen: Endpoint;
  readonly healthz: Endpoint;
  readonly metrics: Endpoint | null;
  readonly credentialsDirectory: string;
  readonly credentials: CredentialNames;
  readonly jwt: JwtConfig | null;
  readonly oidc: OidcConfig | null;
  readonly rotation: RotationConfig;
}

export type Arguments =
  | { readonly kind: "run"; readonly config: SentryConfig }
  | { readonly kind: "version" }
  | { readonly kind: "usage"; readonly text: string; readonly exitCode: 0 | 2 }
  | { readonly kind: "fatal"; readonly message: string; readonly log: LogConfig };

class ConfigError extends Error {}

const defaultLog: LogConfig = Object.freeze({ level: "info", json: false, file: null });

/** Reads everything sentry can be told. Never throws. */
export function parseArguments(argv: readonly string[], env: Environment): Arguments {
  const parsed = parseFlags(sentryFlags, argv);
  if (parsed.kind === "help") return { kind: "usage", text: usageText("sentry", sentryFlags), exitCode: 0 };
  if (parsed.kind === "error") return { kind: "usage", text: `${usageText("sentry", sentryFlags)}${parsed.message}\n`, exitCode: 2 };
  const flags = parsed.values;
  if (flags.bool("version")) return { kind: "version" };
  let log = defaultLog;
  try {
    checkOptions(flags);
    log = readLog(flags);
    return { kind: "run", config: readConfig(flags, env, log) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: "fatal", message: error.message, log };
  }
}

function checkOptions(flags: FlagValues): void {
  const invalid = (reason: string): never => {
    throw new ConfigError(`Invalid options: ${reason}`);
  };
  const mode = flags.string("mode");
  if (mode !== "kubernetes" && mode !== "standalone") invalid(`invalid mode: ${mode}`);
  if (flags.bool("oidc-enabled") && flags.bool("oidc-server-tls-enabled")) {
    for (const file of ["oidc-server-tls-cert-file", "oidc-server-tls-key-file"]) {
      if (flags.changed(file)) continue;
      invalid(`${file} is required when OIDC HTTP server is enabled (unless oidc-server-tls-enabled is false)`);
    }
  }
  if (flags.changed("jwt-issuer") && !flags.bool("jwt-enabled")) invalid("jwt-issuer cannot be set when jwt-enabled is false");
}

function readLog(flags: FlagValues): LogConfig {
  const level = flags.string("log-level");
  if (!(logLevels as readonly string[]).includes(level)) throw new ConfigError(`invalid value for --log-level: ${level}`);
  return Object.freeze({ level: level as LogLevel, json: flags.bool("log-as-json"), file: flags.string("log-file") || null });
}

function readConfig(flags: FlagValues, env: Environment, log: LogConfig): SentryConfig {
  if (flags.changed("oidc-server-tls-cert-file") !== flags.changed("oidc-server-tls-key-file")) {
    throw new ConfigError("both OIDC TLS certificate and key must be provided if one is specified");
  }
  return Object.freeze({
    log,
    mode: flags.string("mode") as SentryConfig["mode"],
    configName: flags.string("config"),
    kubeconfig: flags.string("kubeconfig"),
    namespace: env["NAMESPACE"] || "default",
    trustDomain: flags.string("trust-domain"),
    listen: endpoint(flags.string("listen-address"), flags.number("port"), "port"),
    healthz: endpoint(flags.string("healthz-listen-address"), flags.number("healthz-port"), "healthz-port"),
    metrics: readMetrics(flags),
    credentialsDirectory: flags.string("issuer-credentials"),
    credentials: Object.freeze({
      anchors: fileName(flags, "issuer-ca-filename"),
      issuerChain: fileName(flags, "issuer-certificate-filename"),
      issuerKey: fileName(flags, "issuer-key-filename"),
      jwtKey: fileName(flags, "jwt-key-filename"),
      jwks: fileName(flags, "jwks-filename"),
    }),
    jwt: flags.bool("jwt-enabled") ? readJwt(flags) : null,
    oidc: flags.bool("jwt-enabled") && flags.bool("oidc-enabled") ? readOidc(flags) : null,
    rotation: readRotation(flags),
  });
}

function fileName(flags: FlagValues, flag: string): string {
  const name = flags.string(flag);
  if (name === "") throw new ConfigError(`Invalid options: --${flag} is empty; give a file name or leave the flag out`);
  return name;
}

function readMetrics(flags: FlagValues): Endpoint | null {
  if (!flags.bool("enable-metrics")) return null;
  const port = readAtoi(flags.string("metrics-port"));
  if (!port.ok) throw new ConfigError(`failed to parse metrics port: ${port.reason}`);
  return endpoint(flags.string("metrics-listen-address"), port.value, "metrics-port");
}

function readJwt(flags: FlagValues): JwtConfig {
  return Object.freeze({
    issuer: flags.changed("jwt-issuer") ? flags.string("jwt-issuer") : null,
    algorithm: flags.string("jwt-signing-algorithm"),
    keyId: flags.changed("jwt-key-id") ? flags.string("jwt-key-id") : null,
    ttlMs: flags.durationMs("jwt-ttl"),
  });
}

function readOidc(flags: FlagValues): OidcConfig {
  const certFile = flags.string("oidc-server-tls-cert-file");
  const tls = flags.changed("oidc-server-tls-cert-file")
    ? Object.freeze({ certFile, keyFile: flags.string("oidc-server-tls-key-file") })
    : null;
  return Object.freeze({
    listen: endpoint(flags.string("oidc-server-listen-address"), flags.number("oidc-server-listen-port"), "oidc-server-listen-port"),
    tls,
    jwksUri: flags.changed("oidc-jwks-uri") ? flags.string("oidc-jwks-uri") : null,
    pathPrefix: flags.string("oidc-path-prefix"),
    allowedHosts: flags.strings("oidc-allowed-hosts"),
  });
}

function readRotation(flags: FlagValues): RotationConfig {
  const policy = flags.string("root-rotation");
  if (policy !== "auto" && policy !== "always" && policy !== "off") {
    throw new ConfigError(`Invalid options: --root-rotation=${policy} is none of auto, always and off`);
  }
  const duration = (flag: string): number => {
    const ms = flags.durationMs(flag);
    if (ms < 0) throw new ConfigError(`Invalid options: --${flag} is negative; give a duration such as 24h`);
    return ms;
  };
  const rootTtlMs = duration("root-ttl");
  const beforeMs = duration("root-rotation-before");
  if (policy !== "off" && beforeMs >= rootTtlMs) {
    throw new ConfigError("Invalid options: --root-rotation-before must be shorter than --root-ttl, or every new root is replaced at once");
  }
  return Object.freeze({
    policy,
    rootTtlMs,
    beforeMs,
    distributeMs: duration("root-rotation-distribute"),
    retireMs: duration("root-rotation-retire"),
    overlapMs: duration("root-rotation-overlap"),
  });
}

function endpoint(address: string, port: number, flag: string): Endpoint {
  if (port < 0 || port > 65_535) throw new ConfigError(`Invalid options: --${flag}=${port} is no port; give a number from 0 to 65535`);
  return Object.freeze({ host: address === "" ? "::" : address, port });
}
