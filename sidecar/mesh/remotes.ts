// The sidecars of other apps: an address by the resolver, a kept connection to it. What could not be reached is forgotten
// in both, so that the next attempt resolves and dials anew.
import type { NameResolver } from "../../components/nameresolution/resolver.ts";
import type { Clock } from "../../lib/kit/clock.ts";
import type { GrpcChannel } from "../../lib/wire/grpc/types.ts";
import { AddressBook } from "./address-book.ts";
import { Connections, type ConnectPeer } from "./connections.ts";

export interface RemotePorts {
  readonly resolver: NameResolver;
  /** Our own internal port, for resolvers that only make up a host name. */
  readonly internalPort: number;
  readonly connect: ConnectPeer;
  readonly clock: Clock;
}

/** A connection to an app's sidecar, for one call. */
export interface Remote {
  readonly channel: GrpcChannel;
  /** The call is over. */
  done(): void;
  /** The other end could not be reached or does not know us. */
  failed(): void;
}

export class Remotes {
  readonly #ports: RemotePorts;
  readonly #addresses: AddressBook;
  readonly #connections: Connections;

  constructor(ports: RemotePorts) {
    this.#ports = ports;
    this.#addresses = new AddressBook(ports.resolver, ports.clock);
    this.#connections = new Connections(ports.connect, ports.clock);
  }

  /** Rejects with the resolver's error, or when it knows no address. */
  async reach(app: { readonly appId: string; readonly namespace: string }, signal: AbortSignal): Promise<Remote> {
    const { appId, namespace } = app;
    const target = { appId, namespace, port: this.#ports.internalPort };
    const address = await this.#addresses.pick(target, signal);
    const { channel, done } = this.#connections.use({ address, appId, namespace });
    const failed = () => {
      this.#connections.drop(address);
      this.#addresses.drop(target, address);
    };
    return { channel, done, failed };
  }

  close(): Promise<void> {
    return this.#connections.close();
  }
}
