// All Resiliency resources as one set of named policies and targets, later resources over earlier ones, as in Dapr. What names a
// policy that does not exist is said at the start. A resource with a broken trip rule is left out whole.
import { messageOf } from "../../lib/kit/errors.ts";
import type {
  BreakerPolicy,
  ComponentPolicyNames,
  EndpointPolicyNames,
  PolicyNames,
  Resiliency,
  RetryPolicy,
} from "../../lib/resources/resiliency.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { RetryPlan } from "./backoff.ts";
import type { BreakerSettings } from "./breaker.ts";
import { builtInRetries, isBuiltIn, overrideRetriesMin, protectedName } from "./built-in.ts";

export interface Catalog {
  /** Of the resource read last: the label of metrics. */
  readonly name: string;
  readonly namespace: string;
  readonly timeoutsMs: ReadonlyMap<string, number>;
  readonly retries: ReadonlyMap<string, RetryPlan>;
  readonly breakers: ReadonlyMap<string, BreakerSettings>;
  readonly apps: ReadonlyMap<string, EndpointPolicyNames>;
  readonly components: ReadonlyMap<string, ComponentPolicyNames>;
}

/** Of the backoff library that Dapr uses: resources cannot set them. */
const exponentialFirstMs = 500;
const exponentialElapsedMaxMs = 15 * 60_000;
const breakerTimeoutDefaultMs = 60_000;
const tripDefaultFailures = 5;

/** `loaded` is told of each resource that counts. */
export async function createCatalog(
  resiliencies: readonly Resiliency[],
  log: Logger,
  loaded: (resiliency: Resiliency) => void,
): Promise<Catalog> {
  const timeoutsMs = new Map<string, number>();
  const retries = new Map<string, RetryPlan>(Object.entries(builtInRetries));
  const breakers = new Map<string, BreakerSettings>();
  const apps = new Map<string, EndpointPolicyNames>();
  const components = new Map<string, ComponentPolicyNames>();
  let last: Pick<Resiliency, "name" | "namespace"> = { name: "", namespace: "" };
  for (const resiliency of resiliencies) {
    log.info(`Loading Resiliency configuration: ${resiliency.name}`);
    const compiled = await compileBreakers(resiliency, log);
    if (compiled === null) continue;
    for (const [name, timeoutMs] of resiliency.timeoutsMs) timeoutsMs.set(name, timeoutMs);
    for (const [name, policy] of resiliency.retries) addRetry(retries, name, policy, log);
    for (const [name, settings] of compiled) breakers.set(name, settings);
    for (const [name, target] of resiliency.apps) apps.set(name, target);
    for (const [name, target] of resiliency.components) components.set(name, target);
    last = resiliency;
    loaded(resiliency);
  }
  const catalog = { name: last.name, namespace: last.namespace, timeoutsMs, retries, breakers, apps, components };
  warnUnknown(catalog, log);
  return catalog;
}

function addRetry(retries: Map<string, RetryPlan>, name: string, policy: RetryPolicy, log: Logger): void {
  if (name === protectedName) {
    log.warn(`Attempted to override protected policy ${name} which is not allowed. Ignoring provided policy and using default.`);
    return;
  }
  const isTooFew = isBuiltIn(name) && policy.maxRetries < overrideRetriesMin;
  if (isTooFew) log.warn(`Attempted override of ${name} did not meet minimum retry count, resetting to ${overrideRetriesMin}.`);
  const isConstant = policy.policy === "constant";
  retries.set(name, {
    kind: policy.policy,
    delayMs: isConstant ? Math.max(0, policy.durationMs) : exponentialFirstMs,
    maxDelayMs: Math.max(0, policy.maxIntervalMs),
    maxRetries: isTooFew ? overrideRetriesMin : policy.maxRetries,
    maxElapsedMs: isConstant ? 0 : exponentialElapsedMaxMs,
    http: policy.httpStatusCodes,
    grpc: policy.grpcStatusCodes,
  });
}

/** Null when a rule cannot be compiled; the reason is logged. */
async function compileBreakers(resiliency: Resiliency, log: Logger): Promise<ReadonlyMap<string, BreakerSettings> | null> {
  const compiled = new Map<string, BreakerSettings>();
  for (const [name, policy] of resiliency.circuitBreakers) {
    try {
      compiled.set(name, await compileBreaker(name, policy, log));
    } catch (error) {
      log.error(
        `Could not read resiliency policy ${resiliency.name}: the trip rule of circuit breaker ${name} is no CEL expression: ${messageOf(error)}; ` +
          'write one such as "consecutiveFailures > 5"',
      );
      return null;
    }
  }
  return compiled;
}

async function compileBreaker(name: string, policy: BreakerPolicy, log: Logger): Promise<BreakerSettings> {
  const settings = {
    maxRequests: Math.max(1, policy.maxRequests),
    intervalMs: Math.max(0, policy.intervalMs),
    timeoutMs: policy.timeoutMs > 0 ? policy.timeoutMs : breakerTimeoutDefaultMs,
  };
  if (policy.trip === "") return { ...settings, trips: ({ consecutiveFailures }) => consecutiveFailures > tripDefaultFailures };
  const { compileTrip } = await import("./trip.ts");
  const { trips, doubt } = compileTrip(policy.trip);
  if (doubt !== null) log.warn(`circuit breaker ${name}: its trip rule may never trip: ${doubt}`);
  return { ...settings, trips };
}

function warnUnknown(catalog: Catalog, log: Logger): void {
  const check = (target: string, { timeout, retry, circuitBreaker }: PolicyNames) => {
    const missing = (kind: string, name: string, known: ReadonlyMap<string, unknown>) => {
      if (name !== "" && !known.has(name))
        log.warn(`resiliency target ${target}: no resource defines the ${kind} policy '${name}'; it has no effect`);
    };
    missing("timeout", timeout, catalog.timeoutsMs);
    missing("retry", retry, catalog.retries);
    missing("circuit breaker", circuitBreaker, catalog.breakers);
  };
  for (const [name, names] of catalog.apps) check(`apps.${name}`, names);
  for (const [name, { inbound, outbound }] of catalog.components) {
    check(`components.${name}.inbound`, inbound);
    check(`components.${name}.outbound`, outbound);
  }
}
