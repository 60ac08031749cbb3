// Brings components up in order and keeps what became of each. Secret stores come first; a component whose secret store
// is not there yet is parked until it is. A failure ends the start unless the component says ignoreErrors, as in Dapr.
// While the sidecar runs, single components are taken out and put in; what others do meanwhile goes on.
// Invariants: 1. a table holds started drivers only; 2. a driver is closed once: at the end after those that were started
// later, before that after its last call; 3. every component that was handed in and not taken out has a status, with the
// reason when it is not ready.
import type { Driver } from "../../components/driver.ts";
import type { SecretStore } from "../../components/secrets/store.ts";
import { assert } from "../../lib/kit/assert.ts";
import { sleep } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import { type Component, componentLogName } from "../../lib/resources/component.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { ComponentTable, Loaded } from "../contract/ports.ts";
import { Table } from "./component-table.ts";
import { isDenied } from "./denied.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { type Tracked, trackInFlight } from "./in-flight.ts";
import { type DriverKinds, type KindName, kindOfType } from "./kinds.ts";
import { LoadError } from "./load-configuration.ts";
import type { LoaderSurroundings, SecretSource } from "./ports.ts";
import { type Referrer, type ResolvedPairs, resolveReferences } from "./references.ts";
import { InitFailure, initFailureText, startDriver } from "./start-driver.ts";

export type ComponentState = "initialising" | "waiting" | "ready" | "failed" | "denied";

export interface ComponentStatus {
  readonly name: string;
  readonly type: string;
  readonly version: string;
  readonly state: ComponentState;
  /** Why it is not ready, and what helps; null when ready. */
  readonly reason: string | null;
}

/** A component that runs, and everything that was decisive when it was started, secrets included, as a digest. */
export interface Installed {
  readonly component: Component;
  readonly fingerprint: string;
}

interface Running extends Installed {
  readonly kind: string;
  readonly loaded: Loaded<Driver>;
  /** What is closed; the others see `loaded.driver`. */
  readonly driver: Driver;
  readonly tracked: Tracked<Driver>;
  readonly namespaced: boolean;
}

/** How long the calls of a component that is taken out may take before its driver is closed under them. */
const lastCallsMs = 30_000;

export class ComponentLoader {
  readonly #around: LoaderSurroundings;
  readonly #log: Logger;
  readonly #runtimeLog: Logger;
  readonly #tables = new Map<string, Table<Driver>>();
  readonly #statuses = new Map<string, ComponentStatus>();
  readonly #parked = new Map<string, Component[]>();
  readonly #running: Running[] = [];
  #actorStateStore: string | null = null;

  /** Secrets of the stores that are ready. */
  readonly secrets: SecretSource;

  constructor(around: LoaderSurroundings) {
    this.#around = around;
    this.#log = around.log.scope("dapr.runtime.processor");
    this.#runtimeLog = around.log.scope("dapr.runtime");
    const stores = this.table("secretstores");
    this.secrets = {
      has: (store) => stores.get(store) !== undefined,
      async get(store, name, metadata, signal) {
        const loaded = stores.get(store);
        assert(loaded, `secret store ${store} is not loaded`);
        return await (loaded.driver satisfies SecretStore).get(name, metadata, signal);
      },
    };
  }

  /** The live table of a kind, the same object every time. */
  table<K extends KindName>(kind: K): ComponentTable<DriverKinds[K]> {
    return this.#table(kind) as unknown as ComponentTable<DriverKinds[K]>;
  }

  /** Name of the actor state store; null: none. */
  get actorStateStore(): string | null {
    return this.#actorStateStore;
  }

  /** What became of every component, in the order they were handed in. */
  statuses(): readonly ComponentStatus[] {
    return [...this.#statuses.values()];
  }

  /** The components that run, in the order they came up. */
  running(): readonly Loaded<Driver>[] {
    return this.#running.map((one) => one.loaded);
  }

  /** Whether a metadata value of the component uses {namespace}: pub/sub then keeps the topics of namespaces apart. */
  isNamespaced(name: string): boolean {
    return this.#running.some((one) => one.namespaced && one.component.name === name);
  }

  /** Starts the components. Rejects with LoadError on the first failure that is not to be ignored; close() then cleans up. */
  async load(components: readonly Component[], signal: AbortSignal): Promise<void> {
    const allowed = components.filter((component) => this.#isAllowed(component));
    const isSecretStore = (component: Component) => component.type.startsWith("secretstores.");
    for (const component of allowed) this.#mark(component, "initialising", "it is waiting for its turn");
    for (const component of [...allowed.filter(isSecretStore), ...allowed.filter((one) => !isSecretStore(one))]) {
      signal.throwIfAborted();
      this.#runtimeLog.debug(`Found component: ${componentLogName(component)}`);
      await this.#process(component, signal);
    }
  }

  /** The components that run, by name. */
  installed(): ReadonlyMap<string, Installed> {
    return new Map(this.#running.map((one) => [one.component.name, one]));
  }

  /** What a component would be started with now; see Installed. */
  async fingerprint(component: Component, signal: AbortSignal): Promise<string> {
    const resolved = await this.resolve({ ...component, kind: "Component", pairs: component.metadata }, signal);
    return fingerprintOf(component, resolved.kind === "resolved" ? resolved.pairs : null);
  }

  /** Starts one more component. Rejects like `load`; resolves as well when it is denied, parked, or failed with ignoreErrors. */
  async add(component: Component, signal: AbortSignal): Promise<void> {
    this.#unpark(component.name);
    if (this.#isAllowed(component)) await this.#process(component, signal);
  }

  /**
   * Takes a component out: nobody finds it any more, then `unlinked` runs, then the calls in flight end, then its driver closes.
   * Never rejects.
   */
  async remove(name: string, unlinked: () => Promise<void>): Promise<void> {
    this.#unpark(name);
    this.#statuses.delete(name);
    const at = this.#running.findIndex((one) => one.component.name === name);
    if (at < 0) return;
    const [one] = this.#running.splice(at, 1) as [Running];
    this.#table(one.kind).remove(name);
    if (this.#actorStateStore === name) this.#actorStateStore = null;
    await unlinked();
    await this.#lastCalls(one);
    await this.#closeDriver(one);
  }

  /** Resolves the references of any resource, e.g. the headers of an HTTPEndpoint. */
  resolve(referrer: Referrer, signal: AbortSignal): Promise<ResolvedPairs> {
    const { env, envKeys, defaultSecretStore, inlinedSecretStore, log } = this.#around;
    const secretStore = referrer.secretStore || defaultSecretStore;
    const around = { env, envKeys, inlinedSecretStore, secrets: this.secrets, log: log.scope("dapr.runtime.processor.secret") };
    return resolveReferences({ ...referrer, secretStore }, around, signal);
  }

  /** Closes every driver, the last started first. A driver that fails to close does not keep the others open. */
  async close(): Promise<void> {
    for (let one = this.#running.pop(); one !== undefined; one = this.#running.pop()) {
      this.#runtimeLog.info(`Shutting down component ${componentLogName(one.component)}`);
      this.#table(one.kind).remove(one.component.name);
      await this.#closeDriver(one);
    }
  }

  async #lastCalls({ component, tracked }: Running): Promise<void> {
    const over = new AbortController();
    const late = sleep(this.#around.clock, lastCallsMs, over.signal).then(() => {
      const calls = `${tracked.inFlight} calls still in flight after ${lastCallsMs / 1000}s`;
      this.#runtimeLog.warn(`closing component ${componentLogName(component)} with ${calls}`);
    }, ignore);
    await Promise.race([tracked.idle(), late]);
    over.abort();
  }

  async #closeDriver({ component, driver }: Running): Promise<void> {
    try {
      await driver.close();
    } catch (error) {
      this.#runtimeLog.warn(`error closing component ${componentLogName(component)}: ${messageOf(error)}`);
    }
  }

  async #process(component: Component, signal: AbortSignal): Promise<void> {
    if (component.name === "") return this.#mark(component, "failed", "it has no name; give it one in metadata.name");
    try {
      await this.#start(component, signal);
    } catch (error) {
      signal.throwIfAborted();
      const text = `process component ${component.name} error: ${messageOf(error)}`;
      this.#mark(component, "failed", messageOf(error));
      if (!component.ignoreErrors) {
        this.#log.warn(`Error processing component, daprd will exit gracefully: ${text}`);
        throw new LoadError(text, { cause: error });
      }
      this.#log.error(`Ignoring error processing component: ${text}`);
      return;
    }
    await this.#startDependents(component, signal);
  }

  async #start(component: Component, signal: AbortSignal): Promise<void> {
    const logName = componentLogName(component);
    this.#log.debug(`Loading component: ${logName}`);
    const pairs = component.metadata;
    const resolved = await this.resolve({ ...component, kind: "Component", pairs }, signal);
    if (resolved.kind === "waiting") return this.#park(component, resolved.store);
    const kind = kindOfType(component.type);
    if (kind === null) throw new Error(`incorrect type ${component.type}`);
    try {
      const { loaded, actorStateStore, namespaced } = await startDriver(component, kind, resolved.pairs, this.#around, signal);
      const { driver } = loaded;
      if (actorStateStore && this.#around.actors) await this.#claimActors(component, driver);
      const tracked = trackInFlight(driver);
      const running = { component, fingerprint: fingerprintOf(component, resolved.pairs), kind, driver, tracked, namespaced };
      const shown = Object.freeze({ ...loaded, driver: tracked.driver });
      this.#running.push({ ...running, loaded: shown });
      this.#table(kind).put(shown);
    } catch (error) {
      signal.throwIfAborted();
      this.#log.error(`Failed to init component ${logName}: ${messageOf(error)}`);
      throw new Error(initFailureText("INIT_COMPONENT_FAILURE", logName, messageOf(error)), { cause: error });
    }
    this.#mark(component, "ready", null);
    this.#log.info(`Component loaded: ${logName}`);
  }

  async #startDependents(component: Component, signal: AbortSignal): Promise<void> {
    if (this.secrets.has(component.name) === false) return;
    const dependents = this.#parked.get(component.name) ?? [];
    this.#parked.delete(component.name);
    for (const dependent of dependents) await this.#process(dependent, signal);
  }

  #park(component: Component, store: string): void {
    this.#parked.set(store, [...(this.#parked.get(store) ?? []), component]);
    this.#mark(component, "waiting", `secret store ${store} is not loaded; add a component of that name or correct auth.secretStore`);
  }

  #unpark(name: string): void {
    for (const [store, waiting] of this.#parked) {
      this.#parked.set(
        store,
        waiting.filter((component) => component.name !== name),
      );
    }
  }

  async #claimActors(component: Component, driver: Driver): Promise<void> {
    const first = this.#actorStateStore;
    if (first !== null) {
      await driver.close().catch(() => {});
      throw new InitFailure("INIT_COMPONENT_FAILURE", component, `detected duplicate actor state store: ${first} and ${component.name}`);
    }
    this.#actorStateStore = component.name;
    this.#runtimeLog.info(`Using '${component.name}' as actor state store`);
  }

  /** Once anything is denied, a component must also say its version, or the list could be walked around. */
  #isAllowed(component: Component): boolean {
    if (this.#around.deniedComponents.length === 0) return true;
    const hit = isDenied(component, this.#around.deniedComponents);
    if (!hit && component.version !== "") return true;
    const logName = componentLogName(component);
    this.#runtimeLog.warn(`component '${component.name}' cannot be loaded because components of type '${logName}' are not allowed`);
    const remedy = hit ? "take the type off components.deny of the Configuration" : "give spec.version: components.deny is in force";
    this.#mark(component, "denied", `components of this type are not allowed; ${remedy}`);
    return false;
  }

  #mark(component: Component, state: ComponentState, reason: string | null): void {
    const { name, type, version } = component;
    this.#statuses.set(name, Object.freeze({ name, type, version, state, reason }));
  }

  #table(kind: string): Table<Driver> {
    let table = this.#tables.get(kind);
    if (table === undefined) {
      table = new Table<Driver>();
      this.#tables.set(kind, table);
    }
    return table;
  }
}

function ignore(): void {}
