// What the injector follows in the cluster: namespaces by a watch, the version of the API server and the installation's
// Configuration by asking now and then. Each is tried again for ever and reported when it fails, and none of them holds a
// pod up: without an answer the sidecar is classic, mTLS is on, and a namespace gives no defaults.
import { type Clock, sleep } from "../lib/kit/clock.ts";
import { messageOf } from "../lib/kit/errors.ts";
import { Backoff } from "../lib/kube/backoff.ts";
import type { KubeClient } from "../lib/kube/client.ts";
import { isStatus } from "../lib/kube/error.ts";
import { Informer } from "../lib/kube/informer.ts";
import { arrayOf, at, type Json, type KubeObject, objectOf, textOf } from "../lib/kube/object.ts";
import { daprResources, kubeResources } from "../lib/kube/resource.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { ComponentObject } from "./component-containers.ts";
import type { ClusterView, NamespaceView } from "./ports.ts";

export interface ClusterOptions {
  readonly client: KubeClient;
  readonly controlPlaneNamespace: string;
  readonly log: Logger;
  readonly clock: Clock;
}

const versionRefreshMs = 600_000;
const configurationRefreshMs = 15_000;
const retryFirstMs = 500;
const retryMaxMs = 30_000;
const configurationName = "daprsystem";

export class Cluster implements ClusterView {
  readonly #options: ClusterOptions;
  readonly #namespaces: Informer;
  #mtls = true;
  #nativeSidecars = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { client, log, clock } = options;
    const selection = { metadataOnly: true };
    this.#namespaces = new Informer({ client, resource: kubeResources.namespaces, selection, transform: labelsOnly, log, clock });
  }

  get mtls(): boolean {
    return this.#mtls;
  }

  get nativeSidecars(): boolean {
    return this.#nativeSidecars;
  }

  namespace(name: string): NamespaceView | null {
    const object = this.#namespaces.get("", name);
    return object === null ? null : { labels: object.metadata.labels ?? {}, annotations: object.metadata.annotations ?? {} };
  }

  async components(namespace: string, signal: AbortSignal): Promise<readonly ComponentObject[]> {
    const list = await this.#options.client.list(daprResources.components, { namespace }, signal);
    return list.items.map(componentOf);
  }

  /** Follows until the signal aborts. Resolves once each was asked for the first time, whatever came of it. */
  async start(signal: AbortSignal): Promise<void> {
    const version = this.#every("the version of the API server", versionRefreshMs, () => this.#readVersion(signal), signal);
    const configuration = this.#every(
      `the Configuration ${configurationName}`,
      configurationRefreshMs,
      () => this.#readConfiguration(signal),
      signal,
    );
    void this.#namespaces.run(signal);
    await Promise.all([version, configuration, this.#firstNamespaces(signal)]);
  }

  /** Resolves with the first list, or when it has failed once: the reasons are the informer's to log. */
  async #firstNamespaces(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#namespaces.isSynced && this.#namespaces.trouble === null) {
      await Promise.race([this.#namespaces.synced, sleep(this.#options.clock, retryFirstMs, signal).catch(ignore)]);
    }
  }

  /** Resolves after the first try and goes on in the background. */
  async #every(what: string, everyMs: number, read: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const backoff = new Backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs });
    const attempt = async (): Promise<number> => {
      try {
        await read();
        if (backoff.failures > 0) log.info(`Could read ${what} again`);
        backoff.reset();
        return everyMs;
      } catch (error) {
        if (backoff.failures === 0 && !signal.aborted) log.warn(`Could not read ${what}, trying again: ${messageOf(error)}`);
        return backoff.next();
      }
    };
    const first = await attempt();
    void this.#goOn(first, attempt, signal);
  }

  async #goOn(firstMs: number, attempt: () => Promise<number>, signal: AbortSignal): Promise<void> {
    for (let waitMs = firstMs; ; waitMs = await attempt()) {
      await sleep(this.#options.clock, waitMs, signal).catch(ignore);
      if (signal.aborted) return;
    }
  }

  async #readVersion(signal: AbortSignal): Promise<void> {
    const { client, log } = this.#options;
    const version = await client.request({ method: "GET", path: "/version" }, signal);
    const native = hasNativeSidecars(version);
    const name = textOf(version["gitVersion"]) || "unknown";
    if (native !== this.#nativeSidecars)
      log.info(`API server version is ${name}: sidecars are ${native ? "native" : "classic"} containers`);
    this.#nativeSidecars = native;
  }

  async #readConfiguration(signal: AbortSignal): Promise<void> {
    const { client, controlPlaneNamespace, log } = this.#options;
    const object = await client
      .get(daprResources.configurations, controlPlaneNamespace, configurationName, signal)
      .catch((error: unknown) => {
        // No such kind.
        if (isStatus(error, 404)) return null;
        throw error;
      });
    const enabled = at(object, "spec", "mtls", "enabled");
    const mtls = enabled === undefined || enabled === null || enabled === true;
    if (mtls !== this.#mtls) log.info(`mTLS of sidecars is ${mtls ? "on" : "off"}, says the Configuration ${configurationName}`);
    this.#mtls = mtls;
  }
}

const nativeFromMinor = 29;

/** From the answer of `/version`; what cannot be read is taken for an old server. */
export function hasNativeSidecars(version: Json): boolean {
  const major = /^\d+/.exec(textOf(version["major"]))?.[0];
  const minor = /^\d+/.exec(textOf(version["minor"]))?.[0];
  if (major === undefined || minor === undefined) return false;
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= nativeFromMinor);
}

/** Of a namespace only what concerns us is kept. */
function labelsOnly(object: KubeObject): KubeObject {
  const { name = "", resourceVersion = "", labels, annotations } = object.metadata;
  return { metadata: { name, resourceVersion, labels: ours(labels), annotations: ours(annotations) } };
}

function ours(map: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(objectOf(map)).filter(([key, value]) => key.startsWith("dapr.io/") && typeof value === "string");
  return Object.fromEntries(entries) as Record<string, string>;
}

function componentOf(object: KubeObject): ComponentObject {
  const annotations = objectOf(object.metadata.annotations) as Readonly<Record<string, string>>;
  return { name: object.metadata.name ?? "", annotations, scopes: arrayOf(object["scopes"]).map(textOf) };
}

function ignore(): void {}
