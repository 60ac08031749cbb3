// A broker's message as an event: read once, before routing. Three forms: a CloudEvent (the usual), bytes for a `rawPayload` subscriber, and
// binary mode, where attributes are message metadata named `ce_*` and the data is the message itself.
import type { BrokerMessage } from "../../../components/pubsub/broker.ts";
import { fromRaw, textOf } from "./cloud-event.ts";
import { isBinary } from "./content-type.ts";
import { splitObject } from "./json-object.ts";

export type Fields = Readonly<Record<string, unknown>>;

export interface Event {
  readonly pubsubName: string;
  /** Without namespace prefix. */
  readonly topic: string;
  readonly fields: Fields;
  /** What an HTTP app gets. */
  readonly body: Uint8Array;
  readonly metadata: Readonly<Record<string, string>>;
  /** The JSON text of a member, digit for digit. Null when the event is not JSON text or has no such member. */
  member(name: string): string | null;
}

const traceFields = ["traceid", "traceparent", "tracestate"] as const;

/** Throws an Error with the cause when the message is no event. */
export function readEvent(message: BrokerMessage, pubsubName: string, topic: string, raw: boolean): Event {
  const { data, metadata } = message;
  const contentType = message.contentType ?? metadata["content-type"];
  const common = { pubsubName, topic, metadata };
  if (raw) {
    const fields = fromRaw(data, topic, pubsubName, metadata);
    return { ...common, fields, body: Buffer.from(JSON.stringify(fields)), member: noMember };
  }
  if (contentType !== undefined && isBinary(contentType)) {
    return { ...common, fields: binaryFields(message, contentType), body: data, member: noMember };
  }
  const text = textOf(data);
  const fields = parseFields(text);
  for (const name of traceFields) if (!Object.hasOwn(fields, name) && metadata[name] !== undefined) fields[name] = metadata[name];
  let members: ReadonlyMap<string, string> | null = null;
  const member = (name: string) => {
    members ??= splitObject(text) ?? new Map();
    return members.get(name) ?? null;
  };
  return { ...common, fields, body: data, member };
}

function noMember(): null {
  return null;
}

function parseFields(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error("the message is JSON but not an object; publish a CloudEvent, or subscribe with metadata rawPayload");
}

function binaryFields(message: BrokerMessage, contentType: string): Record<string, unknown> {
  const fields: Record<string, unknown> = Object.create(null);
  for (const [name, value] of Object.entries(message.metadata)) {
    const lower = name.toLowerCase();
    if (lower.startsWith("ce_")) fields[lower.slice(3)] = value;
  }
  fields["data"] = message.data;
  fields["datacontenttype"] = contentType;
  return fields;
}

/** A field that is a string, or "". */
export function stringField(fields: Fields, name: string): string {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  return typeof value === "string" ? value : "";
}

/**
 * The event's `traceparent`, else its `traceid`: undefined when it has neither, or one that is not a string, which is no trace and no reason to
 * fail. Not checked for form.
 */
export function traceField(fields: Fields): string | undefined {
  const own = (name: string) => (Object.hasOwn(fields, name) ? (fields[name] ?? undefined) : undefined);
  const value = own("traceparent") ?? own("traceid");
  return typeof value === "string" ? value : undefined;
}

/** Sent for an event whose trace is empty or malformed, as Dapr does. */
export const zeroTraceparent = "00-00000000000000000000000000000000-0000000000000000-00";
