// What proxying needs from the rest of the sidecar.
import type { GrpcChannel } from "../../lib/wire/grpc/types.ts";
import type { Authorize } from "../contract/authorize.ts";
import type { App, Identity, Policies } from "../contract/ports.ts";

/** A connection to the sidecar of another app, for one call. */
export interface Remote {
  readonly channel: GrpcChannel;
  /** The call is over. */
  done(): void;
  /** The other end could not be reached or does not know us: the next attempt resolves and dials anew. */
  failed(): void;
}

export interface Remotes {
  /** Rejects when nobody knows the app. */
  reach(app: { readonly appId: string; readonly namespace: string }, signal: AbortSignal): Promise<Remote>;
}

export interface ProxyPorts {
  readonly identity: Identity;
  readonly app: App;
  readonly remotes: Remotes;
  readonly policies: Pick<Policies, "app">;
  /** Asked before a call of another sidecar reaches the app; null: everyone may call everything. */
  readonly authorize: Authorize | null;
  /** --max-body-size, of one message on the wire. */
  readonly maxMessageBytes: number;
}
