// Resiliency, dapr.io/v1alpha1: named policies and what they apply to. Durations are milliseconds; in the file they are
// Go durations or bare numbers of milliseconds. The trip expression (CEL) is compiled where breakers are built.
import { parseDuration } from "../kit/duration.ts";
import type { Parsed } from "./problem.ts";
import type { ObjectReader } from "./reader.ts";
import { openResource, type ResourceMetadata, type ResourceType } from "./resource.ts";
import type { Value } from "./yaml.ts";

export const resiliencyType: ResourceType = Object.freeze({ apiVersion: "dapr.io/v1alpha1", kind: "Resiliency" });

/** Inclusive. */
export interface CodeRange {
  readonly from: number;
  readonly to: number;
}

export interface RetryPolicy {
  readonly policy: "constant" | "exponential";
  readonly durationMs: number;
  readonly maxIntervalMs: number;
  /** -1: for ever. */
  readonly maxRetries: number;
  /** Null: every status is retried. */
  readonly httpStatusCodes: readonly CodeRange[] | null;
  readonly grpcStatusCodes: readonly CodeRange[] | null;
}

export interface BreakerPolicy {
  readonly maxRequests: number;
  /** 0: counts are never cleared while the breaker is closed. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** CEL; empty: the default, more than 5 failures in a row. */
  readonly trip: string;
}

/** Names of policies; empty: none. */
export interface PolicyNames {
  readonly timeout: string;
  readonly retry: string;
  readonly circuitBreaker: string;
}

export interface EndpointPolicyNames extends PolicyNames {
  readonly circuitBreakerCacheSize: number;
}

export interface ActorPolicyNames extends EndpointPolicyNames {
  readonly circuitBreakerScope: "type" | "id" | "both" | "";
}

export interface ComponentPolicyNames {
  readonly inbound: PolicyNames;
  readonly outbound: PolicyNames;
}

export interface Resiliency extends ResourceMetadata {
  readonly timeoutsMs: ReadonlyMap<string, number>;
  readonly retries: ReadonlyMap<string, RetryPolicy>;
  readonly circuitBreakers: ReadonlyMap<string, BreakerPolicy>;
  readonly apps: ReadonlyMap<string, EndpointPolicyNames>;
  readonly actors: ReadonlyMap<string, ActorPolicyNames>;
  readonly components: ReadonlyMap<string, ComponentPolicyNames>;
}

export function parseResiliency(value: Value, file: string): Parsed<Resiliency> {
  const { reader, list, name, namespace, scopes } = openResource(value, file);
  const spec = reader.part("spec");
  const policies = spec.part("policies");
  const targets = spec.part("targets");
  const timeouts = policies.part("timeouts");
  const resiliency: Resiliency = Object.freeze({
    name,
    namespace,
    scopes,
    timeoutsMs: new Map(timeouts.keys().map((key) => [key, duration(timeouts, key, 0)])),
    retries: named(policies, "retries", retryPolicy),
    circuitBreakers: named(policies, "circuitBreakers", breakerPolicy),
    apps: named(targets, "apps", endpointPolicy),
    actors: named(targets, "actors", actorPolicy),
    components: named(targets, "components", componentPolicy),
  });
  policies.end();
  targets.end();
  spec.end();
  reader.end();
  return list.result(resiliency);
}

function named<T>(parent: ObjectReader, field: string, read: (reader: ObjectReader) => T): ReadonlyMap<string, T> {
  const map = new Map<string, T>();
  const entries = parent.part(field);
  for (const key of entries.keys()) {
    const entry = entries.part(key);
    map.set(key, Object.freeze(read(entry)));
    entry.end();
  }
  return map;
}

function duration(reader: ObjectReader, field: string, fallbackMs: number): number {
  const text = reader.string(field);
  if (text === "") return fallbackMs;
  const ms = /^[+-]?\d+$/.test(text) ? Number(text) : parseDuration(text);
  if (ms === undefined) reader.list.error(reader.at(field), `invalid duration '${text}'`, "write a duration such as 500ms or 5s");
  return Math.min(ms ?? fallbackMs, 2 ** 31 - 1);
}

function retryPolicy(reader: ObjectReader): RetryPolicy {
  const matching = reader.part("matching");
  const retry: RetryPolicy = {
    policy: reader.choice("policy", ["constant", "exponential"], "constant"),
    durationMs: duration(reader, "duration", 5_000),
    maxIntervalMs: duration(reader, "maxInterval", 60_000),
    maxRetries: reader.integer("maxRetries") ?? -1,
    httpStatusCodes: codeRanges(matching, "httpStatusCodes", 100, 599),
    grpcStatusCodes: codeRanges(matching, "gRPCStatusCodes", 0, 16),
  };
  matching.end();
  return retry;
}

/** "429,501-503"; null when empty. */
function codeRanges(reader: ObjectReader, field: string, min: number, max: number): readonly CodeRange[] | null {
  const text = reader.string(field);
  if (text === "") return null;
  const ranges = text
    .split(",")
    .filter((part) => part !== "")
    .map((part): CodeRange => {
      const match = /^\s*(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?$/.exec(part);
      const from = Number(match?.[1] ?? Number.NaN);
      const to = Number(match?.[2] ?? from);
      if (from >= min && to <= max && from <= to) return Object.freeze({ from, to });
      reader.list.error(
        reader.at(field),
        `'${part}' is not a status code or a range of them`,
        `use codes from ${min} to ${max}, e.g. ${min},${max - 1}-${max}`,
      );
      return { from: min, to: max };
    });
  return Object.freeze(ranges);
}

function breakerPolicy(reader: ObjectReader): BreakerPolicy {
  return {
    maxRequests: reader.integer("maxRequests", 0) ?? 1,
    intervalMs: duration(reader, "interval", 0),
    timeoutMs: duration(reader, "timeout", 60_000),
    trip: reader.string("trip"),
  };
}

function policyNames(reader: ObjectReader): PolicyNames {
  return { timeout: reader.string("timeout"), retry: reader.string("retry"), circuitBreaker: reader.string("circuitBreaker") };
}

function endpointPolicy(reader: ObjectReader): EndpointPolicyNames {
  return { ...policyNames(reader), circuitBreakerCacheSize: reader.integer("circuitBreakerCacheSize", 0) || 100 };
}

function actorPolicy(reader: ObjectReader): ActorPolicyNames {
  const names = policyNames(reader);
  const circuitBreakerScope = reader.choice("circuitBreakerScope", ["type", "id", "both", ""], "");
  if (names.circuitBreaker !== "" && circuitBreakerScope === "") {
    reader.list.error(reader.at("circuitBreakerScope"), "actor circuit breakers must include scope", "use one of type, id, both");
  }
  return { ...names, circuitBreakerScope, circuitBreakerCacheSize: reader.integer("circuitBreakerCacheSize", 0) || 5_000 };
}

function componentPolicy(reader: ObjectReader): ComponentPolicyNames {
  return { inbound: direction(reader, "inbound"), outbound: direction(reader, "outbound") };
}

function direction(reader: ObjectReader, field: string): PolicyNames {
  const entry = reader.part(field);
  const names = Object.freeze(policyNames(entry));
  entry.end();
  return names;
}
