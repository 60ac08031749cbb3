// A bulk of events to an HTTP app: POST to the route, `{id, entries: [{entryId, event, contentType, metadata}], …}`, and back comes
// `{statuses: [{entryId, status}]}`. The events' JSON is spliced in as it stands.
import { randomUUID } from "node:crypto";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { newHeaders } from "../../contract/invoke-headers.ts";
import type { AppChannel } from "../../contract/ports.ts";
import { type BulkEvent, type BulkToApp, traceSource } from "./bulk-delivery.ts";
import { base64, textOf } from "./cloud-event.ts";
import { eventRequest, post, setPubSubName, setTrace } from "./deliver-http.ts";
import { type Outcome, RetryError } from "./outcome.ts";

export const bulkEventType = "com.dapr.event.sent.bulk";

/** Rejects with a RetryError when the app's answer says nothing of the entries. */
export async function deliverBulkHttp(
  channel: AppChannel,
  bulk: BulkToApp,
  log: Logger,
  maxBodyBytes: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Outcome | Error>> {
  const headers = newHeaders();
  setPubSubName(headers, bulk.pubsubName);
  setTrace(headers, traceSource(bulk));
  const request = eventRequest(bulk.path, headers, "application/json", Buffer.from(envelope(bulk)));
  const { status, body } = await post(channel, request, maxBodyBytes, signal);
  if (status >= 200 && status <= 299) return outcomes(body, bulk, log);
  if (status === 404) {
    log.error(`Non-retriable error returned from app while processing bulk pub/sub event. status code returned: ${status}`);
    return new Map(bulk.entries.map(({ entryId }) => [entryId, "drop"]));
  }
  const message = `Retriable error returned from app while processing bulk pub/sub event, topic: ${bulk.topic}. status code returned: ${status}`;
  log.warn(message);
  throw new RetryError(message, { http: status });
}

function envelope({ entries, pubsubName, raw, topic }: BulkToApp): string {
  const items = entries.map((entry) => {
    const { event, contentType } = raw ? rawItem(entry) : eventItem(entry);
    const { entryId, message } = entry;
    return (
      `{"entryId":${JSON.stringify(entryId)},"event":${event},"metadata":${JSON.stringify(message.metadata)},` +
      `"contentType":${JSON.stringify(contentType)}}`
    );
  });
  const name = JSON.stringify(pubsubName);
  return (
    `{"entries":[${items.join(",")}],"id":"${randomUUID()}","metadata":{"pubsubName":${name}},"pubsubname":${name},` +
    `"topic":${JSON.stringify(topic)},"type":"${bulkEventType}"}`
  );
}

interface Item {
  /** JSON text. */
  readonly event: string;
  readonly contentType: string;
}

function rawItem({ message }: BulkEvent): Item {
  return { event: `"${base64(message.data)}"`, contentType: message.contentType || "application/octet-stream" };
}

function eventItem({ event, message }: BulkEvent): Item {
  const contentType = message.contentType || "application/cloudevents+json";
  const { data, ...attributes } = event.fields;
  if (!(data instanceof Uint8Array)) return { event: textOf(event.body), contentType };
  // Binary mode: its attributes and its data become one event.
  return { event: JSON.stringify({ ...attributes, data_base64: base64(data) }), contentType: "application/cloudevents+json" };
}

function outcomes(body: Uint8Array, bulk: BulkToApp, log: Logger): ReadonlyMap<string, Outcome | Error> {
  const ids = new Set(bulk.entries.map(({ entryId }) => entryId));
  const found = new Map<string, Outcome | Error>();
  for (const [entryId, status] of statuses(body)) {
    if (ids.has(entryId)) found.set(entryId, outcomeOf(entryId, status, log));
    else log.warn(`Invalid entry id received from app while processing pub/sub event ${entryId}`);
  }
  return found;
}

/** Throws a RetryError when the answer is not what it has to be. */
function statuses(body: Uint8Array): readonly (readonly [string, string])[] {
  const unreadable = (cause: string) => new RetryError(`failed unmarshalling app response for bulk subscribe: ${cause}`);
  let answer: unknown;
  try {
    answer = JSON.parse(Buffer.from(body).toString());
  } catch (error) {
    throw unreadable(body.length === 0 ? "it is empty; answer with a status for each entry" : (error as Error).message);
  }
  const list = member(answer, "statuses") ?? [];
  if (!Array.isArray(list)) throw unreadable("'statuses' is not a list");
  return list.map((item: unknown) => [text(member(item, "entryid")), text(member(item, "status"))]);
}

/** A member whatever the case of its name, as Go reads JSON. */
function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.entries(value).findLast(([key]) => key.toLowerCase() === name)?.[1];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Other than for a single event, no status is no success. */
function outcomeOf(entryId: string, status: string, log: Logger): Outcome | Error {
  switch (status) {
    case "SUCCESS":
      return "success";
    case "DROP":
      log.warn(`DROP status returned from app while processing pub/sub event ${entryId}`);
      return "drop";
    case "":
    case "RETRY":
      return new RetryError(`RETRY required while processing bulk subscribe event for entry id: ${entryId}`);
    default:
      return new RetryError(`unknown status returned from app while processing bulk subscribe event ${entryId}: ${status}`);
  }
}
