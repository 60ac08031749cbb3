// The pub/sub kind. Delivery is at least once: a handler that resolves acknowledges the message, one that rejects
// gives it back to the broker for redelivery. Semantics are inventory §5.2.
import type { Driver } from "../driver.ts";

/**
 * MESSAGE_TTL: the broker itself drops expired messages, so the envelope carries no `expiration`. BULK_SUBSCRIBE_IMMEDIATE: the broker waits for each
 * acknowledgement, so that messages for a bulk are not gathered but handed on as they come.
 */
export type PubSubFeature = "MESSAGE_TTL" | "SUBSCRIBE_WILDCARDS" | "BULK_PUBSUB" | "BULK_SUBSCRIBE_IMMEDIATE";

export interface PublishRequest {
  readonly topic: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface BulkEntry {
  /** Unique in its request. */
  readonly entryId: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  /** The request's metadata included. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface BulkPublishRequest {
  readonly topic: string;
  readonly entries: readonly BulkEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

export interface FailedEntry {
  readonly entryId: string;
  readonly error: unknown;
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
  /**
   * Messages that the handler gathers before it settles the first: a driver that limits how many it hands over at once raises its limit
   * to this for the subscription, where order does not forbid it. Absent: the handler settles each by itself.
   */
  readonly gathers?: number;
}

/** The outcome of each message, in order: null is acknowledged, anything else says why the message shall come again. */
export type BulkMessageHandler = (messages: readonly BrokerMessage[], signal: AbortSignal) => Promise<readonly unknown[]>;

export interface BulkSubscribeRequest extends SubscribeRequest {
  readonly maxMessages: number;
  /** A bulk that has waited this long since its first message is handed over as it is, milliseconds. */
  readonly maxAwaitMs: number;
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
  /**
   * Several messages in one request to the broker. Resolves with those that it did not take; rejects when it took none. Without it the block
   * publishes them one by one.
   */
  bulkPublish?(request: BulkPublishRequest, signal: AbortSignal): Promise<readonly FailedEntry[]>;
  /** Messages as the broker itself gathers them. Without it the block gathers what `subscribe` delivers. */
  bulkSubscribe?(request: BulkSubscribeRequest, handler: BulkMessageHandler, signal: AbortSignal): Promise<BrokerSubscription>;
}
