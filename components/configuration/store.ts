// The configuration kind (inventory §5.5): values under keys, each with a version, and word of their changes. Drivers only read; whoever
// writes does so by the store's own means. conformance.ts is what every driver must pass.
import type { Driver } from "../driver.ts";

export interface ConfigurationItem {
  /** Empty in an update: the key is gone. */
  readonly value: string;
  /** Empty where the store or the writer keeps none. */
  readonly version: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export type ConfigurationItems = ReadonlyMap<string, ConfigurationItem>;

export interface ConfigurationRequest {
  /** Empty: all keys. */
  readonly keys: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Called with what changed, one call at a time per subscription; the next waits, and a key that changes meanwhile comes once, with its newest value.
 * A rejection is logged; the update is not repeated. `signal` aborts when the subscription is closed without waiting.
 */
export type ConfigurationHandler = (items: ConfigurationItems, signal: AbortSignal) => Promise<void>;

export interface ConfigurationSubscription {
  /** No more updates; resolves when the handler is not running. */
  stop(): Promise<void>;
}

export interface ConfigurationStore extends Driver {
  /** The items that exist; missing keys are left out. */
  get(request: ConfigurationRequest, signal: AbortSignal): Promise<ConfigurationItems>;
  /**
   * Resolves when every change from now on will be told, after the call: also those that happened while the store could not be reached, as far as
   * they still show. What was there before is not told.
   */
  subscribe(request: ConfigurationRequest, handler: ConfigurationHandler, signal: AbortSignal): Promise<ConfigurationSubscription>;
}
