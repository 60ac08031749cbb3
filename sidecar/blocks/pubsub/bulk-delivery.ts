// The way of a bulk of messages from broker to app: each is read, checked for expiry and routed by itself; those of one route go to the app in
// one request, under inbound resiliency that repeats only what failed; then dead letters, again in one request.
// Invariants: 1. every message has an outcome of its own, and no message's failure is another's; 2. while the subscription stops,
// nothing goes to the dead letter topic because of that.
import { randomUUID } from "node:crypto";
import type { BrokerMessage, BulkMessageHandler } from "../../../components/pubsub/broker.ts";
import { rawPayload } from "../../../components/pubsub/request-metadata.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import { type CommonOptions, deadLetterTimeoutMs, prepare } from "./delivery.ts";
import type { Event, Fields } from "./event.ts";
import { type Outcome, RetryError } from "./outcome.ts";

export interface BulkEvent {
  readonly entryId: string;
  readonly event: Event;
  readonly message: BrokerMessage;
}

export interface BulkToApp {
  readonly pubsubName: string;
  /** Without namespace prefix. */
  readonly topic: string;
  readonly path: string;
  /** The payloads go as they are, not as events. */
  readonly raw: boolean;
  readonly entries: readonly BulkEvent[];
}

/** The fields that the request's trace is taken from: the last event's, for one request has but one. Raw payloads have none. */
export function traceSource({ entries, raw }: BulkToApp): Fields {
  return (raw ? undefined : entries.at(-1)?.event.fields) ?? {};
}

/**
 * Hands a bulk to the app. Resolves with the outcome of each entry, by id; an error asks for the entry again. Rejects with a
 * RetryError when the app had nothing to say of any.
 */
export type DeliverBulk = (bulk: BulkToApp, signal: AbortSignal) => Promise<ReadonlyMap<string, Outcome | Error>>;

export interface BulkDeliveryOptions extends CommonOptions {
  readonly topic: string;
  readonly deliverBulk: DeliverBulk;
}

interface Entry {
  readonly entryId: string;
  readonly message: BrokerMessage;
  /** Null until it is settled. */
  outcome: Outcome | null;
  /** Why it is not settled. */
  error: unknown;
}

interface Routed extends Entry {
  readonly event: Event;
}

export function createBulkDelivery(options: BulkDeliveryOptions): BulkMessageHandler {
  return async (messages, signal) => {
    const entries: Entry[] = [];
    const routes = new Map<string, Routed[]>();
    for (const message of messages) entries.push(sort(options, message, routes));
    const startedMs = options.clock.monotonic();
    await Promise.all([...routes].map(([path, routed]) => deliver(options, path, routed, signal)));
    const tookMs = options.clock.monotonic() - startedMs;
    await sendToDeadLetter(options, entries);
    observe(options, entries, tookMs);
    return entries.map(({ outcome, error }) => (outcome === null ? error : null));
  };
}

function observe({ observer, pubsubName, topic }: BulkDeliveryOptions, entries: readonly Entry[], tookMs: number): void {
  if (observer === null) return;
  const events = { success: 0, drop: 0, retry: 0 };
  for (const { outcome } of entries) events[outcome ?? "retry"]++;
  observer.bulkDelivered(pubsubName, topic, events, tookMs);
}

/** Puts the message to the others of its route, unless its way ends here. */
function sort(options: BulkDeliveryOptions, message: BrokerMessage, routes: Map<string, Routed[]>): Entry {
  const entry: Entry = { entryId: randomUUID(), message, outcome: null, error: null };
  try {
    const { event, path } = prepare(options, message, options.topic);
    if (path === null) return { ...entry, outcome: "drop" };
    const routed: Routed = { ...entry, event };
    const others = routes.get(path);
    if (others === undefined) routes.set(path, [routed]);
    else others.push(routed);
    return routed;
  } catch (error) {
    return { ...entry, error };
  }
}

/** Never rejects. */
async function deliver(options: BulkDeliveryOptions, path: string, entries: readonly Routed[], signal: AbortSignal): Promise<void> {
  const { deliverBulk, log, metadata, policies, pubsubName, topic } = options;
  const raw = rawPayload(metadata);
  const policy = policies.inbound(pubsubName, "Pubsub");
  const attempt = async (attemptSignal: AbortSignal) => {
    const open = entries.filter(({ outcome }) => outcome === null);
    const answers = await deliverBulk({ pubsubName, topic, path, raw, entries: open }, attemptSignal);
    // An answer after the policy's time is not one: what it is about may be elsewhere by now.
    if (policy !== null) attemptSignal.throwIfAborted();
    let failure: unknown = null;
    for (const entry of open) {
      const answer = answers.get(entry.entryId) ?? noAnswer(entry.entryId);
      if (answer instanceof Error) failure = entry.error = answer;
      else entry.outcome = answer;
    }
    if (failure !== null) throw new RetryError("few message(s) have failed during bulk subscribe operation", {}, failure);
  };
  try {
    await (policy === null ? attempt(signal) : policy.run(attempt, signal));
  } catch (error) {
    for (const entry of entries) if (entry.outcome === null) entry.error ??= error;
    log.warn(`encountered a retriable error while publishing a subscribed bulk to topic ${topic}, err: ${messageOf(error)}`);
  }
}

function noAnswer(entryId: string): Error {
  return new RetryError(`response not received, RETRY required while processing bulk subscribe event for entry id: ${entryId}`);
}

/** What was dropped or has failed; what cannot be put there goes back to the broker. Never rejects. */
async function sendToDeadLetter(options: BulkDeliveryOptions, entries: readonly Entry[]): Promise<void> {
  const { deadLetterTopic } = options;
  if (deadLetterTopic === "") return;
  const letters = entries.filter(({ outcome }) => outcome === "drop" || (outcome === null && !options.stopping()));
  if (letters.length === 0) return;
  const refused = await publish(options, letters);
  for (const entry of letters) {
    if (!refused.has(entry.entryId)) entry.outcome = "drop";
    else if (entry.outcome !== null) {
      entry.outcome = null;
      entry.error = new RetryError(`failed to send dropped message to dead letter queue for topic ${options.topic}`);
    }
  }
}

/** The ids of what the dead letter topic did not take. Never rejects. */
async function publish(options: BulkDeliveryOptions, letters: readonly Entry[]): Promise<ReadonlySet<string>> {
  const { deadLetterTopic, log, publisher, pubsubName, topic } = options;
  const failed = (error: unknown) =>
    log.error(`error sending message to dead letter, origin topic: ${topic} dead letter topic ${deadLetterTopic} err: ${messageOf(error)}`);
  try {
    const bulk = letters.map(({ entryId, message: { contentType, data, metadata } }) => {
      return { entryId, data, contentType: contentType ?? "", metadata };
    });
    const request = { topic: deadLetterTopic, metadata: {}, entries: bulk };
    const refused = await publisher.bulkPublish(pubsubName, request, AbortSignal.timeout(deadLetterTimeoutMs));
    if (refused[0] !== undefined) failed(refused[0].error);
    return new Set(refused.map(({ entryId }) => entryId));
  } catch (error) {
    failed(error);
    return new Set(letters.map(({ entryId }) => entryId));
  }
}
