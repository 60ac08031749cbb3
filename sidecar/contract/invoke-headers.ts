// Headers on the way between HTTP, gRPC and the protocol between sidecars (inventory §3.5). HeaderLists have lower-case
// names; what came in over gRPC carries `content-type: application/grpc`, and keeps its names as they are.

import {
  decodeTraceBin,
  encodeTraceBin,
  formatTraceparent,
  parseTraceparent,
  type TraceContext,
} from "../../lib/telemetry/trace-context.ts";
import { type Metadata, newMetadata } from "../../lib/wire/grpc/types.ts";
import { connectionTokens, isHopByHop, isPermanentHeader, lowerName } from "../../lib/wire/http/headers.ts";
import type { HeaderLists } from "./ports.ts";

export function newHeaders(): HeaderLists {
  return Object.create(null) as HeaderLists;
}

/**
 * Says what a request to the app is, so that a handler meant for events can tell one from a plain invocation of its route
 * (lessons.md, attack 15). Only the channel to the app writes it; whatever a caller sends under this name is dropped there.
 */
export const callHeader = "outrigger-call";

/** The first value of `name`, or undefined. */
export function firstHeader(headers: HeaderLists, name: string): string | undefined {
  return headers[name]?.[0];
}

/** Whether these headers came with a gRPC call rather than an HTTP one. */
export function isGrpcOrigin(headers: HeaderLists): boolean {
  return headers["content-type"]?.[0]?.startsWith("application/grpc") ?? false;
}

/** Names that never pass from the caller's connection to the app: routing, credentials, and what the transport sets itself. */
const consumed: ReadonlySet<string> = new Set(["host", "dapr-app-id", "dapr-api-token", "expect"]);

/** End-to-end headers of a received HTTP request. `raw` alternates names and values. */
export function fromRawHeaders(raw: readonly string[], connection: string | undefined): HeaderLists {
  const named = connectionTokens(connection);
  const headers = newHeaders();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = lowerName(raw[i] as string);
    if (isHopByHop(name) || consumed.has(name) || name.startsWith(":") || named?.has(name)) continue;
    const value = raw[i + 1] as string;
    const values = headers[name] as string[] | undefined;
    if (values === undefined) headers[name] = [value];
    else values.push(value);
  }
  return headers;
}

/** End-to-end headers of an HTTP response as undici and node:http parse it. */
export function fromParsedHeaders(parsed: Readonly<Record<string, string | string[] | undefined>>): HeaderLists {
  const named = connectionTokens(parsed["connection"]);
  const headers = newHeaders();
  for (const name in parsed) {
    if (isHopByHop(name) || named?.has(name)) continue;
    const value = parsed[name];
    if (value !== undefined) headers[name] = typeof value === "string" ? [value] : value;
  }
  return headers;
}

/** gRPC metadata as header lists; `-bin` values stay base64. */
export function fromMetadata(metadata: Metadata): HeaderLists {
  const headers = newHeaders();
  for (const name in metadata) {
    const value = metadata[name] as string | string[];
    headers[name] = typeof value === "string" ? [value] : value;
  }
  return headers;
}

/** Writes this hop's trace context over whatever the caller sent. */
export function setTrace(headers: HeaderLists, trace: TraceContext): void {
  headers["traceparent"] = [formatTraceparent(trace)];
  if (trace.tracestate !== "") headers["tracestate"] = [trace.tracestate];
  else delete headers["tracestate"];
}

/** The trace context that headers carry, in W3C or OpenCensus form. */
export function traceOf(headers: HeaderLists): TraceContext | null {
  const parsed = parseTraceparent(firstHeader(headers, "traceparent"), firstHeader(headers, "tracestate"));
  if (parsed) return parsed;
  const binary = firstHeader(headers, "grpc-trace-bin");
  return binary === undefined ? null : decodeTraceBin(Buffer.from(binary, "base64"));
}

/** Puts `trace` into outgoing gRPC metadata, in both forms. */
export function traceIntoMetadata(metadata: Metadata, trace: TraceContext): void {
  metadata["traceparent"] = formatTraceparent(trace);
  if (trace.tracestate !== "") metadata["tracestate"] = trace.tracestate;
  metadata["grpc-trace-bin"] = encodeTraceBin(trace).toString("base64");
}

/** Metadata that a gRPC transport writes itself; a copy from another hop would contradict it. */
const transport: ReadonlySet<string> = new Set(["content-type", "user-agent", "te", "content-length", "connection", "host"]);
const metadataName = /^[0-9a-z_.-]+$/;
const printable = /^[\x20-\x7e]*$/;

/**
 * Headers as gRPC metadata. With `prefixPermanent`, registered HTTP request fields of an HTTP origin become
 * `dapr-<name>`. Values that gRPC cannot carry are left out; `destination-app-id` stays between sidecars.
 */
export function toMetadata(headers: HeaderLists, prefixPermanent: boolean): Metadata {
  const metadata = newMetadata();
  const prefix = prefixPermanent && !isGrpcOrigin(headers);
  for (const name in headers) {
    if (name === "destination-app-id" || name.startsWith(":")) continue;
    let key = name;
    if (prefix && isPermanentHeader(name)) key = `dapr-${name}`;
    else if (transport.has(name) || (name.startsWith("grpc-") && name !== "grpc-trace-bin")) continue;
    const values = (headers[name] as readonly string[]).filter((value) => printable.test(value));
    if (values.length > 0 && metadataName.test(key)) metadata[key] = values.length === 1 ? (values[0] as string) : values;
  }
  const trace = traceOf(headers);
  if (trace) traceIntoMetadata(metadata, trace);
  return metadata;
}

/** Names that have a form of their own in HTTP, or none. */
const notForHttp: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
  "destination-app-id",
  "grpc-trace-bin",
  // 100-continue is between neighbours: the edge has answered it, and the next client makes its own.
  "expect",
]);

/**
 * The name under which an end-to-end header goes out over HTTP; null when it does not. `grpc-*` metadata of a gRPC
 * callee becomes `dapr-grpc-*`, binary metadata is dropped, and content-type and length are the caller's to set.
 */
export function httpName(name: string): string | null {
  if (notForHttp.has(name) || isHopByHop(name) || name.endsWith("-bin")) return null;
  if (name.startsWith("grpc-")) return `dapr-${name}`;
  return name.startsWith(":") ? `dapr-${name.slice(1)}` : name;
}
