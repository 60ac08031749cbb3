// Metadata to and from HTTP/2 headers (PROTOCOL-HTTP2.md, "Custom-Metadata"). What the protocol itself consumes never
// crosses in either direction, and nothing leaves that could be read as another header.
import { type Metadata, newMetadata } from "./types.ts";

const reserved: ReadonlySet<string> = new Set([
  "te",
  "host",
  "content-type",
  "content-length",
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-message-type",
  "grpc-status",
  "grpc-message",
  "grpc-status-details-bin",
]);

const keyPattern = /^[0-9a-z_.-]+$/;
const valuePattern = /^[ -~]*$/;

/** Metadata of received headers, from names and values alternating as node:http2 gives them. */
export function metadataFromRaw(raw: readonly string[]): Metadata {
  const metadata = newMetadata();
  for (let at = 0; at + 1 < raw.length; at += 2) receive(metadata, raw[at] as string, raw[at + 1] as string);
  return metadata;
}

/** The same from a header object, where node:http2 has joined repeated headers by commas. */
export function metadataFromHeaders(headers: Readonly<Record<string, string | string[] | number | undefined>>): Metadata {
  const metadata = newMetadata();
  for (const key in headers) {
    const value = headers[key];
    if (Array.isArray(value)) for (const one of value) receive(metadata, key, one);
    else if (value !== undefined) receive(metadata, key, String(value));
  }
  return metadata;
}

function receive(metadata: Metadata, key: string, value: string): void {
  if (key.charCodeAt(0) === 0x3a || reserved.has(key)) return;
  // A peer may send several binary values in one header; base64 has no comma, so it always separates.
  if (key.endsWith("-bin") && value.includes(",")) for (const part of value.split(",")) append(metadata, key, part.trim());
  else append(metadata, key, value);
}

/** Adds a value under `key` (lower case), keeping those that are there. */
export function append(metadata: Metadata, key: string, value: string): void {
  const present = metadata[key];
  if (present === undefined) metadata[key] = value;
  else if (typeof present === "string") metadata[key] = [present, value];
  else present.push(value);
}

/** Copies metadata into headers to send. Reserved and unspeakable keys and values are left out. */
export function writeMetadata(metadata: Metadata, into: Record<string, string | string[]>): void {
  for (const key in metadata) {
    const value = metadata[key] as string | string[];
    if (reserved.has(key) || key === "user-agent" || !keyPattern.test(key)) continue;
    if (typeof value === "string") {
      if (valuePattern.test(value)) into[key] = value;
    } else {
      const speakable = value.filter((one) => valuePattern.test(one));
      if (speakable.length > 0) into[key] = speakable;
    }
  }
}

/** Bytes of a `-bin` value; peers may leave out the padding. */
export function fromMetadataBinary(value: string): Uint8Array {
  return Buffer.from(value, "base64");
}

/** Without padding, as the specification prefers. */
export function toMetadataBinary(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64").replace(/=+$/, "");
}
