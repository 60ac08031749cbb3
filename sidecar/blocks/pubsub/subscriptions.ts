// The life of all subscriptions: found, started with the app, tried again where the broker refuses, drained.
// Invariants:
//  1. start() and stop() take effect one after the other, in the order in which they were called.
//  2. A subscription that cannot start keeps no other from starting.
import type { BrokerSubscription, PubSub } from "../../../components/pubsub/broker.ts";
import { sleep } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { AppChannel, Loaded } from "../../contract/ports.ts";
import { deliverGrpc } from "./deliver-grpc.ts";
import { deliverHttp } from "./deliver-http.ts";
import { createDelivery, type Deliver } from "./delivery.ts";
import { askApp, describeFailure } from "./discovery.ts";
import type { PubSubPorts, SubscriptionInfo, Subscriptions } from "./ports.ts";
import type { Publisher } from "./publisher.ts";
import { compileRouter } from "./routing.ts";
import { mergeSubscriptions, type Subscription } from "./subscription.ts";

/** Dapr's initialization retries: three more tries of the question, milliseconds before each. */
const askAgainAfterMs = [500, 750, 1000];
/** Between tries to subscribe: the first pause and the longest, growing by half, milliseconds. */
const subscribeAgainFirstMs = 500;
const subscribeAgainMaxMs = 60_000;

/** One run from start() to stop(). */
interface Run {
  readonly ending: AbortController;
  readonly active: Set<BrokerSubscription>;
  readonly retries: Set<Promise<void>>;
}

export class SubscriptionManager implements Subscriptions {
  readonly #ports: PubSubPorts;
  readonly #publisher: Publisher;
  readonly #log: Logger;
  /** Null until the app has been asked. */
  #programmatic: readonly Subscription[] | null = null;
  #run: Run | null = null;
  #last: Promise<void> = Promise.resolve();

  constructor(ports: PubSubPorts, publisher: Publisher) {
    this.#ports = ports;
    this.#publisher = publisher;
    this.#log = ports.log.scope("dapr.runtime.processor.subscription");
  }

  list(): readonly SubscriptionInfo[] {
    return this.#merged();
  }

  start(): Promise<void> {
    return this.#inTurn(() => this.#start());
  }

  stop(): Promise<void> {
    // Whatever start() still waits for ends now, not after it.
    this.#run?.ending.abort(new Error("subscriptions are being stopped"));
    return this.#inTurn(() => this.#stop());
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(step).catch((error: unknown) => this.#log.error(`subscriptions: ${messageOf(error)}`));
    return this.#last;
  }

  async #start(): Promise<void> {
    if (this.#run !== null || this.#ports.components.size === 0) return;
    const { channel } = this.#ports.app;
    if (channel === null) {
      this.#log.warn("app channel not initialized, make sure -app-port is specified if pubsub subscription is required");
      return;
    }
    const run: Run = { ending: new AbortController(), active: new Set(), retries: new Set() };
    this.#run = run;
    await this.#discover(channel, run.ending.signal);
    await Promise.all(this.#merged().map((subscription) => this.#startOne(subscription, channel, run)));
  }

  async #stop(): Promise<void> {
    const run = this.#run;
    if (run === null) return;
    run.ending.abort(new Error("subscriptions are being stopped"));
    await Promise.all(run.retries);
    await Promise.all([...run.active].map((subscription) => this.#drain(subscription)));
    this.#run = null;
  }

  async #drain(subscription: BrokerSubscription): Promise<void> {
    try {
      await subscription.stop();
    } catch (error) {
      this.#log.warn(`failed to stop a subscription: ${messageOf(error)}`);
    }
  }

  #merged(): readonly Subscription[] {
    return mergeSubscriptions(this.#ports.declared(), this.#programmatic ?? [], this.#ports.identity.appId);
  }

  async #discover(channel: AppChannel, signal: AbortSignal): Promise<void> {
    if (this.#programmatic !== null) return;
    if (!this.#ports.asksApp) {
      this.#log.warn("Skipping programmatic subscription loading (see 'disable-init-endpoints' flag/annotation)");
      this.#programmatic = [];
      return;
    }
    try {
      this.#programmatic = await this.#ask(channel, signal);
      this.#announce(this.#programmatic);
    } catch (error) {
      if (!signal.aborted) this.#log.error(describeFailure(channel.protocol, error));
    }
  }

  async #ask(channel: AppChannel, signal: AbortSignal): Promise<readonly Subscription[]> {
    const { clock, identity, maxBodyBytes } = this.#ports;
    for (let attempt = 0; ; attempt++) {
      try {
        return await askApp(channel, identity.appId, this.#log, maxBodyBytes, signal);
      } catch (error) {
        const delayMs = askAgainAfterMs[attempt];
        if (delayMs === undefined || signal.aborted) throw error;
        await sleep(clock, delayMs, signal);
      }
    }
  }

  #announce(subscriptions: readonly Subscription[]): void {
    const topics = new Map<string, string[]>();
    for (const { pubsubName, topic } of subscriptions) topics.set(pubsubName, [...(topics.get(pubsubName) ?? []), topic]);
    for (const [name, list] of topics) {
      this.#log.info(`app is subscribed to the following topics: [[${list.join(" ")}]] through pubsub=${name}`);
    }
  }

  async #startOne(subscription: Subscription, channel: AppChannel, run: Run): Promise<void> {
    const { components } = this.#ports;
    const { pubsubName, topic } = subscription;
    // Subscriptions of unknown components are listed and otherwise left alone, as in Dapr.
    const component = components.get(pubsubName);
    if (component === undefined || run.ending.signal.aborted) return;
    const refusal = this.#refusal(subscription, component);
    if (refusal !== null) {
      this.#log.error(`Failed to start subscription for pubsub ${pubsubName}, topic ${topic}: ${refusal}`);
      return;
    }
    try {
      await this.#subscribe(subscription, component, channel, run);
    } catch (error) {
      if (run.ending.signal.aborted) return;
      this.#log.error(
        `Failed to start subscription for pubsub ${pubsubName}, topic ${topic}: failed to subscribe to topic ${topic}: ${messageOf(error)}`,
      );
      const retry = this.#retry(subscription, component, channel, run);
      run.retries.add(retry);
      void retry.finally(() => run.retries.delete(retry));
    }
  }

  /** Why trying is no use, or null. */
  #refusal(subscription: Subscription, component: Loaded<PubSub>): string | null {
    const { bulk, pubsubName, topic } = subscription;
    if (!this.#publisher.rulesOf(component).maySubscribe(topic))
      return `subscription to topic '${topic}' on pubsub '${pubsubName}' is not allowed`;
    return bulk ? "bulkSubscribe is not supported by this version; remove it to receive the messages one by one" : null;
  }

  /** Never rejects; ends when it has succeeded or the run ends. */
  async #retry(subscription: Subscription, component: Loaded<PubSub>, channel: AppChannel, run: Run): Promise<void> {
    const { clock } = this.#ports;
    const { pubsubName, topic } = subscription;
    let delayMs = subscribeAgainFirstMs;
    while (!run.ending.signal.aborted) {
      try {
        await sleep(clock, delayMs, run.ending.signal);
        await this.#subscribe(subscription, component, channel, run);
        this.#log.info(`Successfully started subscription after retry for pubsub ${pubsubName}, topic ${topic}`);
        return;
      } catch (error) {
        if (run.ending.signal.aborted) return;
        this.#log.error(`Retry failed for subscription pubsub ${pubsubName}, topic ${topic}: ${messageOf(error)}. Will retry.`);
        delayMs = Math.min(delayMs * 1.5, subscribeAgainMaxMs);
      }
    }
  }

  async #subscribe(subscription: Subscription, component: Loaded<PubSub>, channel: AppChannel, run: Run): Promise<void> {
    const { clock, policies } = this.#ports;
    const { deadLetterTopic, metadata, pubsubName, topic } = subscription;
    const router = await compileRouter(subscription.rules);
    const topics = this.#publisher.rulesOf(component);
    const handler = createDelivery({
      pubsubName,
      metadata,
      deadLetterTopic,
      router,
      topics,
      deliver: this.#deliver(channel),
      publisher: this.#publisher,
      policies,
      log: this.#log,
      now: () => clock.now(),
      stopping: () => run.ending.signal.aborted,
    });
    run.active.add(await component.driver.subscribe({ topic: topics.atBroker(topic), metadata }, handler, run.ending.signal));
  }

  #deliver(channel: AppChannel): Deliver {
    const { maxBodyBytes } = this.#ports;
    const { grpc } = channel;
    const log = this.#log.scope(`dapr.runtime.processor.pubsub.subscription.${grpc === null ? "http" : "grpc"}`);
    if (grpc !== null) return (event, path, signal) => deliverGrpc(grpc, event, path, log, signal);
    return (event, path, signal) => deliverHttp(channel, event, path, log, maxBodyBytes, signal);
  }
}
