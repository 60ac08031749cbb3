// What every driver has in common: how it is made, started and closed. The kinds' own verbs stand in
// state/store.ts, pubsub/broker.ts, secrets/store.ts, nameresolution/resolver.ts.
import type { Clock } from "../lib/kit/clock.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { Properties } from "./metadata.ts";

/** Everything a driver may know of its surroundings. Drivers never read process.env or the sidecar. */
export interface DriverContext {
  /** The component's name and its type string, e.g. `state.sqlite`. */
  readonly name: string;
  readonly type: string;
  readonly version: string;
  /** The component's metadata, secrets resolved; keys are case-insensitive. */
  readonly properties: Properties;
  readonly appId: string;
  readonly namespace: string;
  /** Unique to this sidecar process. */
  readonly instanceId: string;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface Driver {
  /** Connects and prepares. Rejects with the cause; the loader adds component name and remedy and obeys initTimeout through `signal`. */
  init(signal: AbortSignal): Promise<void>;
  /** Releases everything; called once, after the last verb has settled. */
  close(): Promise<void>;
  /** Cheap liveness of what stands behind the driver. */
  ping?(signal: AbortSignal): Promise<void>;
}

/** Each driver module exports `create`; a row of registry.ts imports it lazily. */
export interface DriverModule<D extends Driver> {
  create(context: DriverContext): D;
}
