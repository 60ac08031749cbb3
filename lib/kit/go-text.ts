// Values written the way Go's strconv, time and encoding/csv read them. Dapr's flags are parsed by those, and people grep
// their words, so each reader answers either the value or the reason in the same words.
import { parseDuration } from "./duration.ts";

export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

const int64Max = 2n ** 63n - 1n;
const uint64Max = 2n ** 64n - 1n;

/** Text in double quotes, control characters escaped. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

/** A decimal integer with an optional sign (strconv.Atoi). */
export function readAtoi(text: string): Read<number> {
  const whole = /^[+-]?\d+$/.test(text) ? BigInt(text.replace(/^\+/, "")) : null;
  return bounded("Atoi", text, whole, -int64Max - 1n, int64Max);
}

/** A signed integer in any of Go's literal forms: 16, 0x10, 0o20, 020, 0b10000, 1_6. */
export function readInt(text: string): Read<number> {
  const sign = /^[+-]/.test(text) ? text[0] : "";
  const magnitude = literal(text.slice(sign?.length));
  return bounded("ParseInt", text, magnitude === null || sign !== "-" ? magnitude : -magnitude, -int64Max - 1n, int64Max);
}

/** As readInt, without a sign. */
export function readUint(text: string): Read<number> {
  return bounded("ParseUint", text, literal(text), 0n, uint64Max);
}

function literal(text: string): bigint | null {
  const digits = text.replaceAll("_", "");
  if (text !== digits && !/^(0[xXoObB]?_?)?[0-9a-fA-F]+(_[0-9a-fA-F]+)*$/.test(text)) return null;
  if (/^(0|[1-9]\d*|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+)$/.test(digits)) return BigInt(digits.toLowerCase());
  return /^0[0-7]+$/.test(digits) ? BigInt(`0o${digits.slice(1)}`) : null;
}

function bounded(reader: string, text: string, whole: bigint | null, min: bigint, max: bigint): Read<number> {
  const fail = (reason: string): Read<number> => ({ ok: false, reason: `strconv.${reader}: parsing ${quoted(text)}: ${reason}` });
  if (whole === null) return fail("invalid syntax");
  return whole < min || whole > max ? fail("value out of range") : { ok: true, value: Number(whole) };
}

const booleans: ReadonlyMap<string, boolean> = new Map([
  ...["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true] as const),
  ...["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false] as const),
]);

export function readBool(text: string): Read<boolean> {
  const value = booleans.get(text);
  return value === undefined ? { ok: false, reason: `strconv.ParseBool: parsing ${quoted(text)}: invalid syntax` } : { ok: true, value };
}

/** A duration such as 1m30s, in milliseconds. */
export function readDuration(text: string): Read<number> {
  const ms = parseDuration(text);
  if (ms !== undefined) return { ok: true, value: ms };
  const tail = text.replace(/^[+-]/, "").match(/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)(?![^\d.]))*(.*)$/su)?.[1] ?? "";
  const [, amount, unit] = tail.match(/^(\d+\.?\d*|\.\d+)([^\d.]*)/u) ?? [];
  if (amount === undefined) return { ok: false, reason: `time: invalid duration ${quoted(text)}` };
  if (!unit) return { ok: false, reason: `time: missing unit in duration ${quoted(text)}` };
  return { ok: false, reason: `time: unknown unit ${quoted(unit)} in duration ${quoted(text)}` };
}

/** The fields of the first CSV record of `text` (RFC 4180); an empty text has none. */
export function readCsv(text: string): Read<readonly string[]> {
  if (text === "") return { ok: true, value: [] };
  const line = text.replace(/^(\r?\n)+/, "");
  if (line === "") return { ok: false, reason: "EOF" };
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    const field = line[at] === '"' ? quotedField(line, at) : bareField(line, at);
    if (!field.ok) return field;
    fields.push(field.value.text);
    at = field.value.end;
    if (line[at] !== ",") return { ok: true, value: fields };
    at++;
  }
}

interface Field {
  readonly text: string;
  /** Index of the comma or line end that ends the field, or the length of the line. */
  readonly end: number;
}

function bareField(line: string, at: number): Read<Field> {
  const text = /[^,\r\n]*/y;
  text.lastIndex = at;
  const found = text.exec(line)?.[0] ?? "";
  const quote = found.indexOf('"');
  if (quote >= 0) return csvError(at + quote + 1, 'bare " in non-quoted-field');
  return { ok: true, value: { text: found, end: at + found.length } };
}

function quotedField(line: string, at: number): Read<Field> {
  const body = /"((?:[^"]|"")*)"/y;
  body.lastIndex = at;
  const found = body.exec(line);
  if (!found) return csvError(line.length + 1, 'extraneous or missing " in quoted-field');
  const end = at + found[0].length;
  if (end < line.length && !/[,\r\n]/.test(line[end] as string)) return csvError(end, 'extraneous or missing " in quoted-field');
  return { ok: true, value: { text: (found[1] as string).replaceAll('""', '"'), end } };
}

function csvError(column: number, what: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason: `parse error on line 1, column ${column}: ${what}` };
}
