// Where this sidecar's resources come from, and how their changes reach what runs.
import { messageOf } from "../lib/kit/errors.ts";
import type { Configuration } from "../lib/resources/configuration.ts";
import type { ComponentLoader } from "./loader/component-loader.ts";
import { diskFiles } from "./loader/disk-files.ts";
import type { Resources } from "./loader/load-resources.ts";
import { DiskFeed } from "./loader/reload/disk-feed.ts";
import type { Named, ResourceFeed } from "./loader/reload/feed.ts";
import { Reloader } from "./loader/reload/reloader.ts";
import type { Workshop } from "./parts.ts";

export interface ResourceOrigin {
  readonly feed: ResourceFeed;
  /** What there is at the start. Rejects with what ends it. */
  load(signal: AbortSignal): Promise<Resources>;
  /** What the Configuration was read from, for comparison. */
  configurations(): Promise<readonly Named[]>;
}

export function resourcesOnDisk({ config, around }: Pick<Workshop, "config" | "around">): ResourceOrigin {
  const { appId, namespace, namespaceGiven, resourcesPaths: paths, configPaths } = config;
  const { clock, log } = around;
  const feed = new DiskFeed({ appId, namespace, namespaceGiven, paths, configPaths, files: diskFiles, clock, log });
  return { feed, load: (signal) => feed.load(signal), configurations: () => feed.configurationFiles() };
}

export interface ReloadParts {
  readonly configuration: Configuration;
  readonly origin: ResourceOrigin;
  readonly resources: Resources;
  readonly loader: ComponentLoader;
  readonly refreshSubscriptions: () => Promise<void>;
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
  const { loader, origin, resources, refreshSubscriptions, failed } = parts;
  const reloadLog = log.scope("dapr.runtime.hotreload");
  const reloader = new Reloader({
    feed: origin.feed,
    loader,
    initial: { ...resources, configurations: [...resources.configurations, ...(await origin.configurations())] },
    builtIn: builtInComponents,
    refreshSubscriptions,
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

/** The store that Kubernetes mode adds by itself. */
export const builtInComponents: readonly string[] = ["kubernetes"];
