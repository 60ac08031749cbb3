// The pub/sub kind. Delivery is at least once: a handler that resolves acknowledges the message, one that rejects
// gives it back to the broker for redelivery. Semantics are inventory §5.2.
import type { Driver } from "../driver.ts";

/** MESSAGE_TTL: the broker itself drops expired messages, so the envelope carries no `expiration`. */
export type PubSubFeature = "MESSAGE_TTL" | "SUBSCRIBE_WILDCARDS" | "BULK_PUBSUB";

export interface PublishRequest {
  readonly topic: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface BrokerMessage {
  readonly topic: string;
  readonly data: Uint8Array;
  readonly contentType: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Resolves: acknowledged. Rejects: redeliver. `signal` aborts when the subscription is closed without waiting. */
export type MessageHandler = (message: BrokerMessage, signal: AbortSignal) => Promise<void>;

export interface SubscribeRequest {
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface BrokerSubscription {
  /**
   * Drain, in this order: stop fetching, let what is in flight finish, acknowledge it. Resolves when nothing is in
   * flight. What was fetched but not handed to the handler goes back to the broker unharmed, never to a dead letter.
   */
  stop(): Promise<void>;
}

export interface PubSub extends Driver {
  readonly features: readonly PubSubFeature[];
  /** Acknowledged means durable, as far as the broker is. */
  publish(request: PublishRequest, signal: AbortSignal): Promise<void>;
  subscribe(request: SubscribeRequest, handler: MessageHandler, signal: AbortSignal): Promise<BrokerSubscription>;
}
