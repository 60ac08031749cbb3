// JSON as the state API reads and writes it: numbers keep every digit they came with, and text is escaped as Go's encoder does,
// so that a value reads the same through either sidecar.

/** Numbers that may not survive a double: sixteen digits or more, or an exponent. Strings may match too; that only costs time. */
const preciseNumber = /[\d.]{16}|\d[eE][+-]?\d/;

interface ParseContext {
  readonly source: string;
}

/** Parses JSON text; a number that JavaScript would round is kept as JSON.rawJSON. Throws a SyntaxError with cause and place. */
export function parseJson(text: string): unknown {
  try {
    return preciseNumber.test(text) ? JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown) : JSON.parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw new SyntaxError("the JSON is nested too deeply");
    throw error;
  }
}

function keepDigits(_key: string, value: unknown, context: ParseContext): unknown {
  return typeof value === "number" && String(value) !== context.source ? rawJson(context.source) : value;
}

// https://tc39.es/proposal-json-parse-with-source/, which TypeScript does not know yet.
const { rawJSON: rawJson, isRawJSON } = JSON as unknown as { rawJSON(text: string): unknown; isRawJSON(value: unknown): boolean };

/** True for a number that was kept with all its digits. */
export function isPreciseNumber(value: unknown): boolean {
  return isRawJSON(value);
}

const htmlCharacters = /[<>&\u2028\u2029]/;
const allHtmlCharacters = /[<>&\u2028\u2029]/g;

/** The bytes of a parsed value; an absent value is `null`. Throws a SyntaxError when it is nested too deeply to be written. */
export function encodeJson(value: unknown): Uint8Array {
  try {
    const text = JSON.stringify(value ?? null);
    return Buffer.from(htmlCharacters.test(text) ? text.replace(allHtmlCharacters, escapeCharacter) : text);
  } catch (error) {
    if (error instanceof RangeError) throw new SyntaxError("the JSON is nested too deeply");
    throw error;
  }
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
