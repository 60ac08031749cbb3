// Where resources come from while the sidecar runs: directories or the operator, one interface for both.
import type { Component } from "../../../lib/resources/component.ts";
import type { HttpEndpoint } from "../../../lib/resources/http-endpoint.ts";
import type { Resiliency } from "../../../lib/resources/resiliency.ts";
import type { Subscription } from "../../../lib/resources/subscription.ts";

/** A Configuration is only compared. */
export interface Named {
  readonly name: string;
}

export interface ResourceByKind {
  readonly Component: Component;
  readonly Subscription: Subscription;
  readonly Configuration: Named;
  readonly HTTPEndpoint: HttpEndpoint;
  readonly Resiliency: Resiliency;
}

export type ResourceKind = keyof ResourceByKind;
export type ChangeType = "CREATED" | "UPDATED" | "DELETED";

/** One resource came, changed or went; of what went only kind and name count. */
export type Change = {
  readonly [K in ResourceKind]: {
    readonly kind: K;
    readonly type: ChangeType;
    readonly name: string;
    readonly resource: ResourceByKind[K];
  };
}[ResourceKind];

/** All resources of some kinds that concern this sidecar; kinds that are absent were not asked for. */
export type Listing = { readonly [K in ResourceKind]?: readonly ResourceByKind[K][] } & {
  /** False when something could not be read: what is missing may then be among it, and is not taken for deleted. */
  readonly complete: boolean;
};

export interface ResourceFeed {
  /** Calls back with every change from now on, and with what Dapr ends a sidecar for; resolves once it watches. */
  watch(onChange: (change: Change | Listing) => void, onFatal: (error: unknown) => void, signal: AbortSignal): Promise<void>;
  /** All that there is, in case a change was missed. Rejects when it cannot be had now. */
  list(signal: AbortSignal): Promise<Listing>;
}

export function isListing(change: Change | Listing): change is Listing {
  return !("type" in change);
}
