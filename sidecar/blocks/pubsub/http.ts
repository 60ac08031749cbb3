// Pub/sub over HTTP.
import type { FailedEntry } from "../../../components/pubsub/broker.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import { parseTraceparent, type TraceContext } from "../../../lib/telemetry/trace-context.ts";
import { type HttpRequest, json, metadataHeaders, noContent, queryMetadata, type Reply, type Route } from "../../contract/http.ts";
import { MismatchError, type PublishEntry, readEntries, UnreadableError } from "./bulk-entries.ts";
import { type BulkRequest, bulkPublish } from "./bulk-publish.ts";
import { badEnvelope, publishFailed, unreadableBulk } from "./errors.ts";
import type { PubSubPorts } from "./ports.ts";
import { checkTarget, type PublishRequest, publish } from "./publish.ts";
import type { Publisher } from "./publisher.ts";

export function pubSubRoutes(ports: PubSubPorts, publisher: Publisher): readonly Route[] {
  const methods = ["POST", "PUT"];
  const bulk = {
    methods,
    path: "publish/bulk/:pubsubname/*topic",
    group: "publish",
    name: "BulkPublishEvent",
    handle: (request: HttpRequest) => handleBulk(ports, publisher, request),
  };
  return [
    {
      methods,
      version: "v1.0",
      path: "publish/:pubsubname/*topic",
      group: "publish",
      groupVersion: "v1",
      name: "PublishEvent",
      handle: (request) => handlePublish(ports, publisher, request),
    },
    { ...bulk, version: "v1.0", groupVersion: "v1" },
    { ...bulk, version: "v1.0-alpha1", groupVersion: "v1alpha1" },
  ];
}

async function handlePublish(ports: PubSubPorts, publisher: Publisher, http: HttpRequest): Promise<Reply> {
  const request: PublishRequest = { ...requestOf(ports, http), contentType: http.headers["content-type"] ?? "" };
  const target = checkTarget(ports, request);
  await publish(ports, publisher, request, target, await http.body(), http.signal);
  return noContent;
}

async function handleBulk(ports: PubSubPorts, publisher: Publisher, http: HttpRequest): Promise<Reply> {
  const request = requestOf(ports, http);
  const target = checkTarget(ports, request);
  const entries = parseEntries(ports, request, (await http.body()).toString());
  const failed = await bulkPublish(ports, publisher, request, target, entries, http.signal);
  return failed.length === 0 ? noContent : bulkFailed(request, failed);
}

function parseEntries(ports: PubSubPorts, { pubsubName, topic }: BulkRequest, text: string): readonly PublishEntry[] {
  const { appId } = ports.identity;
  try {
    return readEntries(text);
  } catch (error) {
    if (error instanceof MismatchError) throw badEnvelope(pubsubName, topic, appId, error.message);
    if (error instanceof UnreadableError) throw unreadableBulk(pubsubName, topic, appId, error.message);
    throw error;
  }
}

/** More would not fit into what clients take as headers; the body has it all. */
const headerMaxBytes = 4096;

function bulkFailed({ pubsubName, topic }: BulkRequest, failed: readonly FailedEntry[]): Reply {
  const error = publishFailed(pubsubName, topic, failed[0]?.error);
  const body = { failedEntries: failed.map((entry) => ({ entryId: entry.entryId, error: messageOf(entry.error) })), errorCode: error.code };
  const told = { responseData: JSON.stringify(body), error: `api error: code = Internal desc = ${error.message}` };
  const fitting = Object.entries(told)
    .map(([name, text]) => [name, Buffer.from(text).toString("latin1")] as const)
    .filter(([, text]) => text.length <= headerMaxBytes);
  return json(body, error.http, metadataHeaders(Object.fromEntries(fitting)));
}

function requestOf(ports: PubSubPorts, http: HttpRequest): BulkRequest {
  return {
    pubsubName: http.params["pubsubname"] ?? "",
    topic: http.params["topic"] ?? "",
    metadata: queryMetadata(http.query),
    trace: traceOf(ports, http),
  };
}

function traceOf(ports: PubSubPorts, http: HttpRequest): TraceContext | null {
  if (ports.tracing) return http.trace;
  const { traceparent, tracestate } = http.headers;
  return parseTraceparent(single(traceparent), single(tracestate));
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}
