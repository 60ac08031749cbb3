// Where an HTTP request names its target and method: the header dapr-app-id, basic auth with that user name, or the
// path /v1.0/invoke/<target>/method/<method>, in this order.
import type { IncomingHttpHeaders } from "node:http";
import { cleanSegments, decodeUtf8 } from "../../../lib/kit/method-path.ts";

export interface Target {
  readonly target: string;
  /** Percent-decoded, not yet normalised; null when the bytes are not UTF-8. */
  readonly method: string | null;
}

/** `path` is the request's, cleaned and still percent-encoded. Null when no target is named. */
export function findTarget(path: string, headers: IncomingHttpHeaders): Target | null {
  const header = headers["dapr-app-id"];
  if (typeof header === "string" && header !== "") return { target: header, method: methodOf(path) };
  const user = headers.authorization === undefined ? null : basicAuthTarget(headers.authorization);
  if (user !== null) return { target: user, method: methodOf(path) };
  return fromPath(path);
}

/** Escaped slashes and dots are resolved too, before anything else looks at the method: policy and app see what is left. */
function methodOf(path: string): string | null {
  const decoded = decodeUtf8(path);
  if (decoded === null) return null;
  return (decoded === path ? decoded : cleanSegments(decoded)).replace(/^\/+/, "");
}

function basicAuthTarget(authorization: string): string | null {
  if (!authorization.startsWith("Basic ")) return null;
  const [name, target, ...rest] = Buffer.from(authorization.slice("Basic ".length), "base64").toString().split(":");
  if (target === undefined || target === "" || rest.length > 0) return null;
  return name?.toLowerCase() === "dapr-app-id" ? target : null;
}

const prefix = "/v1.0/invoke/";

function fromPath(path: string): Target | null {
  if (!path.startsWith(prefix)) return null;
  const at = path.indexOf("/method/", prefix.length);
  // `…/method` without a slash behind it was `…/method/` before its path was cleaned.
  const end = at >= 0 ? at : path.endsWith("/method") ? path.length - "/method".length : -1;
  if (end <= prefix.length) return null;
  const encoded = path.slice(prefix.length, end);
  const target = decodeUtf8(encoded);
  if (target === null) return null;
  return { target: restoreScheme(target), method: methodOf(path.slice(end + "/method".length)) };
}

/** Cleaning the path made `http:/host` of `http://host`. */
function restoreScheme(target: string): string {
  return target.replace(/^(https?):\/+/, "$1://");
}
