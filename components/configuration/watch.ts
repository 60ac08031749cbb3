// One subscription to configuration: what its subscriber knows, which keys may have changed since, and the telling, one call at a time. Drivers say
// `touch(key)` or `touchAll()` when something may have happened, however often; only what really changed is told, so events may be
// doubled, late or about nothing, and an outage is bridged by looking at everything again.
// Invariants:
//  1. After the last change of a key its subscriber is told its newest value at least once, as long as it can be read.
//  2. What waits to be told is a set of keys: a flood of changes to few keys needs little memory.
import { type Clock, sleep } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { ConfigurationHandler, ConfigurationItem, ConfigurationItems, ConfigurationSubscription } from "./store.ts";

export interface WatchOptions {
  /** Empty: all. */
  readonly keys: readonly string[];
  readonly handler: ConfigurationHandler;
  /** Reads these keys; empty: all. Missing ones are left out. */
  readonly read: (keys: readonly string[], signal: AbortSignal) => Promise<ConfigurationItems>;
  /** Ends the driver's telling. */
  readonly unlisten: () => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Logger;
}

const readAgainMs = 500;
const readAgainMaxMs = 10_000;
const gone: ConfigurationItem = Object.freeze({ value: "", version: "", metadata: Object.freeze({}) });

export class Watch implements ConfigurationSubscription {
  readonly #options: WatchOptions;
  readonly #keys: ReadonlySet<string>;
  readonly #stopping = new AbortController();
  #known = new Map<string, ConfigurationItem>();
  readonly #touched = new Set<string>();
  #touchedAll = false;
  #telling: Promise<void> | null = null;
  #started = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#keys = new Set(options.keys);
  }

  /** Learns what is there now. Call it once changes are heard; those that come meanwhile are told after it. */
  async start(signal: AbortSignal): Promise<void> {
    this.#known = new Map(await this.#options.read(this.#options.keys, signal));
    this.#started = true;
    this.#tell();
  }

  touch(key: string): void {
    if (this.#keys.size > 0 && !this.#keys.has(key)) return;
    this.#touched.add(key);
    this.#tell();
  }

  touchAll(): void {
    this.#touchedAll = true;
    this.#tell();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the subscription is stopped"));
    // Not waited for: without a connection that would be as long as the outage, and what is still heard is no longer told.
    this.#options.unlisten().catch((error: unknown) => {
      this.#options.log.debug(`the store was not told that a subscription ended: ${messageOf(error)}`);
    });
    await this.#telling;
  }

  #tell(): void {
    if (!this.#started || this.#telling !== null || this.#stopping.signal.aborted) return;
    this.#telling = this.#tellAll().finally(() => {
      this.#telling = null;
      if (this.#touchedAll || this.#touched.size > 0) this.#tell();
    });
  }

  /** Never rejects. */
  async #tellAll(): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted && (this.#touchedAll || this.#touched.size > 0); ) {
      const keys = this.#touchedAll ? null : [...this.#touched];
      this.#touchedAll = false;
      this.#touched.clear();
      try {
        await this.#handle(await this.#changes(keys));
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (failures++ === 0) this.#options.log.warn(`changed configuration cannot be read, will try again: ${messageOf(error)}`);
        if (keys === null) this.#touchedAll = true;
        else for (const key of keys) this.#touched.add(key);
        await sleep(this.#options.clock, Math.min(readAgainMaxMs, readAgainMs * 2 ** Math.min(failures - 1, 10)), signal).catch(() => {});
      }
    }
  }

  /** `keys` null: whatever this subscription is about. */
  async #changes(keys: readonly string[] | null): Promise<Map<string, ConfigurationItem>> {
    const now = await this.#options.read(keys ?? this.#options.keys, this.#stopping.signal);
    const changed = new Map<string, ConfigurationItem>();
    for (const [key, item] of now) {
      const known = this.#known.get(key);
      if (known?.value !== item.value || known.version !== item.version) changed.set(key, item);
    }
    for (const key of keys ?? this.#known.keys()) if (this.#known.has(key) && !now.has(key)) changed.set(key, gone);
    for (const [key, item] of changed) {
      if (item === gone) this.#known.delete(key);
      else this.#known.set(key, item);
    }
    return changed;
  }

  async #handle(changed: ConfigurationItems): Promise<void> {
    if (changed.size === 0 || this.#stopping.signal.aborted) return;
    try {
      await this.#options.handler(changed, this.#stopping.signal);
    } catch (error) {
      this.#options.log.error(`fail to call handler to notify event for configuration update subscribe: ${messageOf(error)}`);
    }
  }
}
