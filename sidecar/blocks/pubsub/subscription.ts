// Subscriptions in one form, and which of them count (inventory §5.2): of several on the same component and topic the first
// declared one is kept, and one from the app itself replaces it.
import type { DeclaredSubscription, SubscriptionInfo } from "./ports.ts";

export interface Subscription extends SubscriptionInfo {
  readonly bulk: boolean;
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
  return { type: "DECLARATIVE", pubsubName, topic, metadata, deadLetterTopic, rules, bulk: bulkSubscribe.enabled };
}
