// configuration.kubernetes v1: the keys of one ConfigMap (`configMapName`) in the sidecar's namespace, kept as a copy that follows the
// cluster. Every item's version is the ConfigMap's; binary data comes as base64 and says so; a key that is gone comes with
// `deleted`. Subscribers hear what changed from their subscription on. `kubeconfigPath` is for outside of a cluster.
import type { KubeClient } from "../../lib/kube/client.ts";
import { type KubeObject, objectOf, textOf } from "../../lib/kube/object.ts";
import type { DriverContext } from "../driver.ts";
import { changedItems, type Items, itemsOf, picked } from "./kubernetes/config-map.ts";
import { KubernetesSubscription } from "./kubernetes/subscription.ts";
import type {
  ConfigurationHandler,
  ConfigurationItems,
  ConfigurationRequest,
  ConfigurationStore,
  ConfigurationSubscription,
} from "./store.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface KubernetesSurroundings {
  readonly env: Environment;
  /** Null: where the surroundings say. */
  readonly open: (kubeconfig: string | null) => Promise<KubeClient>;
}

/** RFC 1123 subdomains. */
const objectName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$/;

export function create(context: DriverContext, around: KubernetesSurroundings = realSurroundings(process.env)): ConfigurationStore {
  const { properties } = context;
  const settings = {
    configMap: properties.get("configMapName") ?? "",
    kubeconfig: properties.string("kubeconfigPath", ""),
    relistMs: properties.durationMs("resyncPeriod", 0),
  };
  const { configMap } = settings;
  if (configMap === "") properties.problem("configMapName is required: name the ConfigMap that holds the configuration");
  else if (configMap.length > 253 || !objectName.test(configMap)) {
    properties.problem(`configMapName "${configMap}" is not a valid Kubernetes resource name: use lower-case letters, digits, '-' and '.'`);
  }
  properties.check();
  return new KubernetesConfiguration(context, settings, around);
}

function realSurroundings(env: Environment): KubernetesSurroundings {
  return {
    env,
    async open(kubeconfig) {
      const { openKubeClient } = await import("../../lib/kube/client.ts");
      return openKubeClient(kubeconfig, env);
    },
  };
}

interface Settings {
  readonly configMap: string;
  /** Empty: not given. */
  readonly kubeconfig: string;
  /** Lists again after so long, in case a change was missed; 0: only when needed. */
  readonly relistMs: number;
}

class KubernetesConfiguration implements ConfigurationStore {
  readonly #context: DriverContext;
  readonly #settings: Settings;
  readonly #around: KubernetesSurroundings;
  readonly #namespace: string;
  readonly #subscriptions = new Set<KubernetesSubscription>();
  readonly #closing = new AbortController();
  #client: KubeClient | null = null;
  #running: Promise<void> = Promise.resolve();
  #items: Items = new Map();

  constructor(context: DriverContext, settings: Settings, around: KubernetesSurroundings) {
    this.#context = context;
    this.#settings = settings;
    this.#around = around;
    this.#namespace = around.env["NAMESPACE"] || "default";
  }

  async init(signal: AbortSignal): Promise<void> {
    const [{ Informer }, { kubeResources }] = await Promise.all([
      import("../../lib/kube/informer.ts"),
      import("../../lib/kube/resource.ts"),
    ]);
    const { configMap, kubeconfig, relistMs } = this.#settings;
    const { clock, log } = this.#context;
    const client = await this.#around.open(kubeconfig || null);
    this.#client = client;
    const selection = { namespace: this.#namespace, fieldSelector: `metadata.name=${configMap}` };
    const informer = new Informer({ client, resource: kubeResources.configMaps, selection, relistMs, clock, log });
    informer.subscribe(({ type, object }) => this.#take(type === "deleted" ? null : object, object));
    this.#running = informer.run(this.#closing.signal);
    await settled(informer.synced, signal, () => {
      const trouble = informer.trouble === null ? "" : `: ${informer.trouble}`;
      return new Error(`ConfigMap ${this.#namespace}/${configMap} could not be listed in time${trouble}`);
    });
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error("the configuration store is closed"));
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop()));
    await this.#running;
    this.#client?.close();
  }

  async get({ keys }: ConfigurationRequest): Promise<ConfigurationItems> {
    return picked(this.#items, keys);
  }

  async subscribe({ keys }: ConfigurationRequest, handler: ConfigurationHandler): Promise<ConfigurationSubscription> {
    this.#closing.signal.throwIfAborted();
    const ended = (one: KubernetesSubscription) => this.#subscriptions.delete(one);
    const subscription = new KubernetesSubscription({ keys, handler, log: this.#context.log, ended });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** `now` null: the ConfigMap is gone; `last` is what is known of it. */
  #take(now: KubeObject | null, last: KubeObject): void {
    if (textOf(objectOf(last.metadata)["name"]) !== this.#settings.configMap) return;
    const items = now === null ? new Map() : itemsOf(now);
    const changed = changedItems(this.#items, items, last.metadata.resourceVersion ?? "");
    this.#items = items;
    for (const subscription of this.#subscriptions) subscription.tell(changed);
  }
}

async function settled(done: Promise<void>, signal: AbortSignal, late: () => Error): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(late());
  if (signal.aborted) throw late();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([done, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
