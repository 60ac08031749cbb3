// Where the servers listen, from the flags.
import type { ListenAddress } from "../lib/wire/listener.ts";
import type { SidecarConfig } from "./sidecar-config.ts";

/** `[::1]` as Dapr's users write it is `::1` to the system. */
function bare(host: string): string {
  const trimmed = host.trim();
  return trimmed.startsWith("[") && trimmed.endsWith("]") ? trimmed.slice(1, -1) : trimmed;
}

export function publicApiAddresses(config: SidecarConfig, protocol: "http" | "grpc"): readonly ListenAddress[] {
  const { unixDomainSocket, appId, listenAddresses } = config;
  if (unixDomainSocket !== null) return [{ path: `${unixDomainSocket}/dapr-${appId}-${protocol}.socket` }];
  const port = protocol === "http" ? config.httpPort : config.grpcPort;
  return listenAddresses.map((host) => ({ host: bare(host), port }));
}

export function internalAddress(config: SidecarConfig, port: number): ListenAddress {
  return { host: bare(config.internalGrpcListenAddress), port };
}

export function probesAddress(config: SidecarConfig): ListenAddress | null {
  return config.publicPort === null ? null : { host: bare(config.publicListenAddress), port: config.publicPort };
}

/** What other sidecars are told: a loopback listen address is reachable under no other name. */
export function advertisedHost(config: SidecarConfig, hostAddress: string): string {
  return ["127.0.0.1", "localhost", "[::1]"].includes(config.internalGrpcListenAddress) ? config.internalGrpcListenAddress : hostAddress;
}
