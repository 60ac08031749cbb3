// The life of all subscriptions: found, started with the app, brought up to date when resources change, drained. Those that apps open as
// streams live on their own (streams.ts) and are drained with the rest at the end.
// Invariants:
//  1. start(), refresh() and stop() take effect one after the other, in the order in which they were called.
//  2. A subscription that cannot start keeps no other from starting.
//  3. refresh() leaves a subscription alone whose definition and component are the same as before.
import type { PubSub } from "../../../components/pubsub/broker.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { AppChannel, Loaded } from "../../contract/ports.ts";
import { ActiveSubscription } from "./active-subscription.ts";
import { askApp, describeFailure } from "./discovery.ts";
import type { PubSubPorts, SubscriptionInfo, Subscriptions } from "./ports.ts";
import type { Publisher } from "./publisher.ts";
import { appReceiver } from "./receiver.ts";
import type { Streams } from "./streams.ts";
import { mergeSubscriptions, type Subscription } from "./subscription.ts";

/** One run from start() to stop(). */
interface Run {
  readonly channel: AppChannel;
  readonly ending: AbortController;
  /** By everything that defines them. */
  readonly active: Map<string, ActiveSubscription>;
  asked: boolean;
}

export class SubscriptionManager implements Subscriptions {
  readonly #ports: PubSubPorts;
  readonly #publisher: Publisher;
  readonly #streams: Streams;
  readonly #log: Logger;
  /** Null until the app has been asked. */
  #programmatic: readonly Subscription[] | null = null;
  /** Between start() and stop(), also while there is no component to subscribe with. */
  #wanted = false;
  #run: Run | null = null;
  #last: Promise<void> = Promise.resolve();

  constructor(ports: PubSubPorts, publisher: Publisher, streams: Streams) {
    this.#ports = ports;
    this.#publisher = publisher;
    this.#streams = streams;
    this.#log = ports.log.scope("dapr.runtime.processor.subscription");
  }

  list(): readonly SubscriptionInfo[] {
    return [...this.#merged(), ...this.#streams.list()];
  }

  start(): Promise<void> {
    return this.#inTurn(async () => {
      this.#wanted = true;
      if (this.#run === null) await this.#refresh();
    });
  }

  refresh(): Promise<void> {
    return this.#inTurn(async () => {
      await Promise.all([this.#refresh(), this.#streams.refresh()]);
    });
  }

  stop(): Promise<void> {
    // Whatever start() still waits for ends now, not after it.
    this.#run?.ending.abort(new Error("subscriptions are being stopped"));
    return this.#inTurn(() => this.#stop());
  }

  async stopForever(): Promise<void> {
    await Promise.all([this.stop(), this.#streams.stopForever()]);
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(step).catch((error: unknown) => this.#log.error(`subscriptions: ${messageOf(error)}`));
    return this.#last;
  }

  async #refresh(): Promise<void> {
    if (!this.#wanted) return;
    const run = this.#run ?? this.#open();
    if (run === null || run.ending.signal.aborted) return;
    await this.#discover(run);
    const wanted = new Map<string, readonly [Subscription, Loaded<PubSub>]>();
    for (const subscription of this.#merged()) {
      // Subscriptions of unknown components are listed and otherwise left alone, as in Dapr.
      const component = this.#ports.components.get(subscription.pubsubName);
      if (component !== undefined) wanted.set(JSON.stringify(subscription), [subscription, component]);
    }
    const gone = [...run.active].filter(([key, active]) => wanted.get(key)?.[1] !== active.component);
    for (const [key] of gone) run.active.delete(key);
    await Promise.all(gone.map(([, active]) => active.stop()));
    const missing = [...wanted].filter(([key]) => !run.active.has(key));
    await Promise.all(missing.map(([key, [subscription, component]]) => this.#add(run, key, subscription, component)));
  }

  /** Null: nothing to subscribe with. */
  #open(): Run | null {
    if (this.#ports.components.size === 0) return null;
    const { channel } = this.#ports.app;
    if (channel === null) {
      this.#log.warn("app channel not initialized, make sure -app-port is specified if pubsub subscription is required");
      return null;
    }
    this.#run = { channel, ending: new AbortController(), active: new Map(), asked: false };
    return this.#run;
  }

  #add(run: Run, key: string, subscription: Subscription, component: Loaded<PubSub>): Promise<void> {
    const [ports, log] = [this.#ports, this.#log];
    const receiver = appReceiver(run.channel, ports.maxBodyBytes, log);
    const parts = { ports, publisher: this.#publisher, log, receiver, signal: run.ending.signal };
    const active = new ActiveSubscription({ ...parts, subscription, component });
    run.active.set(key, active);
    return active.start();
  }

  async #stop(): Promise<void> {
    this.#wanted = false;
    const run = this.#run;
    if (run === null) return;
    run.ending.abort(new Error("subscriptions are being stopped"));
    await Promise.all([...run.active.values()].map((active) => active.stop()));
    this.#run = null;
  }

  #merged(): readonly Subscription[] {
    return mergeSubscriptions(this.#ports.declared(), this.#programmatic ?? [], this.#ports.identity.appId);
  }

  async #discover(run: Run): Promise<void> {
    if (this.#programmatic !== null || run.asked) return;
    run.asked = true;
    if (!this.#ports.asksApp) {
      this.#log.warn("Skipping programmatic subscription loading (see 'disable-init-endpoints' flag/annotation)");
      this.#programmatic = [];
      return;
    }
    try {
      this.#programmatic = await this.#ask(run.channel, run.ending.signal);
      this.#announce(this.#programmatic);
    } catch (error) {
      if (!run.ending.signal.aborted) this.#log.error(describeFailure(run.channel.protocol, error));
    }
  }

  #ask(channel: AppChannel, signal: AbortSignal): Promise<readonly Subscription[]> {
    const { identity, maxBodyBytes, retries } = this.#ports;
    const ask = () => askApp(channel, identity.appId, this.#log, maxBodyBytes, signal);
    return retries(ask, () => !signal.aborted, signal);
  }

  #announce(subscriptions: readonly Subscription[]): void {
    const topics = new Map<string, string[]>();
    for (const { pubsubName, topic } of subscriptions) topics.set(pubsubName, [...(topics.get(pubsubName) ?? []), topic]);
    for (const [name, list] of topics) {
      this.#log.info(`app is subscribed to the following topics: [[${list.join(" ")}]] through pubsub=${name}`);
    }
  }
}
