// The CRD of timeouts, retries and circuit breakers.
import type { CrdSource } from "./definition.ts";
import { integer, map, object, plainText, type Schema, scopes, text } from "./schema.ts";

const names: Readonly<Record<string, Schema>> = {
  timeout: text("Name of a timeout."),
  retry: text("Name of a retry policy."),
  circuitBreaker: text("Name of a circuit breaker."),
};
const cacheSize = integer("How many breakers are kept at most.");

const policies = object("Policies by name, which targets refer to.", {
  timeouts: map("Durations, e.g. general: 5s.", plainText),
  retries: map(
    "When to try again.",
    object("A retry policy.", {
      policy: text("constant or exponential."),
      duration: text("Pause between tries of a constant policy."),
      maxInterval: text("Longest pause of an exponential policy."),
      maxRetries: integer("Tries after the first; -1 is without end."),
      matching: object("Which failures are tried again; all when not given.", {
        httpStatusCodes: text("HTTP statuses and ranges, e.g. 429,500-599."),
        gRPCStatusCodes: text("gRPC codes and ranges, e.g. 1,8-10."),
      }),
    }),
  ),
  circuitBreakers: map(
    "When to stop trying.",
    object("A circuit breaker.", {
      maxRequests: integer("Requests let through while it is half open."),
      interval: text("After so long without tripping its counts begin anew."),
      timeout: text("How long it stays open."),
      trip: text("A CEL expression that opens it, e.g. consecutiveFailures > 5."),
    }),
  ),
});

const targets = object("What the policies apply to.", {
  apps: map("By app id.", object("Policies of calls to the app.", { ...names, circuitBreakerCacheSize: cacheSize })),
  actors: map(
    "By actor type.",
    object("Policies of calls to actors of the type.", {
      ...names,
      circuitBreakerScope: text("What has a breaker of its own: id, type or both."),
      circuitBreakerCacheSize: cacheSize,
    }),
  ),
  components: map(
    "By name of the component.",
    object("Policies of both directions.", {
      outbound: object("From the sidecar to the component.", names),
      inbound: object("From the component to the app.", names),
    }),
  ),
});

export const resiliencyCrd: CrdSource = {
  file: "resiliency",
  kind: "Resiliency",
  plural: "resiliencies",
  versions: [
    {
      name: "v1alpha1",
      storage: true,
      description: "How long calls may take, when they are tried again, and when they are given up.",
      columns: [],
      properties: { scopes, spec: object("Policies, and what they apply to.", { "policies*": policies, "targets*": targets }) },
    },
  ],
};
