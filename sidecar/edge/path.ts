// The one place where a request target becomes a path (lessons.md, attack 1): what leaves here is what routing, policy
// and dispatch all see. Still percent-encoded; parameters are decoded once, by the router.

/** Why a request target is refused, or its parts. */
export type Target = { readonly path: string; readonly query: string } | null;

const badEscape = /%(?![0-9A-Fa-f]{2})/;

/**
 * Splits a request target (RFC 9112 §3.2, origin- and absolute-form) into cleaned path and raw query; null when it is
 * malformed. Double slashes and dot segments are resolved; a trailing slash is kept, since topics may end in one.
 */
export function parseTarget(target: string): Target {
  let rest = target;
  if (rest.charCodeAt(0) !== 0x2f) {
    const absolute = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*(.*)$/.exec(rest);
    if (!absolute) return rest === "*" ? { path: "*", query: "" } : null;
    rest = absolute[1] as string;
    if (rest.charCodeAt(0) !== 0x2f) rest = `/${rest}`;
  }
  const queryAt = rest.indexOf("?");
  const path = queryAt < 0 ? rest : rest.slice(0, queryAt);
  if (path.includes("%") && badEscape.test(path)) return null;
  return { path: cleanPath(path), query: queryAt < 0 ? "" : rest.slice(queryAt + 1) };
}

/**
 * Resolves `//`, `.` and `..` segments of an absolute path; never climbs above the root. The method of an invocation is a
 * path of its own: what follows `/v1.0/invoke/<id>/method` reaches that app or nobody, neither another app nor our other APIs.
 */
export function cleanPath(path: string): string {
  if (!path.includes("//") && !path.includes("/.")) return path;
  const kept: string[] = [];
  const segments = path.split("/");
  let floor = 0;
  for (const segment of segments) {
    if (segment === "" || segment === ".") continue;
    if (segment !== "..") kept.push(segment);
    else if (kept.length > floor) kept.pop();
    if (floor === 0 && segment === "method" && kept.length > 3 && kept[0] === "v1.0" && kept[1] === "invoke") floor = kept.length;
  }
  const last = segments.at(-1);
  const trailing = kept.length > 0 && (last === "" || last === "." || last === "..") ? "/" : "";
  return `/${kept.join("/")}${last === "" ? trailing : ""}`;
}

/** Form decoding as Dapr applies to path parameters: `+` is a space. Throws URIError on bad UTF-8. */
export function decodeParameter(text: string): string {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  return spaced.includes("%") ? decodeURIComponent(spaced) : spaced;
}
