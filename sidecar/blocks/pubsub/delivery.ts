// The way of one message from broker to app: read, check expiry, route, deliver under inbound resiliency, dead letter.
// Invariants:
//  1. One message's failure is its own: whatever it holds, it ends in an acknowledgement or a refusal, never in the process.
//  2. While the subscription stops, nothing goes to the dead letter topic because of that: what fails goes back to the broker.
import type { BrokerMessage, MessageHandler } from "../../../components/pubsub/broker.ts";
import { rawPayload } from "../../../components/pubsub/request-metadata.ts";
import type { Clock } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { PubSubObserver } from "../../../lib/telemetry/pubsub-metrics.ts";
import { hasExpired } from "./cloud-event.ts";
import { type Event, readEvent, stringField } from "./event.ts";
import { type Outcome, RetryError } from "./outcome.ts";
import type { PubSubPorts } from "./ports.ts";
import type { Publisher } from "./publisher.ts";
import type { Router } from "./routing.ts";
import type { TopicRules } from "./scopes.ts";

/** A dead letter that the broker does not take in this time is the broker's to deliver again. */
export const deadLetterTimeoutMs = 30_000;

/** Hands an event to the app. Rejects with RetryError. */
export type Deliver = (event: Event, path: string, signal: AbortSignal) => Promise<Outcome>;

export interface CommonOptions {
  readonly pubsubName: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Empty: none. */
  readonly deadLetterTopic: string;
  readonly router: Router;
  readonly topics: TopicRules;
  readonly publisher: Publisher;
  readonly policies: PubSubPorts["policies"];
  readonly log: Logger;
  readonly clock: Clock;
  readonly observer: PubSubObserver | null;
  readonly stopping: () => boolean;
  /** Aborts when the receiver is gone for good, which ends all retries; null: it never is. */
  readonly gone: AbortSignal | null;
}

export interface DeliveryOptions extends CommonOptions {
  readonly deliver: Deliver;
}

type ReadOptions = Pick<CommonOptions, "pubsubName" | "metadata" | "router" | "log" | "clock">;

export function createDelivery(options: DeliveryOptions): MessageHandler {
  const { deadLetterTopic, log, observer, pubsubName } = options;
  const toApp = observer === null ? options.deliver : observed(options.deliver, observer, options.clock);

  const sendToDeadLetter = async (message: BrokerMessage): Promise<boolean> => {
    const { contentType, data, metadata } = message;
    try {
      const letter = { topic: deadLetterTopic, data, contentType: contentType ?? "", metadata };
      await options.publisher.publish(pubsubName, letter, AbortSignal.timeout(deadLetterTimeoutMs));
      return true;
    } catch (error) {
      log.error(
        `error sending message to dead letter, origin topic: ${message.topic} dead letter topic ${deadLetterTopic} err: ${messageOf(error)}`,
      );
      return false;
    }
  };

  /** Resolves when the message is in the dead letter topic; else rejects, so that the broker has it again. */
  const refuse = async (message: BrokerMessage, topic: string, error: unknown): Promise<void> => {
    if (options.stopping()) throw error;
    const dead = deadLetterTopic !== "" && (await sendToDeadLetter(message));
    const processed = dead ? "drop" : "retry";
    observer?.delivered(pubsubName, topic, processed, processed, null);
    if (!dead) throw error;
  };

  /** Not for the app, and no failure either: the message is done with unless its dead letter topic refuses it. */
  const discard = async (message: BrokerMessage): Promise<void> => {
    if (deadLetterTopic === "" || (await sendToDeadLetter(message))) return;
    throw new RetryError(`failed to send dropped message to dead letter queue for topic ${message.topic}`);
  };

  const deliver = async (event: Event, path: string, signal: AbortSignal): Promise<Outcome> => {
    const policy = options.policies.inbound(pubsubName, "Pubsub");
    try {
      if (policy === null) return await toApp(event, path, signal);
      const whileThere = options.gone === null ? signal : AbortSignal.any([signal, options.gone]);
      return await policy.run((attempt) => toApp(event, path, attempt), whileThere);
    } catch (error) {
      const kind = error instanceof RetryError ? "retriable" : "non-retriable";
      const line = `encountered a ${kind} error while publishing a subscribed message to topic ${event.topic}, err: ${messageOf(error)}`;
      if (error instanceof RetryError) log.warn(line);
      else log.error(line);
      throw error;
    }
  };

  return async (message, signal) => {
    const topic = options.topics.fromBroker(message.topic);
    let outcome: Outcome;
    try {
      const { event, expired, path } = prepare(options, message, topic);
      if (path === null) observer?.delivered(pubsubName, topic, "drop", expired ? "drop" : "success", null);
      outcome = path === null ? "drop" : await deliver(event, path, signal);
    } catch (error) {
      return await refuse(message, topic, error);
    }
    if (outcome === "drop") await discard(message);
  };
}

/** Counts and times every attempt. */
function observed(deliver: Deliver, observer: PubSubObserver, clock: Clock): Deliver {
  return async (event, path, signal) => {
    const startedMs = clock.monotonic();
    let outcome: Outcome | "retry" = "retry";
    try {
      outcome = await deliver(event, path, signal);
      return outcome;
    } finally {
      observer.delivered(event.pubsubName, event.topic, outcome, outcome, clock.monotonic() - startedMs);
    }
  };
}

interface Prepared {
  readonly event: Event;
  readonly expired: boolean;
  /** Null: it has expired, or no rule wants it. */
  readonly path: string | null;
}

/** Reads and routes a message. Throws, having logged it, what makes it undeliverable. */
export function prepare(options: ReadOptions, message: BrokerMessage, topic: string): Prepared {
  const event = read(options, message, topic);
  const expired = isOver(options, event);
  return { event, expired, path: expired ? null : route(options, event) };
}

function read(options: ReadOptions, message: BrokerMessage, topic: string): Event {
  const { log, metadata, pubsubName } = options;
  let raw: boolean;
  try {
    raw = rawPayload(metadata);
  } catch (error) {
    log.error(`error deserializing pubsub metadata: ${messageOf(error)}`);
    throw error;
  }
  try {
    return readEvent(message, pubsubName, topic, raw);
  } catch (error) {
    log.error(`error deserializing cloud event in pubsub ${pubsubName} and topic ${topic}: ${messageOf(error)}`);
    throw error;
  }
}

function isOver(options: ReadOptions, event: Event): boolean {
  const { expiration } = event.fields;
  const expired = hasExpired(expiration, options.clock.now());
  if (expired) options.log.warn(`dropping expired pub/sub event ${stringField(event.fields, "id")} as of ${String(expiration)}`);
  return expired;
}

/** Null: no rule matches. */
function route(options: ReadOptions, event: Event): string | null {
  const id = stringField(event.fields, "id");
  try {
    const path = options.router.route(event.fields);
    if (path === null)
      options.log.debug(`no matching route for event ${id} in pubsub ${event.pubsubName} and topic ${event.topic}; skipping`);
    return path;
  } catch (error) {
    options.log.error(
      `error finding matching route for event ${id} in pubsub ${event.pubsubName} and topic ${event.topic}: ${messageOf(error)}`,
    );
    throw error;
  }
}
