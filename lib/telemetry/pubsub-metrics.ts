// What pub/sub counts (dapr_component_pubsub_*): plain numbers until somebody scrapes.
import type { Registry } from "prom-client";
import { Latencies, latencyBucketsMs, registerLatencies } from "./latencies.ts";

type Library = Pick<typeof import("prom-client"), "Counter">;

/** Topics come from callers: beyond so many their label is `others`, so that the totals stay right. */
const topicsMax = 250;

/** What became of a message on its way to the app. */
export type ProcessStatus = "success" | "retry" | "drop";

/** What pub/sub tells of itself; times in milliseconds. */
export interface PubSubObserver {
  /** A publish request has been answered. */
  published(component: string, topic: string, success: boolean, ms: number): void;
  bulkPublished(component: string, topic: string, success: boolean, ms: number): void;
  /** `ms`: how long the app took; null when it was not asked. `status` differs from `processed` where no rule wanted the message: success. */
  delivered(component: string, topic: string, processed: ProcessStatus, status: ProcessStatus, ms: number | null): void;
  bulkDelivered(component: string, topic: string, events: Readonly<Record<ProcessStatus, number>>, ms: number): void;
}

interface Series {
  readonly labels: Readonly<Record<string, string>>;
  count: number;
  /** Null until something has been timed. */
  latencies: Latencies | null;
}

/** Series of one metric, by the labels that vary. */
class Family {
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, Series>();

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
  }

  /** `key` tells the labels apart; `ms` null: not timed. */
  add(key: string, labels: Readonly<Record<string, string>>, count: number, ms: number | null): void {
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { labels, count: 0, latencies: null };
      this.#series.set(key, series);
    }
    series.count += count;
    if (ms === null) return;
    series.latencies ??= new Latencies(this.#bounds);
    series.latencies.record(ms);
  }

  values(): Iterable<Series> {
    return this.#series.values();
  }

  *timed(common: Readonly<Record<string, string>>): Generator<readonly [Readonly<Record<string, string>>, Latencies]> {
    for (const { labels, latencies } of this.#series.values()) {
      if (latencies !== null) yield [sorted({ ...common, ...labels }), latencies];
    }
  }
}

export class PubSubMetrics implements PubSubObserver {
  readonly #common: Readonly<Record<string, string>>;
  readonly #published: Family;
  readonly #bulksPublished: Family;
  readonly #delivered: Family;
  readonly #bulksDelivered: Family;
  readonly #bulkEvents: Family;
  readonly #topics = new Set<string>();

  /** `buckets`: upper bounds in milliseconds; empty: Dapr's. */
  constructor(appId: string, namespace: string, buckets: readonly number[]) {
    const bounds = buckets.length > 0 ? buckets : latencyBucketsMs;
    this.#common = { app_id: appId, namespace };
    this.#published = new Family(bounds);
    this.#bulksPublished = new Family(bounds);
    this.#delivered = new Family(bounds);
    this.#bulksDelivered = new Family(bounds);
    this.#bulkEvents = new Family(bounds);
  }

  published(component: string, requested: string, success: boolean, ms: number): void {
    const topic = this.#labelOf(requested);
    this.#published.add(`${component}\n${topic}\n${success}`, { component, success: String(success), topic }, 1, ms);
  }

  bulkPublished(component: string, requested: string, success: boolean, ms: number): void {
    const topic = this.#labelOf(requested);
    this.#bulksPublished.add(`${component}\n${topic}\n${success}`, { component, success: String(success), topic }, 1, ms);
  }

  delivered(component: string, subscribed: string, processed: ProcessStatus, status: ProcessStatus, ms: number | null): void {
    const topic = this.#labelOf(subscribed);
    const key = `${component}\n${topic}\n${processed}\n${status}`;
    this.#delivered.add(key, { component, process_status: processed, status, topic }, 1, ms);
  }

  bulkDelivered(component: string, subscribed: string, events: Readonly<Record<ProcessStatus, number>>, ms: number): void {
    const topic = this.#labelOf(subscribed);
    this.#bulksDelivered.add(`${component}\n${topic}`, { component, process_status: "", topic }, 1, ms);
    for (const processed of ["success", "drop", "retry"] as const) {
      if (events[processed] === 0) continue;
      // In capitals here, and here alone, as Dapr writes it.
      const labels = { component, process_status: processed.toUpperCase(), topic };
      this.#bulkEvents.add(`${component}\n${topic}\n${processed}`, labels, events[processed], null);
    }
  }

  register(registry: Registry, library: Library): void {
    this.#register(registry, library, "ingress", "Incoming messages from a pub/sub component", this.#delivered);
    this.#register(registry, library, "ingress_bulk", "Incoming bulks from a pub/sub component", this.#bulksDelivered);
    this.#count(registry, library, "ingress_bulk_event_count", "Incoming messages in bulks from a pub/sub component.", this.#bulkEvents);
    this.#register(registry, library, "egress", "Messages published to a pub/sub component", this.#published);
    this.#register(registry, library, "egress_bulk", "Bulks published to a pub/sub component", this.#bulksPublished);
  }

  #labelOf(topic: string): string {
    if (this.#topics.has(topic)) return topic;
    if (this.#topics.size >= topicsMax) return "others";
    this.#topics.add(topic);
    return topic;
  }

  #register(registry: Registry, library: Library, name: string, what: string, family: Family): void {
    this.#count(registry, library, `${name}_count`, `${what}.`, family);
    const latencies = `dapr_component_pubsub_${name}_latencies`;
    registerLatencies(registry, latencies, `${what}: time they took, milliseconds.`, () => family.timed(this.#common));
  }

  #count(registry: Registry, library: Library, name: string, help: string, family: Family): void {
    const common = this.#common;
    new library.Counter({
      name: `dapr_component_pubsub_${name}`,
      help,
      labelNames: ["app_id", "component", "namespace", "process_status", "status", "success", "topic"],
      registers: [registry],
      collect() {
        this.reset();
        for (const { labels, count } of family.values()) this.inc(sorted({ ...common, ...labels }), count);
      },
    });
  }
}

/** In the order in which Dapr writes them. */
function sorted(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}
