// The settings that a sidecar takes unchanged from `outrigger run` flags or from a run template: one row says the flag's
// name, the template's field and daprd's flag. Everything here is shared by both ways of running.
import type { FlagSpec } from "../flags.ts";

export interface Setting extends FlagSpec {
  /** The field of a run template (`common` and `apps[]`); aliases of older templates come after it. */
  readonly fields: readonly string[];
  /** daprd's flag, where it is not the same as ours. */
  readonly daprd?: string;
  /** Port that is appended when the address has none. */
  readonly defaultPort?: number;
  /** daprd takes it without a value. */
  readonly bare?: boolean;
}

export const settings: readonly Setting[] = [
  {
    name: "app-protocol",
    short: "P",
    kind: "string",
    fields: ["appProtocol"],
    help: "Protocol of the app: http, https, h2c, grpc or grpcs",
  },
  { name: "app-channel-address", kind: "string", fields: ["appChannelAddress"], help: "Network address the app listens on" },
  { name: "app-max-concurrency", kind: "number", fields: ["appMaxConcurrency"], help: "Limit of calls in the app at one time" },
  { name: "app-ssl", kind: "boolean", fields: ["appSSL"], bare: true, hidden: true, help: "Deprecated: use --app-protocol https or grpcs" },
  { name: "log-level", kind: "string", fields: ["logLevel"], help: "debug, info, warn, error or fatal" },
  { name: "enable-profiling", kind: "boolean", fields: ["enableProfiling"], bare: true, help: "Enable profiling on --profile-port" },
  { name: "enable-api-logging", kind: "boolean", fields: ["enableApiLogging"], bare: true, help: "Log every API call" },
  { name: "max-body-size", kind: "string", fields: ["maxBodySize"], help: "Largest request body, e.g. 4Mi" },
  { name: "read-buffer-size", kind: "string", fields: ["readBufferSize"], help: "Largest request header, e.g. 4Ki" },
  {
    name: "dapr-http-max-request-size",
    kind: "number",
    fields: ["daprHTTPMaxRequestSize"],
    hidden: true,
    help: "Deprecated: use --max-body-size",
  },
  {
    name: "dapr-http-read-buffer-size",
    kind: "number",
    fields: ["daprHTTPReadBufferSize"],
    hidden: true,
    help: "Deprecated: use --read-buffer-size",
  },
  {
    name: "placement-host-address",
    kind: "string",
    fields: ["placementHostAddress"],
    defaultPort: 50005,
    help: "Address of the placement service",
  },
  {
    name: "scheduler-host-address",
    kind: "string",
    fields: ["schedulerHostAddress"],
    defaultPort: 50006,
    help: "Address of the scheduler service",
  },
  { name: "dapr-listen-addresses", kind: "string", fields: ["apiListenAddresses"], help: "Addresses the sidecar's APIs listen on" },
  {
    name: "unix-domain-socket",
    short: "u",
    kind: "string",
    fields: ["unixDomainSocket"],
    help: "Folder for Unix sockets that replace the API ports",
  },
  { name: "enable-app-health-check", kind: "boolean", fields: ["enableAppHealthCheck"], bare: true, help: "Probe the app's health" },
  { name: "app-health-check-path", kind: "string", fields: ["appHealthCheckPath"], help: "Path of the health probe" },
  { name: "app-health-probe-interval", kind: "number", fields: ["appHealthProbeInterval"], help: "Seconds between health probes" },
  { name: "app-health-probe-timeout", kind: "number", fields: ["appHealthProbeTimeout"], help: "Milliseconds a health probe may take" },
  {
    name: "app-health-threshold",
    kind: "number",
    fields: ["appHealthThreshold"],
    help: "Failed probes in a row that make the app unhealthy",
  },
];

/** `host` with `port` appended when it has none; every item of a comma list. */
export function withPort(addresses: string, port: number): string {
  return addresses
    .split(",")
    .map((address) => address.trim())
    .filter((address) => address !== "")
    .map((address) => (/^(\[[^\]]*\]|[^:]*):\d+$/.test(address) ? address : `${address}:${port}`))
    .join(",");
}
