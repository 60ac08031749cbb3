// The command line of an injected sidecar: annotations and settings to flags, in Dapr's order. Every value is an argument of
// its own, so that no annotation can add a flag.
import type { AnnotationValues } from "../lib/resources/annotation-rows.ts";
import type { SidecarSettings } from "./settings.ts";

export const sidecarHttpPort = 3500;
/** Health for the kubelet's probes, on all addresses. */
export const sidecarPublicPort = 3501;
/** Where the sidecar's own side of the folder with Unix sockets is. */
export const socketsFolder = "/var/run/dapr-sockets";

export interface ArgumentInputs {
  readonly appId: string;
  readonly annotations: AnnotationValues;
  readonly settings: SidecarSettings;
  readonly mtls: boolean;
}

/** Without the command itself. */
export function sidecarArguments(inputs: ArgumentInputs): string[] {
  return [
    ...baseArguments(inputs),
    ...appArguments(inputs.annotations),
    ...serviceArguments(inputs),
    ...featureArguments(inputs.annotations),
    ...limitArguments(inputs),
    ...lifecycleArguments(inputs),
  ];
}

function baseArguments({ appId, annotations: a, settings }: ArgumentInputs): string[] {
  return [
    ...["--dapr-http-port", String(sidecarHttpPort)],
    ...["--dapr-grpc-port", String(a["grpc-port"])],
    ...["--dapr-internal-grpc-port", String(a["internal-grpc-port"])],
    ...["--dapr-listen-addresses", a["sidecar-listen-addresses"]],
    ...["--dapr-public-port", String(sidecarPublicPort)],
    ...["--app-id", appId],
    ...["--app-protocol", a["app-protocol"]],
    ...["--log-level", a["log-level"]],
    ...["--dapr-graceful-shutdown-seconds", String(a["graceful-shutdown-seconds"])],
    ...["--mode", "kubernetes"],
    ...["--control-plane-address", serviceAddress(settings, "dapr-api", 443)],
    ...["--sentry-address", serviceAddress(settings, "dapr-sentry", 443)],
  ];
}

function appArguments(a: AnnotationValues): string[] {
  return [
    ...(a["app-port"] > 0 ? ["--app-port", String(a["app-port"])] : []),
    ...(a["enable-metrics"] ? ["--enable-metrics", "--metrics-port", String(a["metrics-port"])] : []),
    ...given("--config", a.config),
    ...given("--app-channel-address", a["app-channel-address"]),
  ];
}

function serviceArguments({ annotations: a, settings }: ArgumentInputs): string[] {
  return [
    ...actorsArguments(a["placement-host-address"], settings),
    ...given("--reminders-service", settings.remindersService ?? ""),
    ...given("--sentry-request-jwt-audiences", a["sentry-request-jwt-audiences"]),
  ];
}

/** An address in the pod wins; an empty one means no placement, where another service may still take its place. */
function actorsArguments(placement: string | null, { actors }: SidecarSettings): string[] {
  if (placement !== null && placement !== "") return ["--placement-host-address", placement];
  if (actors === null || (placement === "" && actors.flag === "--placement-host-address")) return [];
  return [actors.flag, actors.value];
}

function featureArguments(a: AnnotationValues): string[] {
  const logging = a["enable-api-logging"];
  return [
    ...(logging === null ? [] : [`--enable-api-logging=${logging}`]),
    ...(a["disable-builtin-k8s-secret-store"] ? ["--disable-builtin-k8s-secret-store"] : []),
    ...(a["enable-app-health-check"] ? healthArguments(a) : []),
    ...some("--app-binding-options-timeout", a["app-binding-options-timeout"]),
    ...(a["log-as-json"] ? ["--log-as-json"] : []),
    ...(a["enable-profiling"] ? ["--enable-profiling"] : []),
  ];
}

function healthArguments(a: AnnotationValues): string[] {
  return [
    "--enable-app-health-check",
    ...["--app-health-check-path", a["app-health-check-path"]],
    ...["--app-health-probe-interval", String(a["app-health-probe-interval"])],
    ...["--app-health-probe-timeout", String(a["app-health-probe-timeout"])],
    ...["--app-health-threshold", String(a["app-health-threshold"])],
  ];
}

function limitArguments({ annotations: a, mtls }: ArgumentInputs): string[] {
  return [
    ...(mtls ? ["--enable-mtls"] : []),
    ...(a["app-ssl"] ? ["--app-ssl"] : []),
    ...some("--app-max-concurrency", a["app-max-concurrency"]),
    ...some("--dapr-http-max-request-size", a["http-max-request-size"]),
    ...given("--max-body-size", a["max-body-size"]),
    ...some("--dapr-http-read-buffer-size", a["http-read-buffer-size"]),
    ...given("--read-buffer-size", a["read-buffer-size"]),
  ];
}

function lifecycleArguments({ annotations: a, settings }: ArgumentInputs): string[] {
  const scheduler = a["scheduler-host-address"];
  const byDefault = settings.schedulerEnabled ? serviceAddress(settings, "dapr-scheduler-server-a", 443) : null;
  return [
    ...(a["unix-domain-socket-path"] === "" ? [] : ["--unix-domain-socket", socketsFolder]),
    ...some("--dapr-block-shutdown-duration", a["block-shutdown-duration"]),
    ...some("--actors-disseminate-timeout", a["actors-disseminate-timeout"]),
    ...some("--scheduler-host-address", scheduler ?? byDefault),
    ...some("--disable-init-endpoints", a["disable-init-endpoints"]),
  ];
}

/** `host:port` of a service of the control plane. */
export function serviceAddress(
  { controlPlaneNamespace, clusterDomain }: Pick<SidecarSettings, "controlPlaneNamespace" | "clusterDomain">,
  service: string,
  port: number,
): string {
  return `${service}.${controlPlaneNamespace}.svc.${clusterDomain}:${port}`;
}

function given(flag: string, value: string): string[] {
  return value === "" ? [] : [flag, value];
}

function some(flag: string, value: string | number | null): string[] {
  return value === null ? [] : [flag, String(value)];
}
