// What one app and its sidecar shall be, whether flags or a run template said it; and, from that, the sidecar's command
// line and both environments. Pure: ports are numbers here, the free ones already found.
import { type Setting, settings, withPort } from "./settings.ts";

export const logDestinations = ["file", "console", "fileAndConsole"] as const;
export type LogDestination = (typeof logDestinations)[number];

export const portNames = ["http", "grpc", "internalGrpc", "metrics", "profile"] as const;
export type PortName = (typeof portNames)[number];

export interface AppPlan {
  readonly appId: string;
  /** Absolute; the app starts here. The sidecar starts here too, so relative paths in resources mean the same for both. */
  readonly workDir: string;
  /** Empty: only the sidecar runs. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly appPort: number | null;
  /** Null: any free port. */
  readonly ports: Readonly<Record<PortName, number | null>>;
  /** Null: the default components of the user's home. */
  readonly resourcesPaths: readonly string[] | null;
  /** After the generated default configuration, in order of merging. */
  readonly configFiles: readonly string[];
  /** Values of `settings` by flag name. */
  readonly settings: Readonly<Record<string, string>>;
  readonly appLog: LogDestination;
  readonly sidecarLog: LogDestination;
}

export type Ports = Readonly<Record<PortName, number>>;

/** Where the default components and configuration of a run stand. */
export interface Defaults {
  readonly resourcesPath: string;
  readonly configFile: string;
}

/** What a sidecar must know to get its certificate. */
export interface MeshIdentity {
  readonly sentryAddress: string;
  readonly trustAnchorsPem: string;
}

/** daprd's arguments. */
export function sidecarArgs(plan: AppPlan, ports: Ports, defaults: Defaults, mesh: MeshIdentity | null): string[] {
  const args = ["--app-id", plan.appId];
  args.push("--dapr-http-port", String(ports.http), "--dapr-grpc-port", String(ports.grpc));
  args.push("--dapr-internal-grpc-port", String(ports.internalGrpc), "--metrics-port", String(ports.metrics));
  if (plan.appPort !== null) args.push("--app-port", String(plan.appPort));
  if (plan.settings["enable-profiling"] === "true") args.push("--profile-port", String(ports.profile));
  for (const path of plan.resourcesPaths ?? [defaults.resourcesPath]) args.push("--resources-path", path);
  for (const file of [defaults.configFile, ...plan.configFiles]) args.push("--config", file);
  if (mesh !== null) args.push("--enable-mtls", "--sentry-address", mesh.sentryAddress);
  for (const setting of settings) args.push(...settingArgs(setting, plan.settings[setting.name]));
  return args;
}

function settingArgs(setting: Setting, value: string | undefined): string[] {
  const flag = `--${setting.daprd ?? setting.name}`;
  if (value === undefined || value === "") return [];
  if (setting.bare === true) return value === "true" ? [flag] : [`${flag}=false`];
  return [flag, setting.defaultPort === undefined ? value : withPort(value, setting.defaultPort)];
}

/** What the app finds in its environment on top of ours. */
export function appEnv(plan: AppPlan, ports: Ports): Record<string, string> {
  return {
    ...plan.env,
    APP_ID: plan.appId,
    APP_PROTOCOL: plan.settings["app-protocol"] || "http",
    ...(plan.appPort === null ? {} : { APP_PORT: String(plan.appPort) }),
    DAPR_HTTP_PORT: String(ports.http),
    DAPR_GRPC_PORT: String(ports.grpc),
    DAPR_METRICS_PORT: String(ports.metrics),
  };
}

/** What the sidecar finds in its environment on top of ours: the template's variables, trust anchors, and loopback as the advertised address. */
export function sidecarEnv(
  plan: AppPlan,
  ours: Readonly<Record<string, string | undefined>>,
  mesh: MeshIdentity | null,
): Record<string, string> {
  const anchors = mesh === null ? {} : { DAPR_TRUST_ANCHORS: mesh.trustAnchorsPem };
  return { DAPR_HOST_IP: ours.DAPR_HOST_IP || "127.0.0.1", ...plan.env, ...anchors };
}

/** Everything that would make this set of plans fail, in words for the user; empty when they are good. */
export function planProblems(plans: readonly AppPlan[]): string[] {
  const problems: string[] = [];
  const owners = new Map<number, string>();
  const seen = new Set<string>();
  for (const plan of plans) {
    if (!/^[^.\s/\\]+$/.test(plan.appId)) problems.push(`app id "${plan.appId}" is invalid: use letters, digits, "-" and "_", no dots`);
    if (seen.has(plan.appId)) problems.push(`app id "${plan.appId}" is used twice: give each app its own appID`);
    seen.add(plan.appId);
    const named: [string, number | null][] = [
      ["app", plan.appPort],
      ...portNames.map((name): [string, number | null] => [name, plan.ports[name]]),
    ];
    for (const [name, port] of named) {
      if (port === null) continue;
      const label = `${name} port of "${plan.appId}"`;
      if (!Number.isInteger(port) || port < 1 || port > 65535) problems.push(`${label} is ${port}: use 1 to 65535, or leave it out`);
      const owner = owners.get(port);
      if (owner !== undefined) problems.push(`${label} is ${port}, which is already the ${owner}`);
      owners.set(port, label);
    }
  }
  return problems;
}
