// The environment variables that say what sidecars look like, read by Dapr's rules: a boolean is true for y, yes, true, t, on
// and 1 and false for anything else; a number that is none is fatal.
import { messageOf } from "../lib/kit/errors.ts";
import { readAtoi } from "../lib/kit/go-text.ts";
import { isEnabled } from "../lib/resources/annotation-readers.ts";
import { glob } from "./authorize.ts";
import type { Toleration } from "./pod.ts";
import type { SidecarSettings } from "./settings.ts";
import { serviceAddress } from "./sidecar-arguments.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export class ConfigError extends Error {}

type Settings = Omit<SidecarSettings, "tokenVolume" | "sentryId">;
type Place = Pick<SidecarSettings, "controlPlaneNamespace" | "clusterDomain">;

const placementPort = 50_005;

/** Throws ConfigError. `clusterDomain` is empty when it is not given. */
export function readSidecarSettings(env: Environment, schedulerEnabled: boolean): { settings: Settings; warnings: readonly string[] } {
  const warnings: string[] = [];
  const place = { controlPlaneNamespace: required(env, "NAMESPACE"), clusterDomain: env["KUBE_CLUSTER_DOMAIN"] ?? "" };
  const settings: Settings = {
    ...place,
    controlPlaneTrustDomain: env["DAPR_CONTROL_PLANE_TRUST_DOMAIN"] || "cluster.local",
    image: required(env, "SIDECAR_IMAGE"),
    imagePullPolicy: pullPolicy(env["SIDECAR_IMAGE_PULL_POLICY"]),
    allowedImages: images(env["ALLOWED_SIDECAR_IMAGES"] ?? ""),
    security: {
      runAsNonRoot: truth(env["SIDECAR_RUN_AS_NON_ROOT"], true),
      runAsUser: id(env["SIDECAR_RUN_AS_USER"], "runAsUser"),
      runAsGroup: id(env["SIDECAR_RUN_AS_GROUP"], "runAsGroup"),
      readOnlyRootFilesystem: truth(env["SIDECAR_READ_ONLY_ROOT_FILESYSTEM"], true),
      dropAllCapabilities: truth(env["SIDECAR_DROP_ALL_CAPABILITIES"], true),
    },
    downwardApis: truth(env["ENABLE_K8S_DOWNWARD_APIS"], false),
    ignoreEntrypointTolerations: tolerations(env["IGNORE_ENTRYPOINT_TOLERATIONS"] ?? "", warnings),
    actors: actors(env, place),
    remindersService: reminders(env, place),
    schedulerEnabled,
    nativeSidecar: truth(env["NATIVE_SIDECAR_AUTO"], false) ? "auto" : native(env["NATIVE_SIDECAR_ENABLED"] ?? ""),
    componentSocketsFolder: env["DAPR_COMPONENT_SOCKETS_FOLDER"] || "/tmp/dapr-components-sockets",
  };
  return { settings: Object.freeze(settings), warnings };
}

/** The settings once the domain of the cluster is known. */
export function inDomain(settings: Settings, clusterDomain: string, env: Environment): Settings {
  const place = { controlPlaneNamespace: settings.controlPlaneNamespace, clusterDomain };
  return Object.freeze({ ...settings, clusterDomain, actors: actors(env, place), remindersService: reminders(env, place) });
}

function required(env: Environment, name: string): string {
  const value = env[name] ?? "";
  if (value === "") throw new ConfigError(`Error getting config: required key ${name} missing value`);
  return value;
}

function pullPolicy(text = "Always"): SidecarSettings["imagePullPolicy"] {
  return text === "Always" || text === "Never" ? text : "IfNotPresent";
}

function images(text: string): ((image: string) => boolean) | null {
  const patterns = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  if (patterns.length === 0) return null;
  try {
    const matchers = patterns.map(glob);
    return (image) => matchers.some((matches) => matches(image));
  } catch (error) {
    throw new ConfigError(`ALLOWED_SIDECAR_IMAGES: ${messageOf(error)}`);
  }
}

function truth(text: string | undefined, fallback: boolean): boolean {
  return text === undefined || text === "" ? fallback : isEnabled(text);
}

function native(text: string): SidecarSettings["nativeSidecar"] {
  if (text === "" || text.trim().toLowerCase() === "auto") return "auto";
  return isEnabled(text) ? "always" : "never";
}

function id(text: string | undefined, what: string): number | null {
  if (text === undefined || text === "") return null;
  const read = readAtoi(text);
  if (!read.ok || read.value < 0)
    throw new ConfigError(`Error getting config: failed to parse ${what}: ${read.ok ? `${text} is negative` : read.reason}`);
  return read.value;
}

function tolerations(text: string, warnings: string[]): readonly Toleration[] {
  if (text === "") return [];
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((item) => typeof item === "object" && item !== null)) return Object.freeze(list as Toleration[]);
    throw new Error("it is no list of objects");
  } catch (error) {
    warnings.push(`Couldn't parse entrypoint tolerations (${text}): ${messageOf(error)}`);
    return [];
  }
}

function actors(env: Environment, place: Place): SidecarSettings["actors"] {
  const name = env["ACTORS_SERVICE_NAME"] ?? "";
  if (!truth(env["ACTORS_ENABLED"], true)) return null;
  if (name === "") return { flag: "--placement-host-address", value: serviceAddress(place, "dapr-placement-server", placementPort) };
  const address = namedService(env["ACTORS_SERVICE_ADDRESS"] ?? "", "actor", place);
  return name === "placement"
    ? { flag: "--placement-host-address", value: address }
    : { flag: "--actors-service", value: `${name}:${address}` };
}

function reminders(env: Environment, place: Place): string | null {
  const name = env["REMINDERS_SERVICE_NAME"] ?? "";
  if (name === "" || name === "default") return null;
  return `${name}:${namedService(env["REMINDERS_SERVICE_ADDRESS"] ?? "", "reminder", place)}`;
}

function namedService(text: string, what: string, place: Place): string {
  const [, service, digits] = /^([^:]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (service !== undefined && port >= 1 && port <= 65_535) return serviceAddress(place, service, port);
  throw new ConfigError(
    `Error getting config: failed to parse configuration: invalid value for ${what} service address: service is not in the correct format '<name>:<port>': ${text}`,
  );
}
