// Subscriptions in one form, and which of them count (inventory §5.2): of several on the same component and topic the first
// declared one is kept, and one from the app itself replaces it.
import type { BulkSettings, DeclaredSubscription, SubscriptionInfo } from "./ports.ts";

export interface Bulk {
  readonly maxMessages: number;
  /** Since the first message of a bulk. */
  readonly maxAwaitMs: number;
}

export interface Subscription extends SubscriptionInfo {
  /** Null: messages go to the app one by one. */
  readonly bulk: Bulk | null;
}

const bulkDefault: Bulk = { maxMessages: 100, maxAwaitMs: 1000 };
/** Beyond these a bulk is larger than any app takes, and its first message older than any broker waits. */
const bulkMax: Bulk = { maxMessages: 10_000, maxAwaitMs: 3_600_000 };

export function bulkOf({ enabled, maxMessagesCount, maxAwaitDurationMs }: BulkSettings): Bulk | null {
  if (!enabled) return null;
  const limited = (value: number, fallback: number, max: number) => (value > 0 ? Math.min(value, max) : fallback);
  return {
    maxMessages: limited(maxMessagesCount, bulkDefault.maxMessages, bulkMax.maxMessages),
    maxAwaitMs: limited(maxAwaitDurationMs, bulkDefault.maxAwaitMs, bulkMax.maxAwaitMs),
  };
}

/** In the order in which they are listed. */
export function mergeSubscriptions(
  declared: readonly DeclaredSubscription[],
  programmatic: readonly Subscription[],
  appId: string,
): readonly Subscription[] {
  const kept = new Map<string, Subscription>();
  for (const { scopes, ...subscription } of declared) {
    const key = keyOf(subscription);
    if ((scopes.length > 0 && !scopes.includes(appId)) || kept.has(key)) continue;
    kept.set(key, fromDeclared(subscription));
  }
  for (const subscription of programmatic) kept.set(keyOf(subscription), subscription);
  return [...kept.values()];
}

function keyOf(subscription: { readonly pubsubName: string; readonly topic: string }): string {
  return JSON.stringify([subscription.pubsubName, subscription.topic]);
}

function fromDeclared(declared: Omit<DeclaredSubscription, "scopes">): Subscription {
  const { bulkSubscribe, deadLetterTopic, metadata, pubsubName, rules, topic } = declared;
  return { type: "DECLARATIVE", pubsubName, topic, metadata, deadLetterTopic, rules, bulk: bulkOf(bulkSubscribe) };
}
