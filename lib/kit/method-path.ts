// The method of a service invocation as a path: one normaliser, whose result policy and dispatch both use (lessons.md,
// attacks 1 and 18), and the encoder that puts that result into a request line. Both are pure.

/** Why a method is refused; the text is Dapr's. */
export class MethodError extends Error {
  override readonly name = "MethodError";
}

/** What most methods look like: nothing to clean, nothing to escape. No segment starts with a dot, none is empty. */
const plain = /^[\w~!$&'()*+,;=:@-][\w~!$&'()*+,;=:@.-]*(?:\/[\w~!$&'()*+,;=:@-][\w~!$&'()*+,;=:@.-]*)*$/;
const forbidden = /[#?\0]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
const control = /[\x01-\x1f\x7f]/;

/**
 * Cleans a method that is already percent-decoded: refuses `#`, `?`, NUL and control characters, resolves `//`, `.` and
 * `..`, drops leading and trailing slashes of the relative form. Never climbs above the root. Throws MethodError.
 */
export function normalizeMethod(method: string): string {
  if (plain.test(method)) return method;
  if (forbidden.test(method)) throw new MethodError(`method contains forbidden character: ${quote(method)}`);
  const at = control.exec(method)?.index;
  if (at !== undefined) throw new MethodError(`method contains control character at position ${at}: ${quote(method)}`);
  return cleanSegments(method);
}

/** Resolves `//`, `.` and `..` as path.Clean of Go does for a path that is taken as relative to the root. A leading slash is kept. */
export function cleanSegments(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") kept.pop();
    else kept.push(segment);
  }
  return (path.startsWith("/") ? "/" : "") + kept.join("/");
}

const badEscape = /%(?![0-9A-Fa-f]{2})/;
const outsidePath = /[^\w~!$&'()*+,;=:@./%-]/gu;

/**
 * The method as it stands in a request line, without leading slash. `%XX` stays as it is, since callers may hand over an
 * already encoded path; everything that a path cannot carry is escaped. Where decoding `%XX` would reveal dot segments
 * they are resolved first, so that no traversal reaches the app. Throws MethodError on a `%` that escapes nothing.
 */
export function encodeMethod(method: string): string {
  if (plain.test(method)) return method;
  if (badEscape.test(method)) throw new MethodError(`invalid URL escape in method ${quote(method)}: write a literal % as %25`);
  const revealed = method.includes("%") ? withoutHiddenTraversal(method) : method;
  const path = revealed.startsWith("/") ? revealed.slice(1) : revealed;
  return path.replace(outsidePath, escapeCharacter);
}

const hiddenDots = /(?:^|\/|%2f)(?:\.|%2e){1,2}(?:$|\/|%2f)/i;

function withoutHiddenTraversal(method: string): string {
  if (!hiddenDots.test(method)) return method;
  const decoded = decodeUtf8(method);
  return decoded === null ? method : normalizeMethod(decoded);
}

function escapeCharacter(character: string): string {
  // A lone surrogate has no UTF-8 form; U+FFFD is what every encoder writes for it.
  return encodeURIComponent(character.isWellFormed() ? character : "\uFFFD");
}

/** Percent-decodes; null when the bytes are not UTF-8 or an escape is malformed. `+` stays `+`. */
export function decodeUtf8(text: string): string | null {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** Go's %q, near enough for the texts that people grep. */
function quote(text: string): string {
  return JSON.stringify(text)
    .replace(/\\u00([0-7][0-9a-f])/g, "\\x$1")
    .replaceAll("\x7f", "\\x7f");
}
