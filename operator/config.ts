// From the command line and the environment to one frozen object, or to the text to print. Pure: nothing here reads the
// process. A bad flag is a usage error (stderr, 2), a bad value of a good flag a fatal log line (1), as Dapr has it.
import { type FlagValues, parseFlags, usageText } from "../lib/kit/flags.ts";
import { readAtoi, readDuration } from "../lib/kit/go-text.ts";
import { type LogLevel, logLevels } from "../lib/telemetry/log.ts";
import { operatorFlags } from "./flags.ts";

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

export interface WatchdogConfig {
  /** Null: once, at the start. */
  readonly intervalMs: number | null;
  readonly maxRestartsPerMinute: number;
  readonly canPatchLabels: boolean;
}

export interface OperatorConfig {
  readonly log: LogConfig;
  readonly configName: string;
  readonly namespace: string;
  /** Null: the usual places. */
  readonly kubeconfig: string | null;
  readonly trustAnchorsFile: string;
  readonly tokenFile: string | null;
  readonly listen: Endpoint;
  readonly healthz: Endpoint;
  readonly metrics: Endpoint | null;
  /** Null: no conversion webhook. */
  readonly webhook: Endpoint | null;
  readonly leaderElection: boolean;
  /** Unlike any other replica's. */
  readonly instance: string;
  /** Null: all namespaces. */
  readonly watchNamespace: string | null;
  readonly services: { readonly rollouts: boolean } | null;
  /** Null: off. */
  readonly watchdog: WatchdogConfig | null;
  readonly relistMs: number;
  readonly applyCrds: boolean;
}

export type Arguments =
  | { readonly kind: "run"; readonly config: OperatorConfig }
  | { readonly kind: "version" }
  | { readonly kind: "usage"; readonly text: string; readonly exitCode: 0 | 2 }
  | { readonly kind: "fatal"; readonly message: string; readonly log: LogConfig };

class ConfigError extends Error {}

const defaultLog: LogConfig = Object.freeze({ level: "info", json: false, file: null });
const watchIntervalMinMs = 1000;

/** Reads everything the operator can be told. Never throws. */
export function parseArguments(argv: readonly string[], env: Environment, hostName: string): Arguments {
  const parsed = parseFlags(operatorFlags, argv);
  if (parsed.kind === "help") return { kind: "usage", text: usageText("operator", operatorFlags), exitCode: 0 };
  if (parsed.kind === "error") return { kind: "usage", text: `${usageText("operator", operatorFlags)}${parsed.message}\n`, exitCode: 2 };
  const flags = parsed.values;
  if (flags.bool("version")) return { kind: "version" };
  let log = defaultLog;
  try {
    log = readLog(flags);
    return { kind: "run", config: readConfig(flags, env, hostName, log) };
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

function readConfig(flags: FlagValues, env: Environment, hostName: string, log: LogConfig): OperatorConfig {
  const listen = (name: string) => endpoint(flags.string(`${name}listen-address`), flags.number(`${name}port`), `${name}port`);
  const webhooks = (env["ENABLE_WEBHOOKS"] ?? "").toLowerCase() !== "false";
  return Object.freeze({
    log,
    configName: flags.string("config"),
    namespace: env["NAMESPACE"] || "default",
    kubeconfig: flags.string("kubeconfig") || null,
    trustAnchorsFile: flags.string("trust-anchors-file"),
    tokenFile: env["DAPR_SENTRY_TOKEN_FILE"] ?? null,
    listen: listen(""),
    healthz: listen("healthz-"),
    metrics: readMetrics(flags),
    webhook: webhooks ? listen("webhook-server-") : null,
    leaderElection: !flags.bool("disable-leader-election"),
    instance: env["POD_NAME"] || hostName,
    watchNamespace: flags.string("watch-namespace") || null,
    services: flags.bool("disable-service-reconciler")
      ? null
      : Object.freeze({ rollouts: flags.bool("enable-argo-rollout-service-reconciler") }),
    watchdog: readWatchdog(flags),
    relistMs: flags.durationMs("cache-sync-period"),
    applyCrds: flags.bool("apply-crds"),
  });
}

function readMetrics(flags: FlagValues): Endpoint | null {
  if (!flags.bool("enable-metrics")) return null;
  const port = readAtoi(flags.string("metrics-port"));
  if (!port.ok) throw new ConfigError(`failed to parse metrics port: ${port.reason}`);
  return endpoint(flags.string("metrics-listen-address"), port.value, "metrics-port");
}

function readWatchdog(flags: FlagValues): WatchdogConfig | null {
  const text = flags.string("watch-interval");
  if (["0", "false", "f", "no", "off"].includes(text.toLowerCase())) return null;
  const common = {
    maxRestartsPerMinute: flags.number("max-pod-restarts-per-minute"),
    canPatchLabels: flags.bool("watchdog-can-patch-pod-labels"),
  };
  if (text.toLowerCase() === "once") return Object.freeze({ intervalMs: null, ...common });
  const interval = readDuration(text);
  if (!interval.ok) throw new ConfigError(`invalid value for watch-interval: ${interval.reason}`);
  if (interval.value < watchIntervalMinMs) {
    throw new ConfigError("invalid watch-interval value: if not '0' or 'once', must be at least 1s");
  }
  return Object.freeze({ intervalMs: interval.value, ...common });
}

function endpoint(address: string, port: number, flag: string): Endpoint {
  if (port < 0 || port > 65_535) throw new ConfigError(`Invalid options: --${flag}=${port} is no port; give a number from 0 to 65535`);
  return Object.freeze({ host: address === "" ? "::" : address, port });
}
