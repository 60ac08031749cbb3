// One subscription on one component, from its first try to its drained end. What the broker refuses is tried again, with
// growing pauses, until it succeeds or the subscription ends.
import type { BrokerSubscription, PubSub } from "../../../components/pubsub/broker.ts";
import { sleep } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { Loaded } from "../../contract/ports.ts";
import { createBulkDelivery } from "./bulk-delivery.ts";
import { type CommonOptions, createDelivery } from "./delivery.ts";
import { subscribeGathering } from "./gathering.ts";
import type { PubSubPorts } from "./ports.ts";
import type { Publisher } from "./publisher.ts";
import type { Receiver } from "./receiver.ts";
import { compileRouter } from "./routing.ts";
import type { Subscription } from "./subscription.ts";

/** Between tries to subscribe: the first pause and the longest, growing by half, milliseconds. */
const subscribeAgainFirstMs = 500;
const subscribeAgainMaxMs = 60_000;

export interface ActiveSubscriptionParts {
  readonly ports: PubSubPorts;
  readonly publisher: Publisher;
  readonly log: Logger;
  readonly subscription: Subscription;
  readonly component: Loaded<PubSub>;
  readonly receiver: Receiver;
  /** Aborts when all subscriptions end. */
  readonly signal: AbortSignal;
}

export class ActiveSubscription {
  readonly #parts: ActiveSubscriptionParts;
  readonly #log: Logger;
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  #retrying: Promise<void> = Promise.resolve();
  #broker: BrokerSubscription | null = null;

  constructor(parts: ActiveSubscriptionParts) {
    this.#parts = parts;
    this.#log = parts.log;
    this.#signal = AbortSignal.any([parts.signal, this.#ending.signal]);
  }

  get component(): Loaded<PubSub> {
    return this.#parts.component;
  }

  /** Resolves after the first try; what was refused goes on being tried. Never rejects. */
  async start(): Promise<void> {
    if (this.#signal.aborted) return;
    const { pubsubName, topic } = this.#parts.subscription;
    try {
      await this.open();
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#log.error(`Failed to start subscription for pubsub ${pubsubName}, topic ${topic}: ${messageOf(error)}`);
      if (this.#isAllowed()) this.#retrying = this.#retry();
    }
  }

  /** One try. Rejects with what the scopes or the broker say. */
  async open(): Promise<void> {
    const { pubsubName, topic } = this.#parts.subscription;
    if (!this.#isAllowed()) throw new Error(`subscription to topic '${topic}' on pubsub '${pubsubName}' is not allowed`);
    try {
      await this.#subscribe();
    } catch (error) {
      throw new Error(`failed to subscribe to topic ${topic}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Drains: resolves when nothing is in flight. Never rejects. */
  async stop(): Promise<void> {
    this.#ending.abort(new Error("the subscription is being stopped"));
    await this.#retrying;
    try {
      await this.#broker?.stop();
    } catch (error) {
      this.#log.warn(`failed to stop a subscription: ${messageOf(error)}`);
    }
  }

  #isAllowed(): boolean {
    const { component, publisher, subscription } = this.#parts;
    return publisher.rulesOf(component).maySubscribe(subscription.topic);
  }

  async #retry(): Promise<void> {
    const { clock } = this.#parts.ports;
    const { pubsubName, topic } = this.#parts.subscription;
    let delayMs = subscribeAgainFirstMs;
    while (!this.#signal.aborted) {
      try {
        await sleep(clock, delayMs, this.#signal);
        await this.#subscribe();
        this.#log.info(`Successfully started subscription after retry for pubsub ${pubsubName}, topic ${topic}`);
        return;
      } catch (error) {
        if (this.#signal.aborted) return;
        this.#log.error(`Retry failed for subscription pubsub ${pubsubName}, topic ${topic}: ${messageOf(error)}. Will retry.`);
        delayMs = Math.min(delayMs * 1.5, subscribeAgainMaxMs);
      }
    }
  }

  async #subscribe(): Promise<void> {
    const { ports, publisher, component, receiver, subscription } = this.#parts;
    const { driver } = component;
    const { bulk, metadata } = subscription;
    const request = { topic: publisher.rulesOf(component).atBroker(subscription.topic), metadata };
    const options = await this.#options();
    const { deliver, deliverBulk } = receiver;
    if (bulk === null || deliverBulk === null) {
      this.#broker = await driver.subscribe(request, createDelivery({ ...options, deliver }), this.#signal);
      return;
    }
    const handler = createBulkDelivery({ ...options, topic: subscription.topic, deliverBulk });
    const subscribe = driver.bulkSubscribe?.bind(driver) ?? subscribeGathering(driver, ports.clock);
    this.#broker = await subscribe({ ...request, ...bulk }, handler, this.#signal);
  }

  async #options(): Promise<CommonOptions> {
    const { ports, publisher, component, receiver, subscription } = this.#parts;
    const { deadLetterTopic, metadata, pubsubName } = subscription;
    return {
      pubsubName,
      metadata,
      deadLetterTopic,
      router: await compileRouter(subscription.rules),
      topics: publisher.rulesOf(component),
      publisher,
      policies: ports.policies,
      log: this.#log,
      clock: ports.clock,
      observer: ports.observer,
      stopping: () => this.#signal.aborted || receiver.gone?.aborted === true,
      gone: receiver.gone,
    };
  }
}
