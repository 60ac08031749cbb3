// The body of a bulk publish over HTTP, `[{entryId, event, contentType, metadata}]`, read into entries of bytes. JSON events keep their
// text digit for digit; member names may be in any case, as in Dapr.
import { isBinary, isCloudEvent, isJson, isText } from "./content-type.ts";
import { firstValue, splitArray, splitObject } from "./json-object.ts";

/** An entry as the API takes it. */
export interface PublishEntry {
  readonly entryId: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The body is not the JSON that it has to be. */
export class UnreadableError extends Error {
  override readonly name = "UnreadableError";
}

/** An event is not what its content type says. */
export class MismatchError extends Error {
  override readonly name = "MismatchError";
}

/** Throws UnreadableError or MismatchError. */
export function readEntries(text: string): readonly PublishEntry[] {
  const value = firstValue(text);
  if (value === null) throw new UnreadableError(syntaxProblem(text));
  if (value === "null") return [];
  const items = splitArray(value);
  if (items === null)
    throw new UnreadableError(`json: cannot unmarshal ${kindOf(value)} into Go value of type []http.bulkPublishMessageEntry`);
  return items.map(readEntry);
}

function readEntry(item: string): PublishEntry {
  const members = new Map<string, string>();
  for (const [name, member] of membersOf(item)) members.set(name.toLowerCase(), member);
  const contentType = string(members, "contentType");
  const event = members.get("event") ?? "null";
  return {
    entryId: string(members, "entryId"),
    data: eventBytes(event, contentType),
    contentType,
    metadata: metadataOf(members.get("metadata") ?? "null"),
  };
}

function membersOf(item: string): ReadonlyMap<string, string> {
  if (item === "null") return new Map();
  const members = splitObject(item);
  if (members === null) throw wrongKind(item, "value", "http.bulkPublishMessageEntry");
  return members;
}

function string(members: ReadonlyMap<string, string>, name: string): string {
  const text = members.get(name.toLowerCase()) ?? "null";
  if (text === "null") return "";
  if (!text.startsWith('"')) throw wrongKind(text, `struct field bulkPublishMessageEntry.${name}`, "string");
  return JSON.parse(text) as string;
}

function metadataOf(text: string): Readonly<Record<string, string>> {
  const metadata: Record<string, string> = Object.create(null);
  if (text === "null") return metadata;
  const members = splitObject(text);
  if (members === null) throw wrongKind(text, "struct field bulkPublishMessageEntry.metadata", "map[string]string");
  for (const [name, value] of members) {
    if (!value.startsWith('"')) throw wrongKind(value, "struct field bulkPublishMessageEntry.metadata", "string");
    metadata[name] = JSON.parse(value) as string;
  }
  return metadata;
}

const base64Form = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function eventBytes(event: string, contentType: string): Uint8Array {
  if (isJson(contentType) || isCloudEvent(contentType)) return Buffer.from(event);
  const isString = event.startsWith('"');
  if (isBinary(contentType) && isString) {
    const encoded = (JSON.parse(event) as string).replace(/[\r\n]/g, "");
    if (!base64Form.test(encoded))
      throw new MismatchError("error: unable to decode base64 application/octect-stream data: it is not base64");
    return Buffer.from(encoded, "base64");
  }
  if (isText(contentType) && isString) return Buffer.from(JSON.parse(event) as string);
  throw new MismatchError(
    "error: mismatch between contentType and event: text and XML are a JSON string, application/octet-stream is base64, " +
      `anything else is application/json or application/cloudevents+json; the content type is '${contentType}'`,
  );
}

function wrongKind(text: string, where: string, type: string): UnreadableError {
  return new UnreadableError(`json: cannot unmarshal ${kindOf(text)} into Go ${where} of type ${type}`);
}

function kindOf(text: string): string {
  switch (text[0]) {
    case "{":
      return "object";
    case "[":
      return "array";
    case '"':
      return "string";
    case "t":
    case "f":
      return "bool";
    default:
      return "number";
  }
}

/** What keeps `text` from being JSON, for whoever sent it. */
function syntaxProblem(text: string): string {
  if (text.trim() === "") return "EOF";
  try {
    JSON.parse(text);
    return "it is not one JSON value";
  } catch (error) {
    const message = (error as Error).message;
    const at = / at position (\d+)/.exec(message)?.[1];
    const endsEarly = at === undefined ? message.includes("end of JSON") : Number(at) >= text.length;
    return endsEarly ? "unexpected EOF" : message;
  }
}
