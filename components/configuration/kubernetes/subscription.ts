// One subscriber to a ConfigMap: told one call at a time; what changes meanwhile waits by key, the newest value of each.
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { ConfigurationHandler, ConfigurationItem, ConfigurationSubscription } from "../store.ts";
import { type Items, picked } from "./config-map.ts";

export interface SubscriptionOptions {
  /** Empty: all. */
  readonly keys: readonly string[];
  readonly handler: ConfigurationHandler;
  readonly log: Logger;
  readonly ended: (subscription: KubernetesSubscription) => void;
}

export class KubernetesSubscription implements ConfigurationSubscription {
  readonly #options: SubscriptionOptions;
  readonly #stopping = new AbortController();
  #waiting = new Map<string, ConfigurationItem>();
  #telling: Promise<void> | null = null;

  constructor(options: SubscriptionOptions) {
    this.#options = options;
  }

  tell(changed: Items): void {
    for (const [key, item] of picked(changed, this.#options.keys)) this.#waiting.set(key, item);
    if (this.#waiting.size === 0 || this.#telling !== null || this.#stopping.signal.aborted) return;
    this.#telling = this.#tellAll().finally(() => {
      this.#telling = null;
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the subscription is stopped"));
    this.#options.ended(this);
    await this.#telling;
  }

  /** Never rejects. */
  async #tellAll(): Promise<void> {
    const { handler, log } = this.#options;
    const { signal } = this.#stopping;
    while (this.#waiting.size > 0 && !signal.aborted) {
      const items = this.#waiting;
      this.#waiting = new Map();
      try {
        await handler(items, signal);
      } catch (error) {
        log.error(`fail to call handler to notify event for configuration update subscribe: ${messageOf(error)}`);
      }
    }
  }
}
