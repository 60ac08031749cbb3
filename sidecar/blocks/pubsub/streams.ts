// The subscriptions that apps open as streams. They follow neither the app's health nor the declared subscriptions: each lives as long as
// its stream, on a subscription of its own at the broker, also where several have the same topic. Invariants:
//  1. A stream that ends, for whatever reason, gives what it holds back to the broker.
//  2. At the end of the sidecar a stream stays open until the app has answered what it has, and gets nothing new meanwhile.
import type { PubSub } from "../../../components/pubsub/broker.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { GrpcCode, GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import type { Loaded } from "../../contract/ports.ts";
import { ActiveSubscription } from "./active-subscription.ts";
import { notFound } from "./errors.ts";
import type { PubSubPorts, SubscriptionInfo } from "./ports.ts";
import type { Publisher } from "./publisher.ts";
import { StreamConnection } from "./stream-connection.ts";
import type { Subscription } from "./subscription.ts";

export interface StreamRequest {
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Empty: none. */
  readonly deadLetterTopic: string;
}

export interface OpenStream {
  readonly connection: StreamConnection;
  readonly subscription: Subscription;
}

interface Stream extends OpenStream {
  active: ActiveSubscription;
  closed: boolean;
}

export class Streams {
  readonly #ports: PubSubPorts;
  readonly #publisher: Publisher;
  readonly #log: Logger;
  readonly #ending = new AbortController();
  readonly #streams = new Set<Stream>();
  #opened = 0;

  constructor(ports: PubSubPorts, publisher: Publisher) {
    this.#ports = ports;
    this.#publisher = publisher;
    this.#log = ports.log.scope("dapr.runtime.pubsub.streamer");
  }

  /** Aborts when no stream shall be opened any more. */
  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  list(): readonly SubscriptionInfo[] {
    return [...this.#streams].map(({ subscription }) => subscription);
  }

  /** Rejects with ApiError or GrpcStatusError; the caller closes what it opened. */
  async open({ pubsubName, topic, metadata, deadLetterTopic }: StreamRequest): Promise<OpenStream> {
    if (this.#ending.signal.aborted) throw new GrpcStatusError(GrpcCode.UNAVAILABLE, "subscriber is closed: the sidecar is shutting down");
    const component = this.#ports.components.get(pubsubName);
    if (component === undefined) throw notFound(pubsubName, {});
    const rules = [{ match: "", path: "/" }];
    const subscription: Subscription = { type: "STREAMING", pubsubName, topic, metadata, deadLetterTopic, rules, bulk: null };
    const connection = new StreamConnection(++this.#opened, this.#ports.maxBodyBytes, this.#log);
    const active = this.#subscribe(subscription, connection, component);
    const stream: Stream = { connection, subscription, active, closed: false };
    this.#streams.add(stream);
    try {
      await active.open();
    } catch (error) {
      this.#streams.delete(stream);
      throw new GrpcStatusError(GrpcCode.UNKNOWN, `failed to create subscription for ${pubsubName}: ${messageOf(error)}`);
    }
    this.#log.info(`Subscribing to pubsub '${pubsubName}' topic '${topic}' ConnectionID ${connection.id}`);
    return stream;
  }

  /** The app has left, or the stream has failed. What is in flight goes back to the broker. Never rejects. */
  async close(open: OpenStream): Promise<void> {
    const stream = open as Stream;
    stream.closed = true;
    this.#streams.delete(stream);
    const stopped = stream.active.stop();
    stream.connection.end(null);
    await stopped;
    const { pubsubName, topic } = stream.subscription;
    this.#log.info(`Unsubscribed from pubsub '${pubsubName}' topic '${topic}'`);
  }

  /** Moves streams to components that have changed, and ends those whose component is gone. Never rejects. */
  async refresh(): Promise<void> {
    await Promise.all([...this.#streams].map((stream) => this.#refresh(stream)));
  }

  /** Drains: nothing new goes out, what is out is awaited. Then every stream ends. Never rejects. */
  async stopForever(): Promise<void> {
    this.#ending.abort(new Error("the sidecar is shutting down"));
    await Promise.all([...this.#streams].map((stream) => this.#finish(stream)));
  }

  async #finish(stream: Stream): Promise<void> {
    await stream.active.stop();
    stream.connection.end(new GrpcStatusError(GrpcCode.UNKNOWN, "stream closed"));
  }

  async #refresh(stream: Stream): Promise<void> {
    const { connection, subscription } = stream;
    const component = this.#ports.components.get(subscription.pubsubName);
    if (component === stream.active.component) return;
    await stream.active.stop();
    if (stream.closed) return;
    if (component === undefined) return connection.end(notFound(subscription.pubsubName, {}));
    const active = this.#subscribe(subscription, connection, component);
    stream.active = active;
    try {
      await active.open();
    } catch (error) {
      connection.end(new GrpcStatusError(GrpcCode.UNAVAILABLE, messageOf(error)));
    }
    if (stream.closed) await active.stop();
  }

  #subscribe(subscription: Subscription, connection: StreamConnection, component: Loaded<PubSub>): ActiveSubscription {
    const [ports, publisher, log] = [this.#ports, this.#publisher, this.#log];
    return new ActiveSubscription({ ports, publisher, log, subscription, component, receiver: connection, signal: this.#ending.signal });
  }
}
