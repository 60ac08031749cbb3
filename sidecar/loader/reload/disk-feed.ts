// Resources in directories, watched. Whatever happens in one leads to a new listing of all, a moment later: editors, copies
// and mounted ConfigMaps all write in several steps. What is said about a file is not said again with each listing.
import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Clock, Timer } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import { yamlMaxBytes } from "../../../lib/resources/yaml.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { LoadError } from "../load-configuration.ts";
import { DuplicateError, loadResources, type ResourceSource, type Resources } from "../load-resources.ts";
import type { Change, Listing, Named, ResourceFeed } from "./feed.ts";

export interface DiskFeedOptions extends ResourceSource {
  /** Files of the Configuration that the sidecar uses. */
  readonly configPaths: readonly string[];
  readonly clock: Clock;
  /** Calls back with the name of what changed in a directory, or null where the platform does not say. */
  readonly watchDirectory?: typeof watchDirectory;
}

type OnChange = (change: Change | Listing) => void;

/** From the first sign of a change to the listing. */
const quietMs = 200;

export class DiskFeed implements ResourceFeed {
  readonly #options: DiskFeedOptions;
  readonly #log: Logger;
  readonly #source: ResourceSource;
  readonly #complaints: Complaints;
  #pending: Timer | null = null;
  #listing: Promise<void> = Promise.resolve();

  constructor(options: DiskFeedOptions) {
    this.#options = options;
    this.#log = options.log.scope("dapr.runtime.hotreload.loader.disk");
    this.#complaints = new Complaints(options.log);
    this.#source = { ...options, log: this.#complaints.log };
  }

  /** The resources at the start. Rejects with LoadError. */
  load(signal: AbortSignal): Promise<Resources> {
    return loadResources(this.#source, signal);
  }

  async list(signal: AbortSignal): Promise<Listing> {
    this.#complaints.begin();
    const resources = await loadResources(this.#source, signal);
    return {
      Component: resources.components,
      Subscription: resources.subscriptions,
      HTTPEndpoint: resources.httpEndpoints,
      Resiliency: resources.resiliencies,
      Configuration: [...resources.configurations, ...(await this.configurationFiles())],
      complete: !resources.problems.some((problem) => problem.severity === "error"),
    };
  }

  /** The files of --config by path, for comparison only. */
  async configurationFiles(): Promise<readonly Named[]> {
    const { configPaths, files } = this.#options;
    const read = async (name: string) => ({ name, text: await files.read(name, yamlMaxBytes).catch(messageOf) });
    return Promise.all(configPaths.map(read));
  }

  async watch(onChange: OnChange, onFatal: (error: unknown) => void, signal: AbortSignal): Promise<void> {
    const { paths, configPaths, watchDirectory: open = watchDirectory } = this.#options;
    this.#log.info(`Watching directories: [${paths.join(", ")}]`);
    const targets = [
      ...paths.map((path) => [path, (name: string) => /\.ya?ml$/i.test(name)] as const),
      ...configPaths.map((path) => [dirname(path), (name: string) => name === basename(path)] as const),
    ];
    for (const [directory, matters] of targets) {
      // Kubernetes swaps the link ..data when it brings a mounted ConfigMap up to date.
      const seen = (name: string | null) => {
        if (name === null || name === "..data" || matters(name)) this.#changed(onChange, onFatal, signal);
      };
      open(directory, seen, (error) => this.#log.warn(`${directory} is not watched any more, only listed: ${messageOf(error)}`), signal);
    }
    signal.addEventListener("abort", () => this.#pending?.cancel(), { once: true });
  }

  #changed(onChange: OnChange, onFatal: (error: unknown) => void, signal: AbortSignal): void {
    if (this.#pending !== null || signal.aborted) return;
    this.#pending = this.#options.clock.after(quietMs, () => {
      this.#pending = null;
      this.#listing = this.#listing.then(async () => {
        try {
          onChange(await this.list(signal));
        } catch (error) {
          if (error instanceof DuplicateError) return onFatal(new LoadError(`failed to load resources from disk: ${error.duplicates}`));
          if (!signal.aborted) this.#log.error(`failed to load resources from disk: ${messageOf(error)}`);
        }
      });
    });
  }
}

/** Watches one directory until the signal aborts. Never throws. */
export function watchDirectory(
  path: string,
  onChange: (name: string | null) => void,
  onFailure: (error: unknown) => void,
  signal: AbortSignal,
): void {
  try {
    const watcher: FSWatcher = watch(path, { persistent: false, signal }, (_event, name) => onChange(name));
    watcher.on("error", onFailure);
  } catch (error) {
    onFailure(error);
  }
}

/** A log in which a warning that the last listing gave as well is a debug line: a file that is wrong stays wrong. */
class Complaints {
  readonly log: Logger;
  #last: ReadonlySet<string> = new Set();
  #now = new Set<string>();

  constructor(log: Logger) {
    this.log = this.#wrap(log);
  }

  /** A listing begins. */
  begin(): void {
    this.#last = this.#now;
    this.#now = new Set();
  }

  #wrap(inner: Logger): Logger {
    return {
      level: inner.level,
      debug: (message, fields) => inner.debug(message, fields),
      info: (message, fields) => inner.info(message, fields),
      error: (message, fields) => inner.error(message, fields),
      fatal: (message, fields) => inner.fatal(message, fields),
      warn: (message, fields) => {
        this.#now.add(message);
        inner[this.#last.has(message) ? "debug" : "warn"](message, fields);
      },
      scope: (name) => this.#wrap(inner.scope(name)),
    };
  }
}
