// AppRequest and AppResponse as the messages between sidecars (InternalInvokeRequest and -Response of service_invocation.proto),
// and back, encoded and decoded by hand because every call pays for them (lib/wire/protobuf.ts). Bodies are not in them: they travel
// as frames (frames.ts), except in the unary CallLocal. Names of HTTP origin are written as Go writes them, because a Go
// sidecar looks them up that way. Tags below are field number × 8 + wire type.
import { httpStatusOf } from "../../lib/kit/status-map.ts";
import { canonicalName, lowerName } from "../../lib/wire/http/headers.ts";
import { field, ProtoReader, stringField, utf8, varint } from "../../lib/wire/protobuf.ts";
import { firstHeader, isGrpcOrigin, newHeaders } from "../contract/invoke-headers.ts";
import type { AppRequest, AppResponse, HeaderLists } from "../contract/ports.ts";
import { replacedNames } from "./forwarded.ts";

const namePartsMax = 1024;
const nameParts = new Map<string, string>();
const canonicalNameParts = new Map<string, string>();

/** The key of a map entry. Remembered, since the same few dozen names come again and again. */
function namePart(name: string, canonical: boolean): string {
  const known = canonical ? canonicalNameParts : nameParts;
  const found = known.get(name);
  if (found !== undefined) return found;
  const part = field("\x0a", utf8(canonical ? canonicalName(name) : name));
  if (known.size < namePartsMax) known.set(name, part);
  return part;
}

/** An entry of map<string, ListStringValue>. */
function entry(tag: string, name: string, values: readonly string[]): string {
  let list = "";
  for (const value of values) list += field("\x0a", utf8(value));
  return field(tag, name + field("\x12", list));
}

function entries(tag: string, headers: HeaderLists, canonical: boolean, skip: ReadonlySet<string> | null): string {
  let encoded = "";
  for (const name in headers) {
    if (skip?.has(name)) continue;
    encoded += entry(tag, namePart(name, canonical), headers[name] as readonly string[]);
  }
  return encoded;
}

/** Never forwarded: credentials of the caller, and the target of its connection. */
const dropped: ReadonlySet<string> = new Set(["dapr-api-token", "host"]);

/** Reads one map entry into `headers`, whose names are lower case. */
function readEntry(reader: ProtoReader, headers: HeaderLists): void {
  let name = "";
  const values: string[] = [];
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) name = lowerName(reader.string());
    else if (tag === 0x12) {
      const around = reader.enter();
      for (let inner = reader.tag(); inner !== 0; inner = reader.tag()) {
        if (inner === 0x0a) values.push(reader.string());
        else reader.skip(inner);
      }
      reader.leave(around);
    } else reader.skip(tag);
  }
  reader.leave(outer);
  if (values.length === 0 || dropped.has(name)) return;
  const known = headers[name];
  headers[name] = known === undefined ? values : [...known, ...values];
}

/** google.protobuf.Any, with its tag; nothing when there is neither data nor a type. */
function anyField(tag: string, typeUrl: string, data: Uint8Array | null): string {
  if (data === null && typeUrl === "") return "";
  return field(tag, stringField("\x0a", typeUrl) + (data === null ? "" : field("\x12", latin1(data))));
}

interface Any {
  typeUrl: string;
  value: Uint8Array | null;
}

function readAny(reader: ProtoReader): Any {
  const any: Any = { typeUrl: "", value: null };
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) any.typeUrl = reader.string();
    else if (tag === 0x12) any.value = reader.bytes();
    else reader.skip(tag);
  }
  reader.leave(outer);
  return any;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

const verbNames = ["NONE", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const verbNumbers: ReadonlyMap<string, number> = new Map(verbNames.map((name, number) => [name, number]));

/** A verb that the protocol has no number for travels as POST, as with Dapr. */
function httpExtension(request: AppRequest): string {
  if (request.verb === "") return "";
  const verb = verbNumbers.get(request.verb) ?? 3;
  return field("\x22", (verb === 0 ? "" : `\x08${varint(verb)}`) + stringField("\x12", request.query));
}

/** InternalInvokeRequest, version 1. `added` goes under exactly the names given: those of Dapr's own fields, which no caller may set. */
export function encodeRequest(request: AppRequest, added: HeaderLists, data: Uint8Array | null): string {
  let encoded = `\x08\x01${entries("\x12", request.headers, !isGrpcOrigin(request.headers), replacedNames)}`;
  encoded += entries("\x12", added, false, null);
  const message =
    stringField("\x0a", request.method) +
    anyField("\x12", request.typeUrl ?? "", data) +
    stringField("\x1a", request.contentType ?? "") +
    httpExtension(request);
  return encoded + field("\x1a", message);
}

export interface ReceivedRequest {
  /** As received. */
  method: string;
  verb: string;
  query: string;
  readonly headers: HeaderLists;
  contentType: string | null;
  typeUrl: string;
  /** Of a unary call. */
  data: Uint8Array | null;
}

/** Null when there is no message in it. */
export function decodeRequest(bytes: Uint8Array): ReceivedRequest | null {
  const request: ReceivedRequest = { method: "", verb: "", query: "", headers: newHeaders(), contentType: null, typeUrl: "", data: null };
  let complete = false;
  const reader = new ProtoReader(bytes);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x12) readEntry(reader, request.headers);
    else if (tag === 0x1a) {
      complete = true;
      readRequestMessage(reader, request);
    } else reader.skip(tag);
  }
  return complete ? request : null;
}

function readRequestMessage(reader: ProtoReader, request: ReceivedRequest): void {
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) request.method = reader.string();
    else if (tag === 0x12) {
      const any = readAny(reader);
      request.typeUrl = any.typeUrl;
      request.data = any.value;
    } else if (tag === 0x1a) request.contentType = reader.string() || null;
    else if (tag === 0x22) readExtension(reader, request);
    else reader.skip(tag);
  }
  reader.leave(outer);
}

function readExtension(reader: ProtoReader, request: ReceivedRequest): void {
  request.verb = "NONE";
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) request.verb = verbNames[reader.varint()] ?? "NONE";
    else if (tag === 0x12) request.query = reader.string();
    else reader.skip(tag);
  }
  reader.leave(outer);
}

/** Content-Length of received headers; null for none, or one that is no number. */
export function announcedLength(headers: HeaderLists): number | null {
  const text = firstHeader(headers, "content-length");
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** InternalInvokeResponse. */
export function encodeResponse(response: AppResponse, data: Uint8Array | null): string {
  const { grpc } = response;
  const code = grpc === null ? response.status : grpc.code;
  let status = code === 0 ? "" : `\x08${varint(code)}`;
  if (grpc !== null) status += stringField("\x12", grpc.message) + detailsOf(grpc.details);
  const message = anyField("\x0a", response.typeUrl ?? "", data) + stringField("\x12", response.contentType ?? "");
  return (
    field("\x0a", status) +
    entries("\x12", response.headers, grpc === null, null) +
    entries("\x1a", response.trailers, false, null) +
    field("\x22", message)
  );
}

/** The details of an encoded google.rpc.Status, as fields of Dapr's own Status, which has the same numbers. */
function detailsOf(bytes: Uint8Array | null): string {
  if (bytes === null) return "";
  let details = "";
  try {
    const reader = new ProtoReader(bytes);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x1a) details += field("\x1a", latin1(reader.bytes()));
      else reader.skip(tag);
    }
  } catch {
    // Details that do not parse must not cost the caller the status itself.
    return "";
  }
  return details;
}

interface ReceivedStatus {
  code: number;
  message: string;
  /** Bytes of a google.rpc.Status, when it has details. */
  details: Uint8Array | null;
}

function readStatus(bytes: Buffer): ReceivedStatus {
  const status: ReceivedStatus = { code: 0, message: "", details: null };
  const reader = new ProtoReader(bytes);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) status.code = reader.varint();
    else if (tag === 0x12) status.message = reader.string();
    else {
      if (tag === 0x1a) status.details = bytes;
      reader.skip(tag);
    }
  }
  return status;
}

/** Codes below this are gRPC codes: the callee speaks gRPC. */
const firstHttpStatus = 100;

export interface ReceivedResponse {
  /** The answer, but for a body that follows in frames. */
  readonly response: Omit<AppResponse, "body">;
  /** Of a unary call. */
  readonly data: Uint8Array | null;
}

/** Null when there is no status in it. */
export function decodeResponse(bytes: Uint8Array): ReceivedResponse | null {
  let status: ReceivedStatus | null = null;
  const headers = newHeaders();
  const trailers = newHeaders();
  let message: { any: Any | null; contentType: string } | null = null;
  const reader = new ProtoReader(bytes);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) status = readStatus(reader.bytes());
    else if (tag === 0x12) readEntry(reader, headers);
    else if (tag === 0x1a) readEntry(reader, trailers);
    else if (tag === 0x22) message = readResponseMessage(reader);
    else reader.skip(tag);
  }
  if (status === null) return null;
  const isHttp = status.code >= firstHttpStatus;
  const response = {
    status: isHttp ? status.code : httpStatusOf(status.code),
    grpc: isHttp ? null : status,
    headers,
    trailers,
    contentType: message?.contentType || null,
    typeUrl: message?.any?.typeUrl ?? "",
  };
  return { response, data: message?.any?.value ?? null };
}

function readResponseMessage(reader: ProtoReader): { any: Any | null; contentType: string } {
  const message: { any: Any | null; contentType: string } = { any: null, contentType: "" };
  const outer = reader.enter();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) message.any = readAny(reader);
    else if (tag === 0x12) message.contentType = reader.string();
    else reader.skip(tag);
  }
  reader.leave(outer);
  return message;
}
