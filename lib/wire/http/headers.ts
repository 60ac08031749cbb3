// Header names on their way through a proxy: which are hop-by-hop (RFC 9110 §7.6.1) and how a name is written on the wire.

/** Fields that belong to one connection; what `Connection` names comes on top (see `connectionTokens`). */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "te",
  "trailer",
  "proxy-authorization",
  "proxy-authenticate",
]);

/** `name` in lower case. */
export function isHopByHop(name: string): boolean {
  return hopByHop.has(name);
}

/** Lower-case names that a Connection field lists, or null for the usual values that list nothing to strip. */
export function connectionTokens(value: string | readonly string[] | undefined): ReadonlySet<string> | null {
  if (value === undefined || value === "keep-alive" || value === "close") return null;
  const tokens = new Set<string>();
  for (const line of typeof value === "string" ? [value] : value) {
    for (const token of line.split(",")) {
      const name = token.trim().toLowerCase();
      if (name !== "" && !hopByHop.has(name) && name !== "close") tokens.add(name);
    }
  }
  return tokens.size === 0 ? null : tokens;
}

const canonicalCacheMaxNames = 1024;
const canonicalCache = new Map<string, string>();
const tokenForm = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** `content-type` → `Content-Type`, as Go's servers and clients write every header. Names that are no token stay as they are. */
export function canonicalName(name: string): string {
  const known = canonicalCache.get(name);
  if (known !== undefined) return known;
  const canonical = tokenForm.test(name) ? name.toLowerCase().replace(/(^|-)[a-z]/g, (match) => match.toUpperCase()) : name;
  // Names come from clients: the cache has a limit, or it would be a leak.
  if (canonicalCache.size < canonicalCacheMaxNames) canonicalCache.set(name, canonical);
  return canonical;
}

const lowerCache = new Map<string, string>();

/** Lower case without an allocation for names seen before. */
export function lowerName(name: string): string {
  const known = lowerCache.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  if (lowerCache.size < canonicalCacheMaxNames) lowerCache.set(name, lower);
  return lower;
}

const permanent: ReadonlySet<string> = new Set([
  "accept",
  "accept-charset",
  "accept-language",
  "accept-ranges",
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "cache-control",
  "content-type",
  "content-length",
  "cookie",
  "date",
  "expect",
  "from",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-schedule-tag-match",
  "if-unmodified-since",
  "max-forwards",
  "origin",
  "pragma",
  "referer",
  "via",
  "warning",
]);

/** Registered request fields that get a `dapr-` prefix when an HTTP header becomes gRPC metadata. Lower case. */
export function isPermanentHeader(name: string): boolean {
  return permanent.has(name);
}
