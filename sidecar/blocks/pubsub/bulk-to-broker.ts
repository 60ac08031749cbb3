// A bulk on its way to one broker: in requests of at most `maxBulkPubBytes` where the driver takes several messages at once, else message
// by message, many at a time.

import { requestProperty } from "../../../components/metadata.ts";
import type { BulkPublishRequest, FailedEntry, PubSub } from "../../../components/pubsub/broker.ts";
import { bySize, messageBytes } from "./by-size.ts";

/** Messages on their way at the same time, for drivers that take one at a time. */
const publishMaxAtOnce = 100;

/** Resolves with what the broker did not take. Rejects when it took none for a reason that concerns all. */
export async function publishBulk(driver: PubSub, request: BulkPublishRequest, signal: AbortSignal): Promise<readonly FailedEntry[]> {
  if (driver.bulkPublish === undefined) return publishEach(driver, request, signal);
  const failed: FailedEntry[] = [];
  // An entry that is larger than a request may be goes alone: the broker says whether it takes it.
  for (const entries of bySize(request.entries, messageBytes, maxBytes(request.metadata))) {
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
