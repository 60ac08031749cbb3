// CloudEvents 1.0 as Dapr writes them (inventory §5.2): the envelope around a payload, the completion of an event that came as one,
// and the event a raw payload is shown as. Texts in, texts out: the payload's JSON is spliced in as it stands.
import { isBase64, isJson } from "./content-type.ts";
import { firstValue, joinObject, splitObject } from "./json-object.ts";

export const defaultSource = "Dapr";
export const defaultType = "com.dapr.event.sent";
const specVersion = "1.0";
const defaultContentType = "text/plain";

export interface EventTrace {
  /** W3C traceparent; empty: none. */
  readonly traceparent: string;
  readonly tracestate: string;
}

export interface EnvelopeRequest {
  readonly pubsubName: string;
  readonly topic: string;
  readonly source: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly trace: EventTrace;
  /** When the event expires, milliseconds since the epoch; null when never, or when the broker sees to it. */
  readonly expiresAt: number | null;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

type Overrides = Readonly<Record<string, string | undefined>>;

/** The event around a payload. `cloudevent.*` metadata, in any case, overrides attributes but not data, topic or content type. */
export function wrap(request: EnvelopeRequest): string {
  const override = overridesOf(request.metadata);
  const contentType = request.contentType || defaultContentType;
  const traceparent = override["traceparent"] || (override["traceid"] ?? request.trace.traceparent);
  const subject = override["subject"] ?? "";
  const expiration = request.expiresAt === null ? "" : `"expiration":"${rfc3339(request.expiresAt)}",`;
  return (
    `{${dataMember(contentType, request.data)},"datacontenttype":${quoted(contentType)},${expiration}"id":${quoted(override["id"] || crypto.randomUUID())},` +
    `"pubsubname":${quoted(request.pubsubName)},"source":${quoted((override["source"] ?? request.source) || defaultSource)},"specversion":"${specVersion}",` +
    `${subject === "" ? "" : `"subject":${quoted(subject)},`}"time":"${rfc3339(request.now)}","topic":${quoted(request.topic)},` +
    `"traceid":${quoted(traceparent)},"traceparent":${quoted(traceparent)},"tracestate":${quoted(override["tracestate"] ?? request.trace.tracestate)},` +
    `"type":${quoted(override["type"] || defaultType)}}`
  );
}

/** An event that came as `application/cloudevents+json`, with what it lacks. Null when it is not a JSON object. */
export function complete(request: EnvelopeRequest): string | null {
  const event = splitObject(textOf(request.data));
  if (event === null) return null;
  if (!event.has("time")) event.set("time", `"${rfc3339(request.now)}"`);
  if (!event.has("traceid")) {
    // Its own traceparent is kept where the request brings none.
    const traceparent = request.trace.traceparent === "" ? (event.get("traceparent") ?? '""') : quoted(request.trace.traceparent);
    event.set("traceid", traceparent);
    event.set("traceparent", traceparent);
  }
  if (!event.has("tracestate")) event.set("tracestate", quoted(request.trace.tracestate));
  event.set("topic", quoted(request.topic));
  event.set("pubsubname", quoted(request.pubsubName));
  setDefault(event, "source", defaultSource);
  setDefault(event, "type", defaultType);
  setDefault(event, "specversion", specVersion);
  if (request.expiresAt !== null) event.set("expiration", `"${rfc3339(request.expiresAt)}"`);
  return joinObject(event);
}

/** What a `rawPayload` subscriber sees: the bytes in an event of our making, trace from the message's metadata. */
export function fromRaw(
  data: Uint8Array,
  topic: string,
  pubsubName: string,
  metadata: Readonly<Record<string, string>>,
): Record<string, string> {
  const event: Record<string, string> = {
    data_base64: base64(data),
    datacontenttype: "application/octet-stream",
    id: crypto.randomUUID(),
    pubsubname: pubsubName,
    source: defaultSource,
    specversion: specVersion,
    topic,
    type: defaultType,
  };
  const { traceid, traceparent, tracestate } = metadata;
  if (traceid !== undefined) event["traceid"] = traceid;
  if (traceparent !== undefined) event["traceid"] = event["traceparent"] = traceparent;
  if (tracestate !== undefined) event["tracestate"] = tracestate;
  return event;
}

const rfc3339Form = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

/** Whether an event's `expiration` has passed. What is not an RFC 3339 time does not expire. */
export function hasExpired(expiration: unknown, now: number): boolean {
  return typeof expiration === "string" && rfc3339Form.test(expiration) && Date.parse(expiration) < now;
}

function overridesOf(metadata: Readonly<Record<string, string>>): Overrides {
  let overrides: Record<string, string> | null = null;
  for (const name in metadata) {
    if (name.length < 12 || name.slice(0, 11).toLowerCase() !== "cloudevent.") continue;
    overrides ??= Object.create(null) as Record<string, string>;
    overrides[name.slice(11).toLowerCase()] = metadata[name] as string;
  }
  return overrides ?? none;
}

const none: Overrides = Object.freeze(Object.create(null) as Record<string, string>);

function dataMember(contentType: string, data: Uint8Array): string {
  if (isBase64(contentType)) return `"data_base64":"${base64(data)}"`;
  const text = textOf(data);
  return `"data":${(isJson(contentType) ? firstValue(text) : null) ?? quoted(text)}`;
}

function setDefault(event: Map<string, string>, name: string, value: string): void {
  if ((event.get(name) ?? "null") === "null") event.set(name, quoted(value));
}

const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** JSON.stringify, quicker for the short plain texts that attributes are. */
function quoted(text: string): string {
  return text.length < 64 && plain.test(text) ? `"${text}"` : JSON.stringify(text);
}

function viewOf(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

export function textOf(data: Uint8Array): string {
  return viewOf(data).toString("utf8");
}

export function base64(data: Uint8Array): string {
  return viewOf(data).toString("base64");
}

let lastSecond = Number.NaN;
let lastText = "";

/** RFC 3339 in UTC, whole seconds. */
function rfc3339(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second !== lastSecond) {
    lastText = `${new Date(second * 1000).toISOString().slice(0, -5)}Z`;
    lastSecond = second;
  }
  return lastText;
}
