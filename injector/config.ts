// From the command line and the environment to one frozen object, or to the text to print. Pure. A bad flag is a usage error
// (stderr, 2), a bad value of a good flag or variable a fatal log line (1), as in Dapr.
import { type FlagValues, parseFlags, usageText } from "../lib/kit/flags.ts";
import { readAtoi } from "../lib/kit/go-text.ts";
import { type LogLevel, logLevels } from "../lib/telemetry/log.ts";
import type { InjectionPolicy } from "./authorize.ts";
import { injectorFlags } from "./flags.ts";
import type { SidecarSettings } from "./settings.ts";
import { ConfigError, type Environment, readSidecarSettings } from "./sidecar-settings.ts";

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

export interface InjectorConfig {
  readonly log: LogConfig;
  /** Empty: not given. */
  readonly kubeconfig: string;
  readonly namespace: string;
  readonly trustDomain: string;
  readonly trustAnchorsFile: string;
  /** Null: the Service in the namespace. */
  readonly sentryAddress: string | null;
  readonly tokenFile: string | null;
  readonly listen: Endpoint;
  readonly healthz: Endpoint;
  readonly metrics: Endpoint | null;
  /** Null: any client. */
  readonly clientCaFile: string | null;
  readonly policy: InjectionPolicy;
  /** Besides the known controllers. */
  readonly accounts: readonly string[];
  /** Empty domain: to be found out. */
  readonly sidecar: Omit<SidecarSettings, "tokenVolume" | "sentryId">;
  readonly warnings: readonly string[];
}

export type Arguments =
  | { readonly kind: "run"; readonly config: InjectorConfig }
  | { readonly kind: "version" }
  | { readonly kind: "usage"; readonly text: string; readonly exitCode: 0 | 2 }
  | { readonly kind: "fatal"; readonly message: string; readonly log: LogConfig };

const defaultLog: LogConfig = Object.freeze({ level: "info", json: false, file: null });

/** Reads everything the injector can be told. Never throws. */
export function parseArguments(argv: readonly string[], env: Environment): Arguments {
  const parsed = parseFlags(injectorFlags, argv);
  if (parsed.kind === "help") return { kind: "usage", text: usageText("injector", injectorFlags), exitCode: 0 };
  if (parsed.kind === "error") return { kind: "usage", text: `${usageText("injector", injectorFlags)}${parsed.message}\n`, exitCode: 2 };
  if (parsed.values.bool("version")) return { kind: "version" };
  let log = defaultLog;
  try {
    log = readLog(parsed.values);
    return { kind: "run", config: readConfig(parsed.values, env, log) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: "fatal", message: error.message, log };
  }
}

function readLog(flags: FlagValues): LogConfig {
  const level = flags.string("log-level");
  if (!(logLevels as readonly string[]).includes(level)) throw new ConfigError(`invalid value for --log-level: ${level}`);
  return Object.freeze({ level: level as LogLevel, json: flags.bool("log-as-json"), file: flags.string("log-file") || null });
}

function readConfig(flags: FlagValues, env: Environment, log: LogConfig): InjectorConfig {
  const { settings, warnings } = readSidecarSettings(env, flags.bool("scheduler-enabled"));
  const prefixes = env["ALLOWED_SERVICE_ACCOUNTS_PREFIX_NAMES"] ?? "";
  const deprecated =
    "ALLOWED_SERVICE_ACCOUNTS_PREFIX_NAMES is deprecated; use ALLOWED_SERVICE_ACCOUNTS instead, which now supports glob patterns";
  return Object.freeze({
    log,
    kubeconfig: flags.string("kubeconfig"),
    namespace: settings.controlPlaneNamespace,
    trustDomain: settings.controlPlaneTrustDomain,
    trustAnchorsFile: env["DAPR_TRUST_ANCHORS_FILE"] || "/var/run/dapr.io/tls/ca.crt",
    sentryAddress: env["DAPR_SENTRY_ADDRESS"] || null,
    tokenFile: env["DAPR_SENTRY_TOKEN_FILE"] ?? null,
    listen: endpoint(flags.string("listen-address"), flags.number("port"), "port"),
    healthz: endpoint(flags.string("healthz-listen-address"), flags.number("healthz-port"), "healthz-port"),
    metrics: readMetrics(flags),
    clientCaFile: flags.string("client-ca-file") || null,
    policy: readPolicy(env["INJECTION_POLICY"] ?? ""),
    accounts: Object.freeze([...(env["ALLOWED_SERVICE_ACCOUNTS"] ?? "").split(","), ...prefixes.split(",")]),
    sidecar: settings,
    warnings: Object.freeze(prefixes === "" ? warnings : [...warnings, deprecated]),
  });
}

function readPolicy(text: string): InjectionPolicy {
  if (text === "" || text === "service-accounts") return "service-accounts";
  if (text === "pods") return text;
  throw new ConfigError(`INJECTION_POLICY=${text} is neither service-accounts nor pods`);
}

function readMetrics(flags: FlagValues): Endpoint | null {
  if (!flags.bool("enable-metrics")) return null;
  const port = readAtoi(flags.string("metrics-port"));
  if (!port.ok) throw new ConfigError(`failed to parse metrics port: ${port.reason}`);
  return endpoint(flags.string("metrics-listen-address"), port.value, "metrics-port");
}

function endpoint(address: string, port: number, flag: string): Endpoint {
  if (port < 0 || port > 65_535) throw new ConfigError(`Invalid options: --${flag}=${port} is no port; give a number from 0 to 65535`);
  return Object.freeze({ host: address === "" ? "::" : address, port });
}
