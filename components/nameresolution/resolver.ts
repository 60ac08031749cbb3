// The name-resolution kind (inventory §4.2): from an app id to the internal gRPC address of one of its sidecars.
import type { Driver } from "../driver.ts";

export interface Registration {
  readonly appId: string;
  readonly namespace: string;
  /** Advertised address and port of our internal gRPC server. */
  readonly host: string;
  readonly port: number;
}

export interface ResolveRequest {
  readonly appId: string;
  readonly namespace: string;
  /** Our own internal port, for resolvers that only make up a host name. */
  readonly port: number;
}

export interface NameResolver extends Driver {
  /** Announces this sidecar until close(). Drivers that need no announcement resolve at once. */
  register(registration: Registration, signal: AbortSignal): Promise<void>;
  /** All known addresses, `host:port` (IPv6 in brackets). Empty when there is none: the caller retries. */
  resolve(request: ResolveRequest, signal: AbortSignal): Promise<readonly string[]>;
  /** A call to this address failed to connect: forget it and look again next time. */
  invalidate(request: ResolveRequest, address: string): void;
}
