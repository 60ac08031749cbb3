// What the process was told when it started, as one frozen object, and the reading of it from parsed flags and the
// environment: ports, sizes, durations and lists are checked here, in daprd's order and words.
import { formatDuration } from "../lib/kit/duration.ts";
import type { FlagValues } from "../lib/kit/flags.ts";
import { readAtoi } from "../lib/kit/go-text.ts";
import { readQuantityBytes } from "../lib/kit/quantity.ts";

export type AppProtocol = "http" | "https" | "h2c" | "grpc" | "grpcs";
export type LogLevelName = "debug" | "info" | "warn" | "error" | "fatal";
export type InitEndpoint = "config" | "subscribe";

export interface LogConfig {
  readonly level: LogLevelName;
  readonly json: boolean;
  /** Null writes to stdout. */
  readonly file: string | null;
}

export interface AppHealthConfig {
  readonly path: string;
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
  /** Failures in a row. */
  readonly threshold: number;
}

/** Everything the process was told when it started. Holds secrets (the two tokens): never log it whole. */
export interface SidecarConfig {
  readonly mode: "standalone" | "kubernetes";
  readonly appId: string;
  /** NAMESPACE, `default` when unset. */
  readonly namespace: string;
  /** True when NAMESPACE is set and not empty: resources of other namespaces are then left out. */
  readonly namespaceGiven: boolean;
  readonly podName: string;
  /** DAPR_HOST_IP; null: find one. */
  readonly hostIp: string | null;

  /** Null: the application does not listen. */
  readonly appPort: number | null;
  readonly appProtocol: AppProtocol;
  readonly appChannelAddress: string;
  /** 0: no limit. */
  readonly appMaxConcurrency: number;
  /** Null: no health checks. */
  readonly appHealth: AppHealthConfig | null;
  readonly disabledInitEndpoints: readonly InitEndpoint[];
  readonly appBindingOptionsTimeoutMs: number;

  readonly httpPort: number;
  readonly grpcPort: number;
  /** Null: a port that stays the same across restarts (inventory §4.2). */
  readonly internalGrpcPort: number | null;
  /** Empty: all addresses. */
  readonly internalGrpcListenAddress: string;
  /** Null: no public server. */
  readonly publicPort: number | null;
  readonly publicListenAddress: string;
  /** Never empty; the empty string is all addresses. */
  readonly listenAddresses: readonly string[];
  /** Directory; null: TCP. */
  readonly unixDomainSocket: string | null;
  /** Null: CORS is off. `*` allows every origin. */
  readonly allowedOrigins: readonly string[] | null;
  /** 0 or less: no limit over HTTP. */
  readonly maxBodyBytes: number;
  readonly readBufferBytes: number;
  readonly disableH2c: boolean;
  /** Null: the Configuration decides. */
  readonly apiLogging: boolean | null;

  readonly resourcesPaths: readonly string[];
  readonly configPaths: readonly string[];
  /** Names envRef may read; null: all but the forbidden ones. */
  readonly envKeys: readonly string[] | null;

  /** 0: no limit. */
  readonly gracefulShutdownMs: number;
  /** Null: stop at once. */
  readonly blockShutdownMs: number | null;

  readonly log: LogConfig;
  readonly metrics: { readonly enabled: boolean; readonly port: number; readonly listenAddress: string };
  readonly profiling: { readonly enabled: boolean; readonly port: number };

  /** Callers must send it; empty: no token asked for. */
  readonly apiToken: string;
  /** Sent to the application; empty: none. */
  readonly appApiToken: string;

  readonly mtls: boolean;
  readonly trustAnchorsPem: string;
  readonly sentryAddress: string;
  readonly sentryTokenFile: string | null;
  readonly sentryLocalIdentity: string;
  readonly sentryJwtAudiences: readonly string[];
  readonly controlPlaneAddress: string;
  readonly controlPlaneTrustDomain: string;
  readonly controlPlaneNamespace: string;
  readonly kubernetesSecretStore: boolean;
  readonly skipRootCheck: boolean;

  /** Null: no placement. */
  readonly placementAddress: string | null;
  readonly schedulerAddresses: readonly string[];
  readonly schedulerJobStreams: number;
  readonly actorsDisseminateTimeoutMs: number;
  readonly hotReloadReconcileMs: number;
  readonly pluggableSocketsFolder: string;

  /** To be logged as warnings once the logger stands. */
  readonly warnings: readonly string[];
}

export type Environment = Readonly<Record<string, string | undefined>>;

const defaultMaxBodyBytes = 4 * 1024 * 1024;
const defaultReadBufferBytes = 4 * 1024;
/** Timers of the platform take 31 bits of milliseconds; longer waits become this (24.8 days). */
const timerMaxMs = 2 ** 31 - 1;
const portMax = 65_535;

/** A value is wrong; the message is what daprd logs. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export interface Sizes {
  readonly maxBodyBytes: number;
  readonly readBufferBytes: number;
}

/** The sizes, and the one duration that has no default to fall back to. Throws ConfigError. */
export function readSizes(flags: FlagValues): Sizes {
  const sizes = {
    maxBodyBytes: sizeBytes(flags, "max-body-size", "dapr-http-max-request-size", 1024 * 1024, defaultMaxBodyBytes),
    readBufferBytes: sizeBytes(flags, "read-buffer-size", "dapr-http-read-buffer-size", 1024, defaultReadBufferBytes),
  };
  if (flags.durationMs("actors-disseminate-timeout") <= 0) {
    const given = formatDuration(flags.durationMs("actors-disseminate-timeout"));
    throw new ConfigError(`invalid value for 'actors-disseminate-timeout' option: must be positive, got ${given}`);
  }
  return sizes;
}

/** The quantity flag wins over the deprecated one, which counts `unitBytes`. -1 is the default. */
function sizeBytes(flags: FlagValues, name: string, deprecated: string, unitBytes: number, fallback: number): number {
  let bytes = fallback;
  if (flags.changed(name)) {
    const read = readQuantityBytes(flags.string(name));
    if (!read.ok) throw new ConfigError(`invalid value for '${name}' option: ${read.reason}`);
    bytes = read.value;
  } else if (flags.changed(deprecated)) {
    const units = flags.number(deprecated);
    bytes = units > 0 ? units * unitBytes : units;
  }
  return bytes === -1 ? fallback : bytes;
}

export function readLog(flags: FlagValues): LogConfig {
  const level = flags.string("log-level").toLowerCase();
  if (!isLogLevel(level)) throw new ConfigError(`invalid value for --log-level: ${flags.string("log-level")}`);
  return Object.freeze({ level, json: flags.bool("log-as-json"), file: flags.string("log-file") || null });
}

function isLogLevel(level: string): level is LogLevelName {
  return level === "debug" || level === "info" || level === "warn" || level === "error" || level === "fatal";
}

/** Throws ConfigError for the first thing wrong. */
export function readConfig(flags: FlagValues, env: Environment, sizes: Sizes, log: LogConfig): SidecarConfig {
  const appId = flags.string("app-id");
  const mode = flags.string("mode");
  if (mode === "standalone") checkAppId(appId);
  const ports = readPorts(flags);
  const app = readApp(flags);
  const config = {
    appId,
    ...ports,
    ...app,
    ...sizes,
    ...readSurroundings(env),
    ...readControlPlane(flags, env),
    ...readShutdown(flags),
    mode: checkedMode(mode),
    metrics: Object.freeze({
      enabled: flags.bool("enable-metrics"),
      port: flags.bool("enable-metrics") ? port(flags, "metrics-port", "failed to parse metrics port") : 0,
      listenAddress: flags.string("metrics-listen-address"),
    }),
    internalGrpcListenAddress: flags.string("dapr-internal-grpc-listen-address"),
    publicListenAddress: flags.string("dapr-public-listen-address"),
    listenAddresses: Object.freeze(flags.string("dapr-listen-addresses").split(",")),
    unixDomainSocket: flags.string("unix-domain-socket") || null,
    allowedOrigins: flags.string("allowed-origins") === "" ? null : Object.freeze(flags.string("allowed-origins").split(",")),
    apiLogging: flags.changed("enable-api-logging") ? flags.bool("enable-api-logging") : null,
    resourcesPaths: resourcesPaths(flags),
    configPaths: Object.freeze([...flags.strings("config")]),
    hotReloadReconcileMs: timerMs(flags.durationMs("hot-reload-reconcile-interval") || 60_000),
    log,
  };
  return Object.freeze(config);
}

function checkAppId(appId: string): void {
  if (appId === "") throw new ConfigError("parameter app-id cannot be empty");
  if (appId.includes(".")) throw new ConfigError("parameter app-id cannot contain dots");
}

function checkedMode(mode: string): SidecarConfig["mode"] {
  if (mode !== "standalone" && mode !== "kubernetes") throw new ConfigError(`invalid mode: ${mode}`);
  return mode;
}

function resourcesPaths(flags: FlagValues): readonly string[] {
  const paths = flags.strings("resources-path");
  const alias = flags.string("components-path");
  return Object.freeze(paths.length === 0 && alias !== "" ? [alias] : [...paths]);
}

function readPorts(flags: FlagValues) {
  const httpPort = port(flags, "dapr-http-port", "error parsing dapr-http-port flag");
  const grpcPort = port(flags, "dapr-grpc-port", "error parsing dapr-grpc-port flag");
  const profilePort = port(flags, "profile-port", "error parsing profile-port flag");
  const internal = flags.string("dapr-internal-grpc-port");
  const internalGrpcPort =
    internal === "" || internal === "0" ? null : port(flags, "dapr-internal-grpc-port", "error parsing dapr-internal-grpc-port");
  const publicPort = flags.string("dapr-public-port") === "" ? null : port(flags, "dapr-public-port", "error parsing dapr-public-port");
  const appPort = flags.string("app-port") === "" ? 0 : port(flags, "app-port", "error parsing app-port");
  // Without --app-port a Dapr port of 0 is refused as well: so does daprd.
  if (appPort === httpPort) throw new ConfigError(`the 'dapr-http-port' argument value ${httpPort} conflicts with 'app-port'`);
  if (appPort === grpcPort) throw new ConfigError(`the 'dapr-grpc-port' argument value ${grpcPort} conflicts with 'app-port'`);
  const profiling = Object.freeze({ enabled: flags.bool("enable-profiling"), port: profilePort });
  return { httpPort, grpcPort, internalGrpcPort, publicPort, appPort: appPort === 0 ? null : appPort, profiling };
}

/** daprd takes any integer and fails, or waits for ever, where the port is used; we say it here. */
function port(flags: FlagValues, name: string, what: string): number {
  const read = readAtoi(flags.string(name));
  if (!read.ok) throw new ConfigError(`${what}: ${read.reason}`);
  if (read.value < 0 || read.value > portMax) {
    throw new ConfigError(`${what}: ${read.value} is not a port; give --${name} a number from 0 to ${portMax}`);
  }
  return read.value;
}

function readApp(flags: FlagValues) {
  const { appProtocol, warnings } = readProtocol(flags);
  const disabledInitEndpoints = Object.freeze(
    flags
      .strings("disable-init-endpoints")
      .map(initEndpoint)
      .filter((name) => name !== ""),
  );
  const concurrency = flags.number("app-max-concurrency");
  return {
    appProtocol,
    warnings,
    disabledInitEndpoints,
    appChannelAddress: flags.string("app-channel-address"),
    appMaxConcurrency: Math.max(concurrency, 0),
    appHealth: readHealth(flags),
    appBindingOptionsTimeoutMs: timerMs(positiveOr(flags.durationMs("app-binding-options-timeout"), 3_000)),
  };
}

function readProtocol(flags: FlagValues): { readonly appProtocol: AppProtocol; readonly warnings: readonly string[] } {
  const given = flags.string("app-protocol").toLowerCase();
  switch (given) {
    case "https":
    case "h2c":
    case "grpcs":
      return { appProtocol: given, warnings: [] };
    case "http":
    case "grpc":
      if (!flags.bool("app-ssl")) return { appProtocol: given, warnings: [] };
      return { appProtocol: `${given}s`, warnings: [`The 'app-ssl' flag is deprecated; use 'app-protocol=${given}s' instead`] };
    case "":
      return { appProtocol: "http", warnings: [] };
    default:
      throw new ConfigError(`invalid value for 'app-protocol': ${flags.string("app-protocol")}`);
  }
}

function initEndpoint(given: string): InitEndpoint | "" {
  const name = given.trim().toLowerCase();
  if (name !== "config" && name !== "subscribe" && name !== "")
    throw new ConfigError(`invalid value for 'disable-init-endpoints': ${name}`);
  return name;
}

/** The values are checked even when the health check is off, as daprd does. */
function readHealth(flags: FlagValues): AppHealthConfig | null {
  const probeIntervalMs = timerMs(positiveOr(flags.number("app-health-probe-interval"), 5) * 1000);
  const probeTimeoutMs = timerMs(positiveOr(flags.number("app-health-probe-timeout"), 500));
  if (probeTimeoutMs > probeIntervalMs) {
    throw new ConfigError("value for 'health-probe-timeout' must be smaller than 'health-probe-interval'");
  }
  const threshold = flags.number("app-health-threshold");
  if (!flags.bool("enable-app-health-check")) return null;
  return Object.freeze({
    path: flags.string("app-health-check-path"),
    probeIntervalMs,
    probeTimeoutMs,
    threshold: threshold >= 1 && threshold < timerMaxMs ? threshold : 3,
  });
}

function readShutdown(flags: FlagValues) {
  const seconds = flags.number("dapr-graceful-shutdown-seconds");
  return {
    gracefulShutdownMs: timerMs(seconds < 0 ? 5_000 : seconds * 1000),
    blockShutdownMs: flags.changed("dapr-block-shutdown-duration") ? timerMs(flags.durationMs("dapr-block-shutdown-duration")) : null,
  };
}

function readSurroundings(env: Environment) {
  const envKeys = (env["DAPR_ENV_KEYS"] ?? "").split(" ").filter((name) => name !== "");
  return {
    namespace: env["NAMESPACE"] ?? "default",
    namespaceGiven: (env["NAMESPACE"] ?? "") !== "",
    podName: env["POD_NAME"] ?? "",
    hostIp: env["DAPR_HOST_IP"] || null,
    envKeys: env["DAPR_ENV_KEYS"] ? Object.freeze(envKeys) : null,
    disableH2c: truthy.test(env["DAPR_HTTP_DISABLE_H2C"] ?? ""),
    apiToken: env["DAPR_API_TOKEN"] ?? "",
    appApiToken: env["APP_API_TOKEN"] ?? "",
    skipRootCheck: env["DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK"] === "true",
    pluggableSocketsFolder: env["DAPR_COMPONENTS_SOCKETS_FOLDER"] || "/tmp/dapr-components-sockets",
  };
}

const truthy = /^\s*(y|yes|true|t|on|1)\s*$/i;

function readControlPlane(flags: FlagValues, env: Environment) {
  const fallback = (name: string, variable: string) => (flags.changed(name) ? flags.string(name) : (env[variable] ?? flags.string(name)));
  const schedulers = env["DAPR_SCHEDULER_HOST_ADDRESS_DNS_A"];
  const useDns = schedulers !== undefined && !flags.changed("scheduler-host-address");
  return {
    mtls: flags.bool("enable-mtls"),
    trustAnchorsPem: env["DAPR_TRUST_ANCHORS"] ?? "",
    sentryAddress: flags.string("sentry-address"),
    sentryTokenFile: env["DAPR_SENTRY_TOKEN_FILE"] ?? null,
    sentryLocalIdentity: env["SENTRY_LOCAL_IDENTITY"] ?? "",
    sentryJwtAudiences: Object.freeze([...flags.strings("sentry-request-jwt-audiences")]),
    controlPlaneAddress: flags.string("control-plane-address"),
    controlPlaneTrustDomain: fallback("control-plane-trust-domain", "DAPR_CONTROLPLANE_TRUST_DOMAIN"),
    controlPlaneNamespace: fallback("control-plane-namespace", "DAPR_CONTROLPLANE_NAMESPACE"),
    kubernetesSecretStore: !flags.bool("disable-builtin-k8s-secret-store"),
    placementAddress: flags.string("placement-host-address") || null,
    schedulerAddresses: Object.freeze(useDns ? schedulers.split(",") : [...flags.strings("scheduler-host-address")]),
    schedulerJobStreams: flags.number("scheduler-job-streams"),
    actorsDisseminateTimeoutMs: timerMs(flags.durationMs("actors-disseminate-timeout")),
  };
}

function positiveOr(value: number, fallback: number): number {
  return value > 0 ? value : fallback;
}

function timerMs(ms: number): number {
  return Math.min(Math.max(ms, 0), timerMaxMs);
}
