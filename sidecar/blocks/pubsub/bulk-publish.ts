// The verb behind BulkPublishEvent, HTTP and gRPC alike: several events for one topic, each with an id, an envelope and a fate of its own.
import type { BulkEntry, FailedEntry } from "../../../components/pubsub/broker.ts";
import { childOf } from "../../../lib/telemetry/trace-context.ts";
import type { PublishEntry } from "./bulk-entries.ts";
import { badEntries } from "./errors.ts";
import type { PubSubPorts } from "./ports.ts";
import { outgoing, type PublishRequest, type Target } from "./publish.ts";
import type { Publisher } from "./publisher.ts";

export type BulkPublishPorts = Pick<PubSubPorts, "identity" | "components" | "clock" | "observer" | "tracing">;

/** A bulk publish without its entries; an entry's content type is its own, and its metadata goes over the request's. */
export type BulkRequest = Omit<PublishRequest, "contentType">;

/** Resolves with the entries that the broker did not take. Rejects with ApiError, before anything is published. */
export async function bulkPublish(
  ports: BulkPublishPorts,
  publisher: Publisher,
  request: BulkRequest,
  target: Target,
  entries: readonly PublishEntry[],
  signal: AbortSignal,
): Promise<readonly FailedEntry[]> {
  checkIds(ports, request, entries);
  const { pubsubName, topic, metadata } = request;
  const bulk = { topic, metadata, entries: entries.map((entry) => toBroker(ports, request, target, entry)) };
  const { clock, observer } = ports;
  const startedMs = clock.monotonic();
  let success = false;
  try {
    const failed = await publisher.bulkPublish(pubsubName, bulk, signal);
    success = failed.length === 0;
    return failed;
  } finally {
    observer?.bulkPublished(pubsubName, topic, success, clock.monotonic() - startedMs);
  }
}

function toBroker(ports: BulkPublishPorts, request: BulkRequest, target: Target, entry: PublishEntry): BulkEntry {
  const { contentType, data, entryId } = entry;
  const metadata = Object.assign(Object.create(null), request.metadata, entry.metadata) as Record<string, string>;
  // Every event of a bulk is a span of its own.
  const trace = ports.tracing && request.trace !== null ? childOf(request.trace, true) : request.trace;
  const message = outgoing(ports, { ...request, contentType, metadata, trace }, target, data);
  return { entryId, data: message.data, contentType: message.contentType, metadata: message.metadata };
}

function checkIds(ports: BulkPublishPorts, { pubsubName, topic }: BulkRequest, entries: readonly PublishEntry[]): void {
  const ids = new Set<string>();
  for (const { entryId } of entries) {
    if (entryId === "" || ids.has(entryId))
      throw badEntries(pubsubName, topic, ports.identity.appId, "entryId is duplicated or not present for entry");
    ids.add(entryId);
  }
}
