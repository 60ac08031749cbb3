// Cross-origin requests. Off by default (an empty --allowed-origins): then no header is ever added, and a browser page of
// another origin cannot reach a sidecar on loopback either (lessons.md, attack 12): see browserGuard.
import type { IncomingHttpHeaders } from "node:http";
import type { Reply, ReplyHeaders } from "../contract/http.ts";

const allowedMethods = new Set(["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"]);

export interface Cors {
  /** The answer to a preflight, or null when the request is none. */
  preflight(method: string, headers: IncomingHttpHeaders): Reply | null;
  /** Adds CORS headers to the answer of an actual request. */
  decorate(headers: IncomingHttpHeaders, into: ReplyHeaders): void;
  allows(origin: string): boolean;
}

/** Null without origins: the middleware is off. A lone `*` allows every origin; an entry may hold one `*`. */
export function createCors(allowedOrigins: readonly string[] | null): Cors | null {
  if (allowedOrigins === null) return null;
  const all = allowedOrigins.length === 1 && allowedOrigins[0] === "*";
  const allows = all ? () => true : compileOrigins(allowedOrigins);
  const allowOrigin = (origin: string) => (all ? "*" : origin);
  return {
    allows,
    preflight(method, headers) {
      const wanted = headers["access-control-request-method"];
      if (method !== "OPTIONS" || wanted === undefined) return null;
      const reply: ReplyHeaders = { vary: ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"] };
      const origin = headers.origin;
      if (origin !== undefined && allows(origin) && allowedMethods.has(wanted.toUpperCase())) {
        reply["access-control-allow-origin"] = allowOrigin(origin);
        reply["access-control-allow-methods"] = wanted.toUpperCase();
        const requested = headers["access-control-request-headers"];
        if (requested) reply["access-control-allow-headers"] = requested;
      }
      return { status: 200, headers: reply };
    },
    decorate(headers, into) {
      into["vary"] = "Origin";
      const origin = headers.origin;
      if (origin !== undefined && allows(origin)) into["access-control-allow-origin"] = allowOrigin(origin);
    },
  };
}

function compileOrigins(list: readonly string[]): (origin: string) => boolean {
  const exact = new Set<string>();
  const patterns: { readonly prefix: string; readonly suffix: string }[] = [];
  for (const entry of list.map((text) => text.trim().toLowerCase())) {
    const star = entry.indexOf("*");
    if (star < 0) exact.add(entry);
    else patterns.push({ prefix: entry.slice(0, star), suffix: entry.slice(star + 1) });
  }
  return (origin) => {
    const lower = origin.toLowerCase();
    return (
      exact.has(lower) ||
      patterns.some((p) => lower.length >= p.prefix.length + p.suffix.length && lower.startsWith(p.prefix) && lower.endsWith(p.suffix))
    );
  };
}

const loopbackHost = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/**
 * Whether a browser page of another origin sent this to a sidecar on loopback. Browsers add Sec-Fetch-Site, which pages
 * cannot forge or drop; programs do not send it. A Host that is no loopback name means DNS rebinding.
 */
export function isForeignPage(headers: IncomingHttpHeaders, localAddress: string | undefined, cors: Cors | null): boolean {
  const site = headers["sec-fetch-site"];
  if (site === undefined || !isLoopback(localAddress)) return false;
  if (headers.origin !== undefined && cors?.allows(headers.origin)) return false;
  if (site === "cross-site" || site === "same-site") return true;
  return !loopbackHost.test(headers.host ?? (headers[":authority"] as string | undefined) ?? "");
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127."));
}
