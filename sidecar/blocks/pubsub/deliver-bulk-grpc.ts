// A bulk of events to a gRPC app: AppCallback.OnBulkTopicEvent, or its alpha where the app has only that.
import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { GrpcCode, messageOf } from "../../../lib/kit/errors.ts";
import {
  AppCallback,
  AppCallbackAlpha,
  TopicEventResponse_TopicEventResponseStatus as Status,
  type TopicEventBulkRequest,
  type TopicEventBulkRequestEntrySchema,
  TopicEventBulkRequestSchema,
  type TopicEventBulkResponse,
  TopicEventCERequestSchema,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { type CallOptions, GrpcStatusError, newMetadata } from "../../../lib/wire/grpc/types.ts";
import type { AppChannel } from "../../contract/ports.ts";
import { type BulkEvent, type BulkToApp, traceSource } from "./bulk-delivery.ts";
import { bySize, messageBytes } from "./by-size.ts";
import { bulkEventType } from "./deliver-bulk-http.ts";
import { dataOf, extensionsOf, setTrace } from "./deliver-grpc.ts";
import { stringField } from "./event.ts";
import { type Outcome, RetryError } from "./outcome.ts";

type GrpcApp = NonNullable<AppChannel["grpc"]>;

/** Messages as the broker has them are at least this much smaller than what gRPC carries of them; attributes and framing are the rest. */
const share = 0.5;

/** In one call, or in several where gRPC's limit, `maxBytes` (0: none), is less. Rejects with a RetryError when the only call fails. */
export async function deliverBulkGrpc(
  app: GrpcApp,
  bulk: BulkToApp,
  log: Logger,
  maxBytes: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Outcome | Error>> {
  const limit = maxBytes > 0 ? maxBytes * share : Number.POSITIVE_INFINITY;
  const parts = bySize(bulk.entries, ({ message }) => messageBytes(message), limit);
  if (parts.length === 1) return deliverPart(app, bulk, log, signal);
  const found = new Map<string, Outcome | Error>();
  for (const entries of parts) {
    try {
      for (const [entryId, outcome] of await deliverPart(app, { ...bulk, entries }, log, signal)) found.set(entryId, outcome);
    } catch (error) {
      for (const { entryId } of entries) found.set(entryId, error as Error);
    }
  }
  return found;
}

/** Rejects with a RetryError when the call fails. */
async function deliverPart(app: GrpcApp, bulk: BulkToApp, log: Logger, signal: AbortSignal): Promise<ReadonlyMap<string, Outcome | Error>> {
  const found = new Map<string, Outcome | Error>();
  const entries: MessageInitShape<typeof TopicEventBulkRequestEntrySchema>[] = [];
  for (const entry of bulk.entries) {
    try {
      entries.push(bulk.raw ? rawEntry(entry) : eventEntry(entry));
    } catch (error) {
      found.set(entry.entryId, error as Error);
    }
  }
  if (entries.length === 0) return found;
  const request = create(TopicEventBulkRequestSchema, {
    id: randomUUID(),
    entries,
    metadata: { pubsubName: bulk.pubsubName },
    topic: bulk.topic,
    pubsubName: bulk.pubsubName,
    type: bulkEventType,
    path: bulk.path,
  });
  const metadata = newMetadata();
  if (/^[\x20-\x7e]*$/.test(bulk.pubsubName)) metadata["pubsubname"] = bulk.pubsubName;
  setTrace(metadata, traceSource(bulk));
  const response = await call(app, request, { metadata, signal }, log);
  for (const { entryId } of entries as { entryId: string }[]) if (response === null) found.set(entryId, "drop");
  for (const { entryId, status } of response?.statuses ?? []) {
    if (bulk.entries.some((entry) => entry.entryId === entryId)) found.set(entryId, outcomeOf(entryId, status, log));
    else log.warn(`Invalid entry id received from app while processing pub/sub event ${entryId}`);
  }
  return found;
}

/** Null: the app knows no bulks. */
async function call(
  app: GrpcApp,
  request: TopicEventBulkRequest,
  options: CallOptions,
  log: Logger,
): Promise<TopicEventBulkResponse | null> {
  const unimplemented = (error: unknown) => error instanceof GrpcStatusError && error.code === GrpcCode.UNIMPLEMENTED;
  try {
    return (await app.call(AppCallback.method.onBulkTopicEvent, request, options)).message;
  } catch (error) {
    if (!unimplemented(error)) throw failed(error);
    log.warn(`falling back to OnBulkTopicEventAlpha1 due to unimplemented error: ${messageOf(error)}`);
  }
  try {
    return (await app.call(AppCallbackAlpha.method.onBulkTopicEventAlpha1, request, options)).message;
  } catch (error) {
    if (!unimplemented(error)) throw failed(error);
    log.warn(`non-retriable error returned from app while processing bulk pub/sub event: ${messageOf(error)}`);
    return null;
  }
}

function failed(error: unknown): RetryError {
  const code = error instanceof GrpcStatusError ? { grpc: error.code } : {};
  return new RetryError(`error returned from app while processing bulk pub/sub event: ${messageOf(error)}`, code, error);
}

function rawEntry({ entryId, message }: BulkEvent): MessageInitShape<typeof TopicEventBulkRequestEntrySchema> {
  const contentType = message.contentType || "application/octet-stream";
  return { entryId, contentType, metadata: message.metadata, event: { case: "bytes", value: message.data } };
}

/** Throws a RetryError when the data is not what its content type says. */
function eventEntry({ entryId, event, message }: BulkEvent): MessageInitShape<typeof TopicEventBulkRequestEntrySchema> {
  const { fields } = event;
  const value = create(TopicEventCERequestSchema, {
    id: stringField(fields, "id"),
    source: stringField(fields, "source"),
    type: stringField(fields, "type"),
    specVersion: stringField(fields, "specversion"),
    dataContentType: stringField(fields, "datacontenttype"),
    data: dataOf(event),
  });
  value.extensions = extensionsOf(fields);
  const contentType = message.contentType || "application/cloudevents+json";
  return { entryId, contentType, metadata: message.metadata, event: { case: "cloudEvent", value } };
}

function outcomeOf(entryId: string, status: Status, log: Logger): Outcome | Error {
  switch (status) {
    case Status.SUCCESS:
      return "success";
    case Status.DROP:
      log.warn(`DROP status returned from app while processing pub/sub event for entry id: ${entryId}`);
      return "drop";
    case Status.RETRY:
      return new RetryError(`RETRY status returned from app while processing pub/sub event for entry id: ${entryId}`);
    default:
      return new RetryError(`unknown status returned from app while processing pub/sub event for entry id ${entryId}: ${status}`);
  }
}
