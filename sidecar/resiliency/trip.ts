// Trip rules of circuit breakers in CEL (https://cel.dev), compiled once when policies are built. Loaded only when a rule is written.
import { type CelInput, celEnv, isCelError, parse, plan } from "@bufbuild/cel";
import type { Counts } from "./breaker.ts";

export interface TripRule {
  readonly trips: (counts: Counts) => boolean;
  /** Why the rule can never trip, as far as a trial shows; null: it gave an answer. */
  readonly doubt: string | null;
}

/** Throws an Error with position and cause when `expression` is no CEL. A rule that cannot be evaluated does not trip, as in Dapr. */
export function compileTrip(expression: string): TripRule {
  const evaluate = plan(celEnv(), parse(expression));
  const result = (counts: Counts) => evaluate(variablesOf(counts));
  const trial = result({ requests: 1, totalSuccesses: 1, totalFailures: 1, consecutiveSuccesses: 1, consecutiveFailures: 1 });
  return {
    trips: (counts) => result(counts) === true,
    doubt: isCelError(trial) ? trial.message : typeof trial === "boolean" ? null : "its result is not true or false",
  };
}

/** CEL's integers are 64 bits wide. */
function variablesOf(counts: Counts): Record<string, CelInput> {
  return {
    requests: BigInt(counts.requests),
    totalSuccesses: BigInt(counts.totalSuccesses),
    totalFailures: BigInt(counts.totalFailures),
    consecutiveSuccesses: BigInt(counts.consecutiveSuccesses),
    consecutiveFailures: BigInt(counts.consecutiveFailures),
  };
}
