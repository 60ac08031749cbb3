// The operation of a call to an HTTP app, in the one spelling that policies are matched in. HTTP apps percent-decode what
// they are sent, so `%61dmin` and `admin` are one path and get one answer (lessons.md, attack 1).
import { decodeUtf8, MethodError, normalizeMethod } from "../../lib/kit/method-path.ts";

/**
 * `method` (normalised, as it is dispatched) as the app will read it: decoded, rooted, in lower case. Null when two apps
 * could read two paths in it: escapes that hide separators or dot segments, or that are not UTF-8.
 */
export function readByHttpApp(method: string): string | null {
  const decoded = decodeUtf8(method);
  if (decoded === null) return null;
  const rooted = decoded.startsWith("/") ? decoded : `/${decoded}`;
  if (decoded !== method && !isPlain(method, decoded)) return null;
  return lowerCase(rooted);
}

const hiddenSeparator = /%(?:2f|5c)/i;

function isPlain(method: string, decoded: string): boolean {
  if (hiddenSeparator.test(method)) return false;
  try {
    return normalizeMethod(decoded) === decoded;
  } catch (error) {
    if (error instanceof MethodError) return false;
    throw error;
  }
}

/** Lower case of each character by itself: what a letter becomes must not depend on its neighbours. */
export function lowerCase(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
  if (/^[\x00-\x7f]*$/.test(text)) return text.toLowerCase();
  let lower = "";
  for (const character of text) lower += character.toLowerCase();
  return lower;
}
