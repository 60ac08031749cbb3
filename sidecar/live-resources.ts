// Where this sidecar's resources come from, and how their changes reach what runs.
import { messageOf } from "../lib/kit/errors.ts";
import { type Component, defaultInitTimeoutMs } from "../lib/resources/component.ts";
import type { Configuration } from "../lib/resources/configuration.ts";
import type { LiveEndpoints } from "./live-endpoints.ts";
import type { ComponentLoader } from "./loader/component-loader.ts";
import { diskFiles } from "./loader/disk-files.ts";
import type { Resources } from "./loader/load-resources.ts";
import { OperatorFeed } from "./loader/operator/operator-feed.ts";
import { DiskFeed } from "./loader/reload/disk-feed.ts";
import type { Named, ResourceFeed } from "./loader/reload/feed.ts";
import { Reloader } from "./loader/reload/reloader.ts";
import { connectToOperator, readConfigurationFiles, type Workshop } from "./parts.ts";

export interface ResourceOrigin {
  readonly feed: ResourceFeed;
  /** Rejects with what ends the start. */
  configuration(signal: AbortSignal): Promise<Configuration>;
  /** What there is at the start. Rejects with what ends it. */
  load(signal: AbortSignal): Promise<Resources>;
  /** What the Configuration was read from, for comparison. */
  configurations(): Promise<readonly Named[]>;
}

/** In Kubernetes mode the identity has to be there: the operator lets nobody in without. */
export function openOrigin(workshop: Workshop): ResourceOrigin {
  return workshop.config.mode === "kubernetes" ? resourcesFromOperator(workshop) : resourcesOnDisk(workshop);
}

function resourcesOnDisk({ config, around }: Workshop): ResourceOrigin {
  const { appId, namespace, namespaceGiven, resourcesPaths: paths, configPaths } = config;
  const { clock, log } = around;
  const feed = new DiskFeed({ appId, namespace, namespaceGiven, paths, configPaths, files: diskFiles, clock, log });
  return {
    feed,
    configuration: (signal) => readConfigurationFiles(config, around, signal),
    load: (signal) => feed.load(signal),
    configurations: () => feed.configurationFiles(),
  };
}

function resourcesFromOperator(workshop: Workshop): ResourceOrigin {
  const { config, around, onClose } = workshop;
  const { appId, namespace, namespaceGiven, configPaths } = config;
  const { clock, log } = around;
  if (config.controlPlaneAddress === "") {
    throw new Error("--mode kubernetes without an operator: set --control-plane-address to its host:port");
  }
  const [configuration = "", ...more] = configPaths;
  if (more.length > 0) log.warn("Multiple configurations are not supported in Kubernetes mode; only the first one will be loaded");
  const connect = () => connectToOperator(workshop);
  const feed = new OperatorFeed({ appId, namespace, namespaceGiven, configuration, connect, clock, log, random: Math.random });
  onClose("operator client", () => feed.close());
  let current: readonly Configuration[] = [];
  return {
    feed,
    async configuration(signal) {
      const read = await feed.configuration(signal);
      current = configuration === "" ? [] : [read];
      return read;
    },
    async load(signal) {
      const resources = await feed.load(signal);
      return { ...resources, components: withBuiltIn(workshop, resources.components) };
    },
    configurations: async () => current,
  };
}

/** Every pod can use the secrets of its namespace that its service account may read, unless that is switched off. */
function withBuiltIn({ config }: Workshop, components: readonly Component[]): readonly Component[] {
  if (!config.kubernetesSecretStore || components.some(({ name }) => name === builtInSecretStore)) return components;
  const store: Component = {
    name: builtInSecretStore,
    namespace: "",
    scopes: [],
    type: "secretstores.kubernetes",
    version: "v1",
    // A pod without a service account's token runs without this store.
    ignoreErrors: true,
    initTimeoutMs: defaultInitTimeoutMs,
    secretStore: "",
    metadata: [],
  };
  return [store, ...components];
}

export const builtInSecretStore = "kubernetes";

export interface ReloadParts {
  readonly configuration: Configuration;
  readonly origin: ResourceOrigin;
  readonly resources: Resources;
  readonly loader: ComponentLoader;
  readonly refreshSubscriptions: () => Promise<void>;
  readonly endpoints: LiveEndpoints;
  /** Rejects with what would keep a new start from succeeding. */
  readonly checkRestart: () => Promise<unknown>;
  readonly restart: () => void;
  readonly failed: (error: unknown) => void;
}

export interface RunningReload {
  readonly reloader: Reloader;
  start(signal: AbortSignal): Promise<void>;
}

export async function makeReload({ config, around, onClose }: Workshop, parts: ReloadParts): Promise<RunningReload> {
  const { clock, log } = around;
  const { endpoints, loader, origin, resources, refreshSubscriptions, failed } = parts;
  const reloadLog = log.scope("dapr.runtime.hotreload");
  const reloader = new Reloader({
    feed: origin.feed,
    loader,
    initial: { ...resources, configurations: [...resources.configurations, ...(await origin.configurations())] },
    builtIn: config.mode === "kubernetes" && config.kubernetesSecretStore ? [builtInSecretStore] : [],
    refreshSubscriptions,
    replaceEndpoints: (list, signal) => endpoints.replace(list, signal),
    restart() {
      // A setting edited to nonsense must not end a sidecar that works.
      parts
        .checkRestart()
        .then(parts.restart, (error) => reloadLog.error(`the change has no effect, for it is wrong: ${messageOf(error)}`));
    },
    failed,
    intervalMs: config.hotReloadReconcileMs,
    clock,
    log,
  });
  return {
    reloader,
    async start(signal) {
      if (parts.configuration.features.get("HotReload") === false) return reloadLog.debug("Hot reloading disabled");
      reloadLog.info(
        "Hot reloading enabled. Daprd will reload 'Component', 'Subscription', 'Configuration', 'HTTPEndpoint' and 'Resiliency' " +
          "resources when they are added, updated or deleted.",
      );
      onClose("hot reload", () => reloader.stop());
      await reloader.start(signal);
    },
  };
}
