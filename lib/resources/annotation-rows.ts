// The annotations of a pod as data: name after `dapr.io/`, how the text is read, what counts without it, and what it does.
// The injector reads values by these rows, the operator the few that it needs, and docs/reference/annotations.md lists them.
import {
  type EnvItem,
  envList,
  keyValueList,
  type MountItem,
  mountList,
  nameList,
  type SecretEnvItem,
  secretEnvList,
} from "./annotation-lists.ts";
import {
  type AnnotationReader,
  address,
  anyText,
  appId,
  bool,
  count,
  duration,
  image,
  integer,
  oneOf,
  port,
  resourceQuantity,
  secretName,
  sizeQuantity,
  strictBool,
  whole,
} from "./annotation-readers.ts";

export interface AnnotationRow<T> {
  readonly read: AnnotationReader<T>;
  readonly default: T;
  readonly help: string;
  /** What to write instead. */
  readonly deprecated?: string;
  /** False for what can only be one pod's own: a namespace gives no default for it. */
  readonly shared?: false;
}

function row<T>(
  read: AnnotationReader<T>,
  fallback: T,
  help: string,
  more: Pick<AnnotationRow<T>, "deprecated" | "shared"> = {},
): AnnotationRow<T> {
  return Object.freeze({ read, default: fallback, help, ...more });
}

/** A row whose absence means something else than any value. */
function optional<T>(read: AnnotationReader<T>, help: string, more: Pick<AnnotationRow<T>, "deprecated"> = {}): AnnotationRow<T | null> {
  return row<T | null>(read, null, help, more);
}

const own = { shared: false } as const;
const noEnv: readonly EnvItem[] = Object.freeze([]);
const noSecretEnv: readonly SecretEnvItem[] = Object.freeze([]);
const noMounts: readonly MountItem[] = Object.freeze([]);
const noNames: readonly string[] = Object.freeze([]);
const noPairs: ReadonlyMap<string, string> = new Map();

export const annotationRows = Object.freeze({
  enabled: row(strictBool, false, "Injects the sidecar", own),
  "app-id": row(appId, "", "Name of the app; the pod's name when not given", own),
  "app-port": row(whole({ min: -1, max: 65_535 }), 0, "Port the app listens on; 0 when it listens on none", own),
  "app-protocol": row(
    oneOf(["http", "https", "grpc", "grpcs", "h2c"], "http"),
    "http",
    "Protocol of the app: http, https, grpc, grpcs or h2c",
  ),
  "app-ssl": row(bool, false, "TLS towards the app", { deprecated: 'write dapr.io/app-protocol: "https" or "grpcs"' }),
  config: row(anyText, "", "Name of the Configuration of this sidecar"),
  "app-max-concurrency": optional(integer, "Calls the app gets at the same time; no limit when not given"),
  "app-channel-address": row(anyText, "", "Address of the app; the sidecar's own loopback when not given"),
  "log-level": row(oneOf(["debug", "info", "warn", "error", "fatal"], "info"), "info", "Least level that is logged"),
  "log-as-json": row(bool, false, "Log lines as JSON"),
  "enable-profiling": row(bool, false, "Serve profiles"),
  "enable-api-logging": optional(bool, "Log every API call; the Configuration decides when not given"),
  "enable-debug": row(bool, false, "Start the sidecar under a debugger"),
  "debug-port": row(port, 40_000, "Port of the debugger"),
  "enable-metrics": row(bool, true, "Serve metrics"),
  "metrics-port": row(port, 9090, "Port of the metrics"),
  "grpc-port": row(port, 50_001, "Port of the gRPC API"),
  "internal-grpc-port": row(port, 50_002, "Port between sidecars"),
  "sidecar-listen-addresses": row(anyText, "[::1],127.0.0.1", "Addresses of the sidecar's API"),
  "api-token-secret": row(secretName, "", "Secret whose key `token` apps must send to the sidecar"),
  "app-token-secret": row(secretName, "", "Secret whose key `token` the sidecar sends to the app"),
  env: row(envList, noEnv, "Environment variables of the sidecar: `A=1,B=2`"),
  "env-from-secret": row(secretEnvList, noSecretEnv, "Environment variables from Secrets: `A=secret:key,B=secret`"),
  "sidecar-cpu-request": row(resourceQuantity, "", "CPU the sidecar asks for"),
  "sidecar-cpu-limit": row(resourceQuantity, "", "CPU the sidecar gets at most"),
  "sidecar-memory-request": row(resourceQuantity, "", "Memory the sidecar asks for"),
  "sidecar-memory-limit": row(resourceQuantity, "", "Memory the sidecar gets at most"),
  "sidecar-image": row(image, "", "Image of the sidecar; the installation's when not given"),
  "sidecar-seccomp-profile-type": row(oneOf(["RuntimeDefault", "Unconfined"], ""), "", "Seccomp profile; RuntimeDefault when not given"),
  "sidecar-liveness-probe-delay-seconds": row(count, 180, "Seconds before the first liveness probe"),
  "sidecar-liveness-probe-timeout-seconds": row(count, 3, "Seconds a liveness probe may take"),
  "sidecar-liveness-probe-period-seconds": row(count, 10, "Seconds between liveness probes"),
  "sidecar-liveness-probe-threshold": row(count, 5, "Failed liveness probes that restart the sidecar"),
  "sidecar-readiness-probe-delay-seconds": row(count, 1, "Seconds before the first readiness probe"),
  "sidecar-readiness-probe-timeout-seconds": row(count, 1, "Seconds a readiness probe may take"),
  "sidecar-readiness-probe-period-seconds": row(count, 1, "Seconds between readiness probes"),
  "sidecar-readiness-probe-threshold": row(count, 5, "Failed readiness probes that make the pod not ready"),
  "http-max-request-size": optional(integer, "Largest body in megabytes", { deprecated: "write dapr.io/max-body-size" }),
  "max-body-size": row(sizeQuantity, "", "Largest body, as a quantity"),
  "http-read-buffer-size": optional(integer, "Largest request head in kilobytes", { deprecated: "write dapr.io/read-buffer-size" }),
  "read-buffer-size": row(sizeQuantity, "", "Largest request head, as a quantity"),
  "graceful-shutdown-seconds": row(integer, -1, "Seconds for a graceful end; -1 is the sidecar's default"),
  "block-shutdown-duration": optional(duration, "How long the sidecar stays up for the app after it was told to end"),
  "unix-domain-socket-path": row(anyText, "", "Folder in the app's containers with the sidecar's Unix sockets"),
  "volume-mounts": row(mountList, noMounts, "Volumes of the pod that the sidecar sees, read only: `volume:/path,…`"),
  "volume-mounts-rw": row(mountList, noMounts, "The same, writable"),
  "disable-builtin-k8s-secret-store": row(bool, false, "No Kubernetes secret store unless a Component defines one"),
  "enable-app-health-check": row(bool, false, "Probe the app, and deliver only while it is healthy"),
  "app-health-check-path": row(anyText, "/healthz", "Path of the app's health endpoint"),
  "app-health-probe-interval": row(integer, 5, "Seconds between health probes"),
  "app-health-probe-timeout": row(integer, 500, "Milliseconds a health probe may take"),
  "app-health-threshold": row(integer, 3, "Failed health probes that make the app unhealthy"),
  "app-binding-options-timeout": optional(duration, "How long the sidecar asks the app about an input binding"),
  "placement-host-address": optional(address, "Addresses of placement; empty switches actors off"),
  "actors-disseminate-timeout": optional(duration, "How long the sidecar waits for a table of actors"),
  "scheduler-host-address": optional(address, "Addresses of the scheduler; empty switches it off"),
  "disable-init-endpoints": optional(anyText, "Endpoints of the app that are not asked at the start"),
  "sentry-request-jwt-audiences": row(anyText, "", "Audiences of the JWTs that sentry is asked for"),
  "sidecar-svc-annotations": row(keyValueList, noPairs, "Annotations for the app's Service: `a=1,b=2`"),
  "pluggable-components": row(nameList, noNames, "Containers of the pod that are pluggable components"),
  "pluggable-components-sockets-folder": row(anyText, "", "Folder of the pluggable components' sockets"),
  "component-container": row(anyText, "", "On a Component: container of the pluggable component, as JSON", own),
  "inject-pluggable-components": row(bool, false, "Injects the containers that Components name"),
  "enable-native-sidecar": optional(bool, "Injects a native sidecar (an init container that keeps running) or a classic container"),
});

export type AnnotationName = keyof typeof annotationRows;
type ValueOf<R> = R extends AnnotationRow<infer T> ? T : never;

/** Every annotation by its name after `dapr.io/`. */
export type AnnotationValues = { readonly [N in AnnotationName]: ValueOf<(typeof annotationRows)[N]> };
