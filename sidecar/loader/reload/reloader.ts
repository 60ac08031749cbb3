// The pump of hot reload: takes changes from the feed one by one, asks the rules what they mean, and carries it out. What
// the rules do not name is never touched. Invariants: 1. changes are made one after the other, in the order of their
// coming; 2. a change that fails is said by name and stops no other, except where Dapr ends the sidecar for it.
import { type Clock, sleep } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import { type Component, componentLogName } from "../../../lib/resources/component.ts";
import type { HttpEndpoint } from "../../../lib/resources/http-endpoint.ts";
import type { Subscription } from "../../../lib/resources/subscription.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { ComponentLoader } from "../component-loader.ts";
import { fingerprintOf } from "../fingerprint.ts";
import type { Resources } from "../load-resources.ts";
import { ChangeQueue } from "./change-queue.ts";
import { type ComponentEvent, stepComponent } from "./component-rules.ts";
import { type Change, isListing, type Listing, type Named, type ResourceFeed } from "./feed.ts";
import { anyContent, freeName, type Known, planListing, restartReason } from "./plan.ts";

export interface ReloaderPorts {
  readonly feed: ResourceFeed;
  readonly loader: Pick<ComponentLoader, "add" | "remove" | "fingerprint" | "installed" | "statuses" | "actorStateStore">;
  /** What the sidecar was started with. */
  readonly initial: Pick<Resources, "subscriptions" | "httpEndpoints" | "resiliencies"> & { readonly configurations: readonly Named[] };
  /** Names of components that the sidecar added itself: no feed knows them. */
  readonly builtIn: readonly string[];
  /** Brings the subscriptions of the app up to date with `subscriptions()` and the components. */
  readonly refreshSubscriptions: () => Promise<void>;
  /** Opens these HTTPEndpoints in the place of all others. */
  readonly replaceEndpoints: (endpoints: readonly HttpEndpoint[], signal: AbortSignal) => Promise<void>;
  /** A resource changed that is read at the start only. `reason` is logged already. */
  readonly restart: (reason: string) => void;
  /** A component failed whose failure ends the sidecar. */
  readonly failed: (error: unknown) => void;
  /** Between listings of everything, in case a change was missed. */
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

type RestartKind = "Configuration" | "Resiliency";

export class Reloader {
  readonly #ports: ReloaderPorts;
  readonly #log: Logger;
  readonly #queue = new ChangeQueue();
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #endpoints = new Map<string, HttpEndpoint>();
  readonly #digests: { readonly [K in RestartKind]: Map<string, string> };
  readonly #ending = new AbortController();
  #skipped: Component | null = null;
  #working: Promise<void> | null = null;
  #ticking: Promise<void> = Promise.resolve();

  constructor(ports: ReloaderPorts) {
    this.#ports = ports;
    this.#log = ports.log.scope("dapr.runtime.hotreload.reconciler");
    const { initial } = ports;
    for (const subscription of initial.subscriptions)
      this.#subscriptions.set(freeName(this.#subscriptions, subscription.name), subscription);
    for (const endpoint of initial.httpEndpoints) this.#endpoints.set(endpoint.name, endpoint);
    this.#digests = {
      Configuration: digests(initial.configurations),
      Resiliency: digests(initial.resiliencies),
    };
  }

  /** The declared subscriptions as they are now. */
  subscriptions(): readonly Subscription[] {
    return [...this.#subscriptions.values()];
  }

  /** Resolves once changes are watched. */
  async start(signal: AbortSignal): Promise<void> {
    const ending = this.#ending.signal;
    const { feed, failed } = this.#ports;
    await feed.watch((change) => this.#take(change), failed, AbortSignal.any([signal, ending]));
    for (const kind of ["Component", "Subscription", "HTTPEndpoint"]) this.#log.info(`Starting to watch ${kind} updates`);
    for (const kind of Object.keys(this.#digests)) this.#log.info(`Starting to watch ${kind} updates for SIGHUP reload`);
    this.#ticking = this.#tick(ending);
  }

  /** Finishes the change that is being made and makes no other. */
  async stop(): Promise<void> {
    this.#ending.abort(new Error("hot reload is being stopped"));
    await Promise.all([this.#ticking, this.#working]);
  }

  /** Resolves when no change waits; for tests. */
  async settled(): Promise<void> {
    await this.#working;
  }

  #take(change: Change | Listing): void {
    if (this.#ending.signal.aborted) return;
    this.#queue.push(change);
    this.#working ??= this.#work().finally(() => {
      this.#working = null;
    });
  }

  async #work(): Promise<void> {
    while (!this.#queue.isEmpty && !this.#ending.signal.aborted) {
      const next = this.#queue.shift() as Change | Listing;
      const changes = isListing(next) ? planListing(this.#known(), next, fingerprintOf) : [next];
      for (const change of changes) {
        if (this.#ending.signal.aborted) return;
        await this.#make(change);
      }
    }
  }

  async #make(change: Change): Promise<void> {
    this.#log.debug(`Received ${change.kind} event ${change.type}: ${change.name}`);
    try {
      if (change.kind === "Component") await this.#makeComponent(change);
      else if (change.kind === "Subscription" || change.kind === "HTTPEndpoint") await this.#makeListed(change);
      else this.#makeRestart(change);
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      this.#log.error(`${change.kind} ${change.name} could not be reloaded: ${messageOf(error)}`);
      this.#ports.failed(error);
    }
  }

  async #makeComponent(change: Change & { readonly kind: "Component" }): Promise<void> {
    const { loader } = this.#ports;
    const signal = this.#ending.signal;
    if (change.type === "DELETED") await this.#step({ kind: "unwanted", name: change.name }, signal);
    else {
      const fingerprint = await loader.fingerprint(change.resource, signal);
      await this.#step({ kind: "wanted", component: change.resource, fingerprint }, signal);
    }
    await this.#step({ kind: "settled" }, signal);
  }

  async #step(event: ComponentEvent, signal: AbortSignal): Promise<void> {
    const { loader, refreshSubscriptions } = this.#ports;
    const state = { installed: loader.installed(), actorStateStore: loader.actorStateStore, skipped: this.#skipped };
    const [skipped, effects] = stepComponent(state, event);
    this.#skipped = skipped;
    for (const effect of effects) {
      if (effect.kind === "log") this.#log[effect.level](effect.message);
      else if (effect.kind === "close") await loader.remove(effect.name, refreshSubscriptions);
      else {
        await loader.add(effect.component, signal);
        this.#log.info(`Component updated: ${componentLogName(effect.component)}`);
        await refreshSubscriptions();
      }
    }
  }

  /** Subscriptions and HTTPEndpoints: lists that are applied as a whole, and leave alone what is the same. */
  async #makeListed(change: Change & { readonly kind: "Subscription" | "HTTPEndpoint" }): Promise<void> {
    const { kind, type, name, resource } = change;
    const list: Map<string, Subscription | HttpEndpoint> = kind === "Subscription" ? this.#subscriptions : this.#endpoints;
    const old = list.get(name);
    if (type === "DELETED") {
      if (!list.delete(name)) return;
    } else {
      if (old !== undefined && fingerprintOf(old) === fingerprintOf(resource)) {
        return this.#log.debug(`${kind} update skipped: no changes detected: ${name}`);
      }
      if (old !== undefined) this.#log.info(`Closing existing ${kind} to reload: ${name}`);
      this.#log.info(`Adding ${kind} for processing: ${name}`);
      // A changed one goes last, as in Dapr.
      list.delete(name);
      list.set(name, resource);
    }
    if (kind === "Subscription") await this.#ports.refreshSubscriptions();
    else await this.#ports.replaceEndpoints([...this.#endpoints.values()], this.#ending.signal);
    this.#log.info(`${kind} ${type === "DELETED" ? "removed" : "updated"}: ${name}`);
  }

  #makeRestart(change: Change & { readonly kind: RestartKind }): void {
    const known = this.#digests[change.kind];
    const digest = fingerprintOf(change.resource);
    const reason = restartReason(known, change, digest);
    if (reason === null) return;
    if (change.type === "DELETED") known.delete(change.name);
    else known.set(change.name, digest);
    this.#log.info(reason);
    this.#ports.restart(reason);
  }

  #known(): Known {
    const { loader, builtIn } = this.#ports;
    const components = new Map(loader.statuses().map(({ name }) => [name, anyContent] as const));
    for (const name of builtIn) components.delete(name);
    if (this.#skipped !== null) components.set(this.#skipped.name, anyContent);
    const listed = { Subscription: contents(this.#subscriptions), HTTPEndpoint: contents(this.#endpoints) };
    return { ...this.#digests, ...listed, Component: components };
  }

  async #tick(signal: AbortSignal): Promise<void> {
    const { clock, feed, intervalMs } = this.#ports;
    while (!signal.aborted) {
      try {
        await sleep(clock, intervalMs, signal);
        this.#log.debug("Running scheduled reconcile");
        this.#take(await feed.list(signal));
      } catch (error) {
        if (!signal.aborted) this.#log.error(`Error listing resources: ${messageOf(error)}`);
      }
    }
  }
}

function digests(resources: readonly { readonly name: string }[]): Map<string, string> {
  return new Map(resources.map((resource) => [resource.name, fingerprintOf(resource)]));
}

function contents(resources: ReadonlyMap<string, object>): Map<string, string> {
  return new Map([...resources].map(([name, resource]) => [name, fingerprintOf(resource)]));
}
