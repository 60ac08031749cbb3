// One subscription on one component, from its first try to its drained end. What the broker refuses is tried again, with
// growing pauses, until it succeeds or the subscription ends.
import type { BrokerSubscription, PubSub } from "../../../components/pubsub/broker.ts";
import { sleep } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { AppChannel, Loaded } from "../../contract/ports.ts";
import { deliverGrpc } from "./deliver-grpc.ts";
import { deliverHttp } from "./deliver-http.ts";
import { createDelivery, type Deliver } from "./delivery.ts";
import type { PubSubPorts } from "./ports.ts";
import type { Publisher } from "./publisher.ts";
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
  readonly channel: AppChannel;
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
    const refusal = this.#refusal();
    if (refusal !== null) {
      this.#log.error(`Failed to start subscription for pubsub ${pubsubName}, topic ${topic}: ${refusal}`);
      return;
    }
    try {
      await this.#subscribe();
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#log.error(
        `Failed to start subscription for pubsub ${pubsubName}, topic ${topic}: failed to subscribe to topic ${topic}: ${messageOf(error)}`,
      );
      this.#retrying = this.#retry();
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

  /** Why trying is no use, or null. */
  #refusal(): string | null {
    const { publisher, component } = this.#parts;
    const { bulk, pubsubName, topic } = this.#parts.subscription;
    if (!publisher.rulesOf(component).maySubscribe(topic))
      return `subscription to topic '${topic}' on pubsub '${pubsubName}' is not allowed`;
    return bulk ? "bulkSubscribe is not supported by this version; remove it to receive the messages one by one" : null;
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
    const { ports, publisher, component, subscription } = this.#parts;
    const { clock, policies } = ports;
    const { deadLetterTopic, metadata, pubsubName, topic } = subscription;
    const router = await compileRouter(subscription.rules);
    const topics = publisher.rulesOf(component);
    const handler = createDelivery({
      pubsubName,
      metadata,
      deadLetterTopic,
      router,
      topics,
      deliver: this.#deliver(),
      publisher,
      policies,
      log: this.#log,
      now: () => clock.now(),
      stopping: () => this.#signal.aborted,
    });
    this.#broker = await component.driver.subscribe({ topic: topics.atBroker(topic), metadata }, handler, this.#signal);
  }

  #deliver(): Deliver {
    const { channel, ports } = this.#parts;
    const { grpc } = channel;
    const log = this.#log.scope(`dapr.runtime.processor.pubsub.subscription.${grpc === null ? "http" : "grpc"}`);
    if (grpc !== null) return (event, path, signal) => deliverGrpc(grpc, event, path, log, signal);
    return (event, path, signal) => deliverHttp(channel, event, path, log, ports.maxBodyBytes, signal);
  }
}
