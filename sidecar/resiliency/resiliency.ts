// The policies of this sidecar, made once at the start: explicit targets before defaults, one circuit breaker per method of an app and
// per component and direction. Without a resource every lookup answers null.
import { formatDuration } from "../../lib/kit/duration.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { EndpointPolicyNames, PolicyNames, Resiliency } from "../../lib/resources/resiliency.ts";
import type { ComponentKind, Policies, Policy, RetryRunner } from "../contract/ports.ts";
import type { BuiltInName } from "./built-in.ts";
import { type Catalog, createCatalog } from "./catalog.ts";
import { Circuit } from "./circuit.ts";
import { appLevels, componentLevels, type Direction, defaultNames } from "./default-names.ts";
import { createPolicy } from "./policy.ts";
import type { PolicyCounters, ResiliencyPorts } from "./ports.ts";
import { Recent } from "./recent.ts";
import { type RetryHooks, withRetries } from "./retry.ts";

export interface Resilience {
  readonly policies: Policies;
  /** Whether a resource names this app as a target, whatever it says about it. */
  readonly hasAppTarget: (appId: string) => boolean;
  /** What is tried again without any resource. */
  readonly builtIn: (name: BuiltInName) => RetryRunner;
}

/** App ids under default policies come from callers: beyond this many the oldest are forgotten. */
const defaultTargetsMax = 1000;
const methodsDefault = 100;

export async function createResilience(resiliencies: readonly Resiliency[], ports: ResiliencyPorts): Promise<Resilience> {
  const { log, metrics } = ports;
  const catalog = await createCatalog(resiliencies, log, ({ name, namespace }) => metrics?.loaded(name, namespace));
  return {
    policies: resiliencies.length === 0 ? noPolicies : new CatalogPolicies(catalog, ports),
    hasAppTarget: (appId) => catalog.apps.has(appId),
    builtIn: (name) => builtInRunner(catalog, name, ports),
  };
}

/** While no Resiliency resource is loaded: no policy, so the plain path costs nothing. */
const noPolicies: Policies = Object.freeze({ outbound: () => null, inbound: () => null, app: () => null });

function builtInRunner({ retries }: Catalog, name: BuiltInName, { clock, chance, log }: ResiliencyPorts): RetryRunner {
  const plan = retries.get(name);
  if (plan === undefined) throw new Error(`there is no built-in policy ${name}`);
  const onRetry: RetryHooks["onRetry"] = (failure, delayMs, first) => {
    if (!first) return;
    log.warn(`Error processing operation ${name}. Retrying in ${formatDuration(delayMs)}…`);
    log.debug(`Error for operation ${name} was: ${messageOf(failure)}`);
  };
  const onRecovered: RetryHooks["onRecovered"] = (attempts) =>
    log.info(`Recovered processing operation ${name} after ${attempts} attempts`);
  return async (operation, isTransient, signal) => {
    try {
      return await operation(1);
    } catch (failure) {
      // Every call between sidecars comes by here: what trying again needs is made when it is needed.
      const isFinal: RetryHooks["isFinal"] = (error, attempt) => !isTransient(error, attempt);
      const again = (attempt: number) => (attempt === 1 ? Promise.reject(failure) : operation(attempt));
      return withRetries(plan, { clock, chance, isFinal, onRetry, onRecovered }, again, signal);
    }
  };
}

type Components = Map<ComponentKind, Map<string, Policy | null>>;

class CatalogPolicies implements Policies {
  readonly #catalog: Catalog;
  readonly #ports: ResiliencyPorts;
  readonly #apps: ReadonlyMap<string, AppTarget>;
  readonly #others: Recent<AppTarget> | null;
  readonly #otherNames: EndpointPolicyNames | null;
  readonly #components: Readonly<Record<Direction, Components>> = { Inbound: new Map(), Outbound: new Map() };

  constructor(catalog: Catalog, ports: ResiliencyPorts) {
    this.#catalog = catalog;
    this.#ports = ports;
    this.#apps = new Map([...catalog.apps].map(([target, names]) => [target, new AppTarget(target, names, catalog, ports)]));
    const others = defaultNames(catalog, appLevels);
    this.#otherNames = others && { ...others, circuitBreakerCacheSize: methodsDefault };
    this.#others = others && new Recent(defaultTargetsMax);
  }

  app(target: string, method: string): Policy | null {
    const explicit = this.#apps.get(target);
    if (explicit !== undefined) return explicit.policy(method);
    return this.#others === null ? null : this.#others.get(target, this.#byDefault).policy(method);
  }

  readonly #byDefault = (target: string): AppTarget =>
    new AppTarget(target, this.#otherNames as EndpointPolicyNames, this.#catalog, this.#ports);

  outbound(component: string, kind: ComponentKind): Policy | null {
    return this.#component(component, kind, "Outbound");
  }

  inbound(component: string, kind: ComponentKind): Policy | null {
    return this.#component(component, kind, "Inbound");
  }

  #component(component: string, kind: ComponentKind, direction: Direction): Policy | null {
    const kinds = this.#components[direction];
    let known = kinds.get(kind);
    if (known === undefined) {
      known = new Map();
      kinds.set(kind, known);
    }
    let policy = known.get(component);
    if (policy === undefined) {
      policy = this.#compile(component, kind, direction);
      known.set(component, policy);
    }
    return policy;
  }

  #compile(component: string, kind: ComponentKind, direction: Direction): Policy | null {
    const explicit = this.#catalog.components.get(component);
    const chosen = explicit && (direction === "Inbound" ? explicit.inbound : explicit.outbound);
    const names = chosen ?? defaultNames(this.#catalog, componentLevels(kind, direction));
    if (names === null) return null;
    const flow = direction === "Inbound" ? "inbound" : "outbound";
    const labels = { name: this.#catalog.name, namespace: this.#catalog.namespace, flow, target: `${kind}_${component}` } as const;
    const counters = this.#ports.metrics?.counters(labels) ?? null;
    const suffix = direction === "Inbound" ? "input" : "output";
    const operation = `component[${component}] ${suffix}`;
    return compile(this.#catalog, this.#ports, { names, operation, circuitName: `${names.circuitBreaker}-${component}`, counters });
  }
}

/** The policies of one app, or of what stands for one: per method, since breakers are. */
class AppTarget {
  readonly #target: string;
  readonly #names: EndpointPolicyNames;
  readonly #catalog: Catalog;
  readonly #ports: ResiliencyPorts;
  readonly #counters: PolicyCounters | null;
  readonly #methods: Recent<Policy | null>;

  constructor(target: string, names: EndpointPolicyNames, catalog: Catalog, ports: ResiliencyPorts) {
    this.#target = target;
    this.#names = names;
    this.#catalog = catalog;
    this.#ports = ports;
    const { name, namespace } = catalog;
    this.#counters = ports.metrics?.counters({ name, namespace, flow: "outbound", target: `app_${target}` }) ?? null;
    this.#methods = new Recent(names.circuitBreakerCacheSize);
  }

  policy(method: string): Policy | null {
    return this.#methods.get(method, this.#make);
  }

  readonly #make = (method: string): Policy | null => {
    const endpoint = `${this.#target}:${method}`;
    const operation = `endpoint[${this.#target}, ${endpoint}]`;
    return compile(this.#catalog, this.#ports, { names: this.#names, operation, circuitName: endpoint, counters: this.#counters });
  };
}

interface Plan {
  readonly names: PolicyNames;
  readonly operation: string;
  readonly circuitName: string;
  readonly counters: PolicyCounters | null;
}

function compile(catalog: Catalog, ports: ResiliencyPorts, { names, operation, circuitName, counters }: Plan): Policy | null {
  const settings = catalog.breakers.get(names.circuitBreaker);
  const parts = {
    name: operation,
    timeoutMs: catalog.timeoutsMs.get(names.timeout) ?? 0,
    retry: catalog.retries.get(names.retry) ?? null,
    circuit: settings === undefined ? null : new Circuit(circuitName, settings, ports.clock, ports.log),
    counters,
  };
  return createPolicy(parts, ports);
}
