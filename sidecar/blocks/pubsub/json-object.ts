// JSON objects taken apart and put together without touching the text of their values, so that numbers keep every digit and what is
// only forwarded is not built up in memory. JSON.parse decides what is valid; the scanners below trust it.

/** Members of the object that `text` is, as raw JSON texts; of a repeated name the last. Null when `text` is not one JSON object. */
export function splitObject(text: string): Map<string, string> | null {
  if (!isObject(text)) return null;
  const members = new Map<string, string>();
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (text[at] !== "}") {
    const nameEnd = skipString(text, at);
    const name = JSON.parse(text.slice(at, nameEnd)) as string;
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = skipValue(text, start);
    members.set(name, text.slice(start, end));
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return members;
}

/** Items of the array that `text` is, as raw JSON texts. Null when `text` is not one JSON array. */
export function splitArray(text: string): string[] | null {
  if (text.charAt(skipSpace(text, 0)) !== "[" || !isJsonText(text)) return null;
  const items: string[] = [];
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (text[at] !== "]") {
    const end = skipValue(text, at);
    items.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return items;
}

export function joinObject(members: ReadonlyMap<string, string>): string {
  let text = "{";
  for (const [name, value] of members) text += `${text === "{" ? "" : ","}${JSON.stringify(name)}:${value}`;
  return `${text}}`;
}

/** The first JSON value in `text`, as it stands; what follows it does not matter, as for Go's decoder. Null when there is none. */
export function firstValue(text: string): string | null {
  if (isJsonText(text)) return text.trim();
  const start = skipSpace(text, 0);
  const value = text.slice(start, skipValue(text, start));
  return isJsonText(value) ? value : null;
}

function isJsonText(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isObject(text: string): boolean {
  return text.charAt(skipSpace(text, 0)) === "{" && isJsonText(text);
}

function skipSpace(text: string, from: number): number {
  let at = from;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) break;
  }
  return at;
}

/** Behind the string that starts at `from`. */
function skipString(text: string, from: number): number {
  let at = from + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return text.length;
    let escapes = 0;
    while (text.charCodeAt(quote - 1 - escapes) === 92 && quote - 1 - escapes > from) escapes++;
    if (escapes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

const scalarEnd = /[,\]}\s]/g;

/** Behind the value that starts at `from`. */
function skipValue(text: string, from: number): number {
  const first = text[from];
  if (first === '"') return skipString(text, from);
  if (first !== "{" && first !== "[") {
    scalarEnd.lastIndex = from;
    return scalarEnd.exec(text)?.index ?? text.length;
  }
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === 34) at = skipString(text, at);
    else {
      if (code === 123 || code === 91) depth++;
      else if (code === 125 || code === 93) depth--;
      at++;
      if (depth === 0) return at;
    }
  }
  return at;
}
