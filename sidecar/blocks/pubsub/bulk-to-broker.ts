// A bulk on its way to one broker: in requests of at most `maxBulkPubBytes` where the driver takes several messages at once, else message
// by message, many at a time.

import { requestProperty } from "../../../components/metadata.ts";
import type { BulkEntry, BulkPublishRequest, FailedEntry, PubSub } from "../../../components/pubsub/broker.ts";

/** Messages on their way at the same time, for drivers that take one at a time. */
const publishMaxAtOnce = 100;

/** Resolves with what the broker did not take. Rejects when it took none for a reason that concerns all. */
export async function publishBulk(driver: PubSub, request: BulkPublishRequest, signal: AbortSignal): Promise<readonly FailedEntry[]> {
  if (driver.bulkPublish === undefined) return publishEach(driver, request, signal);
  const failed: FailedEntry[] = [];
  for (const entries of inRequests(request.entries, maxBytes(request.metadata))) {
    try {
      failed.push(...(await driver.bulkPublish({ ...request, entries }, signal)));
    } catch (error) {
      for (const { entryId } of entries) failed.push({ entryId, error });
    }
  }
  return failed;
}

async function publishEach(driver: PubSub, { entries, topic }: BulkPublishRequest, signal: AbortSignal): Promise<readonly FailedEntry[]> {
  const failed: FailedEntry[] = [];
  const rest = entries.values();
  const worker = async () => {
    for (const { contentType, data, entryId, metadata } of rest) {
      try {
        await driver.publish({ topic, data, contentType, metadata }, signal);
      } catch (error) {
        failed.push({ entryId, error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(publishMaxAtOnce, entries.length) }, worker));
  return failed;
}

/** Infinity without a limit that can be read. */
function maxBytes(metadata: Readonly<Record<string, string>>): number {
  const bytes = Number(requestProperty(metadata, "maxBulkPubBytes") ?? "");
  return Number.isInteger(bytes) && bytes > 0 ? bytes : Number.POSITIVE_INFINITY;
}

/** An entry that is larger than the limit goes alone: the broker says whether it takes it. */
function inRequests(entries: readonly BulkEntry[], limitBytes: number): readonly (readonly BulkEntry[])[] {
  if (limitBytes === Number.POSITIVE_INFINITY) return [entries];
  const requests: BulkEntry[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    const bytes = sizeOf(entry);
    size += bytes;
    if (size > limitBytes) {
      requests.push([]);
      size = bytes;
    }
    requests.at(-1)?.push(entry);
  }
  return requests;
}

function sizeOf({ data, metadata }: BulkEntry): number {
  let bytes = data.length;
  for (const name in metadata) bytes += Buffer.byteLength(name) + Buffer.byteLength(metadata[name] as string);
  return bytes;
}
