// Retries that are there without any resource, under names by which a resource may replace them.
import type { RetryPlan } from "./backoff.ts";

export type BuiltInName = "DaprBuiltInServiceRetries" | "DaprBuiltInInitializationRetries";

/** Fewer retries than this an override cannot ask for; unlimited counts as fewer, as in Dapr. */
export const overrideRetriesMin = 3;

const everySecond: RetryPlan = Object.freeze({
  kind: "constant",
  delayMs: 1000,
  maxDelayMs: 1000,
  maxRetries: 3,
  maxElapsedMs: 0,
  http: null,
  grpc: null,
});

export const builtInRetries: Readonly<Record<BuiltInName, RetryPlan>> = Object.freeze({
  DaprBuiltInServiceRetries: everySecond,
  DaprBuiltInInitializationRetries: Object.freeze({
    kind: "exponential",
    delayMs: 500,
    maxDelayMs: 1000,
    maxRetries: 3,
    maxElapsedMs: 10_000,
    http: null,
    grpc: null,
  }),
});

/** Of actors; their retries come with them, their names mean something already. */
const ofActors: readonly string[] = ["DaprBuiltInActorRetries", "DaprBuiltInActorReminderRetries"];

export function isBuiltIn(name: string): boolean {
  return name in builtInRetries || ofActors.includes(name);
}

/** No resource may replace this one. */
export const protectedName = "DaprBuiltInActorNotFoundRetries";
