// The head of a request to the app: request line and header fields, from an AppRequest. Pure.
import { ApiError, apiError, messageOf } from "../../lib/kit/errors.ts";
import { encodeMethod } from "../../lib/kit/method-path.ts";
import { canonicalName, connectionTokens } from "../../lib/wire/http/headers.ts";
import { callHeader, httpName } from "../contract/invoke-headers.ts";
import type { AppRequest } from "../contract/ports.ts";
import { appErrors } from "./errors.ts";

/** Fields set over whatever the caller sent: wire name to value. */
export type FixedHeaders = ReadonlyMap<string, string>;

export const noFixedHeaders: FixedHeaders = new Map();

export function checkVerb(verb: string): void {
  if (verb === "") throw apiError(appErrors.noHttpExtension);
  if (verb === "NONE" || verb === "CONNECT") throw apiError(appErrors.invalidVerb);
}

const outsideQuery = /[^\x21-\x7e]|["#<>]/gu;

/** Path and query of the request line. Throws ApiError when the method cannot be a path. */
export function requestPath(basePath: string, request: AppRequest): string {
  let path: string;
  try {
    path = `${basePath}/${encodeMethod(request.method)}`;
  } catch (error) {
    throw error instanceof ApiError ? error : apiError(appErrors.invalidMethod, [messageOf(error)]);
  }
  if (request.query === "") return path;
  return `${path}?${request.query.replace(outsideQuery, (character) => encodeURIComponent(character.toWellFormed()))}`;
}

const callName = canonicalName(callHeader);
const wireNamesMax = 1024;
const wireNames = new Map<string, string | null>();

/** The name on the wire, or null for a field that stays here. Remembered, since the same few dozen come again and again. */
function wireName(name: string): string | null {
  const known = wireNames.get(name);
  if (known !== undefined) return known;
  const passed = httpName(name);
  const wire = passed === null || passed === "host" || passed === callHeader ? null : canonicalName(passed);
  if (wireNames.size < wireNamesMax) wireNames.set(name, wire);
  return wire;
}

/** Names and values alternating. Content-Length goes out only for a stream whose length the caller announced. */
export function requestHeaders(request: AppRequest, fixed: FixedHeaders): string[] {
  const out: string[] = [];
  const { headers } = request;
  const named = connectionTokens(headers["connection"]);
  for (const name in headers) {
    if (named?.has(name)) continue;
    const wire = wireName(name);
    if (wire === null || fixed.has(wire)) continue;
    for (const value of headers[name] as readonly string[]) out.push(wire, value);
  }
  // A packed protobuf message is that over HTTP, whatever its sender called it.
  const contentType = request.typeUrl ? "application/x-protobuf" : request.contentType;
  if (contentType && !fixed.has("Content-Type")) out.push("Content-Type", contentType);
  for (const [name, value] of fixed) out.push(name, value);
  if (request.call !== undefined) out.push(callName, request.call);
  const isStream = request.body !== null && !(request.body instanceof Uint8Array);
  if (isStream && request.contentLength !== null) out.push("Content-Length", String(request.contentLength));
  return out;
}
