// Keeps a copy of all objects of a resource: list, then watch, for as long as it runs, through restarts of the API server,
// expired versions (410), refusals and closed connections. A log line tells when it loses touch and when it is back.
import { type Clock, sleep, systemClock } from "../kit/clock.ts";
import { messageOf } from "../kit/errors.ts";
import type { Logger } from "../telemetry/log.ts";
import { Backoff } from "./backoff.ts";
import type { KubeClient, Selection } from "./client.ts";
import { isStatus, KubeError } from "./error.ts";
import { Mirror, type MirrorEvent, type Transform } from "./mirror.ts";
import type { KubeObject } from "./object.ts";
import type { KubeResource } from "./resource.ts";

export interface InformerOptions {
  readonly client: Pick<KubeClient, "list" | "watch">;
  readonly resource: KubeResource;
  readonly log: Logger;
  readonly selection?: Selection;
  readonly transform?: Transform;
  /** A list where a watch ends (every few minutes) so long after the last one, should a watch ever lose something; 0: only when needed. */
  readonly relistMs?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export type InformerListener = (event: MirrorEvent) => void;

const pageSize = 500;
const retryFirstMs = 200;
const retryMaxMs = 30_000;
/** A watch that ends sooner than this has not worked, whatever its status was. */
const shortWatchMs = 1000;
const shortWatchWaitMaxMs = 1000;
/** After so many of them the list is the better witness. */
const shortWatchesBeforeList = 3;
/** A kind that the cluster does not have may come later. */
const absentRetryMs = 15_000;

export class Informer {
  readonly #options: InformerOptions;
  readonly #clock: Clock;
  readonly #mirror: Mirror;
  readonly #listeners = new Set<InformerListener>();
  readonly #backoff: Backoff;
  readonly #synced = Promise.withResolvers<void>();
  #isSynced = false;
  #isAbsent = false;
  #trouble: string | null = null;

  constructor(options: InformerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#mirror = new Mirror(options.transform);
    const random = options.random === undefined ? {} : { random: options.random };
    this.#backoff = new Backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs, ...random });
  }

  /** Resolves with the first list, or once it is known that the cluster has no such kind. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** The cluster does not know the resource. */
  get isAbsent(): boolean {
    return this.#isAbsent;
  }

  /** Why the copy may be old; null: it is not. */
  get trouble(): string | null {
    return this.#trouble;
  }

  get(namespace: string, name: string): KubeObject | null {
    return this.#mirror.get(namespace, name);
  }

  values(namespace: string | null = null): IterableIterator<KubeObject> {
    return this.#mirror.values(namespace);
  }

  /** Changes from now on. What stands already is read with `values`; nothing is lost between the two in one turn. */
  subscribe(listener: InformerListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves when the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#watch(await this.#list(signal), signal);
      } catch (error) {
        await this.#afterFailure(error, signal);
      }
    }
  }

  async #afterFailure(error: unknown, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const isAbsent = isStatus(error, 404);
    if (isAbsent) this.#absent();
    // An expired version is no trouble: the next list brings what was missed.
    else if (!isStatus(error, 410)) this.#report(messageOf(error));
    const askedMs = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    await sleep(this.#clock, Math.max(isAbsent ? absentRetryMs : this.#backoff.next(), askedMs), signal).catch(ignore);
  }

  #absent(): void {
    const { log, resource } = this.#options;
    if (!this.#isAbsent) log.warn(`The cluster has no ${resource.plural}.${resource.group}: taken as none until its CRD is there`);
    this.#isAbsent = true;
    this.#emit(this.#mirror.replace([]));
    this.#settle();
  }

  #report(trouble: string | null): void {
    const { log, resource } = this.#options;
    if (trouble !== null && this.#trouble === null) log.warn(`Lost touch with ${resource.plural}, trying again: ${trouble}`);
    if (trouble === null && this.#trouble !== null) log.info(`In touch with ${resource.plural} again`);
    this.#trouble = trouble;
  }

  #settle(): void {
    this.#isSynced = true;
    this.#synced.resolve();
  }

  /** Answers the version that the list is of. */
  async #list(signal: AbortSignal): Promise<string> {
    const { client, resource, selection = {} } = this.#options;
    const items: KubeObject[] = [];
    let continueFrom = "";
    let version = "";
    do {
      const page = await client.list(resource, { ...selection, limit: pageSize, continueFrom }, signal);
      items.push(...page.items);
      version = page.resourceVersion;
      continueFrom = page.continueFrom;
    } while (continueFrom !== "");
    this.#emit(this.#mirror.replace(items));
    this.#isAbsent = false;
    this.#report(null);
    this.#settle();
    return version;
  }

  /** Watches on and on from a version; resolves when it is time for a list. */
  async #watch(from: string, signal: AbortSignal): Promise<void> {
    const { client, resource, selection = {}, relistMs = 0, random } = this.#options;
    const listed = this.#clock.monotonic();
    const pause = new Backoff({ firstMs: retryFirstMs, maxMs: shortWatchWaitMaxMs, ...(random === undefined ? {} : { random }) });
    let version = from;
    while (pause.failures < shortWatchesBeforeList && (relistMs === 0 || this.#clock.monotonic() - listed < relistMs)) {
      const started = this.#clock.monotonic();
      let count = 0;
      for await (const event of client.watch(resource, { ...selection, resourceVersion: version }, signal)) {
        count++;
        const told = event.type === "BOOKMARK" ? event.resourceVersion : (event.object.metadata.resourceVersion ?? "");
        version = told || version;
        const change = event.type === "BOOKMARK" ? null : this.#mirror.apply(event);
        if (change !== null) this.#emit([change]);
      }
      if (count > 0 || this.#clock.monotonic() - started > shortWatchMs) {
        pause.reset();
        this.#backoff.reset();
      } else await sleep(this.#clock, pause.next(), signal);
    }
  }

  #emit(events: readonly MirrorEvent[]): void {
    for (const event of events) {
      for (const listener of this.#listeners) {
        try {
          listener(event);
        } catch (error) {
          this.#options.log.error(`a listener of ${this.#options.resource.plural} failed (a bug): ${messageOf(error)}`);
        }
      }
    }
  }
}

function ignore(): void {}
