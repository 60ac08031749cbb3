// Reading and building DER (X.690) with forge's ASN.1. Forge reads BER too, so every input first passes `checkDer`:
// bounded size, depth and number of values, definite minimal lengths, single-byte tags, nothing behind the value.
// What a signature covers and names that must stay byte for byte are cut from the input (`sliceAt`), never re-encoded.

import type { asn1 as Forge } from "node-forge";
import asn1 from "node-forge/lib/asn1.js";
import { X509Error } from "./x509-error.ts";

export type Asn1 = Forge.Asn1;

const depthMax = 16;
const valuesMax = 4096;
const { Class, Type } = asn1;

/** Universal tags with the constructed bit, as they stand in the first byte. */
export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The tree of one DER value. Throws X509Error `too_large` or `der`; `what` names the input in the message. */
export function parseDer(bytes: Uint8Array, maxBytes: number, what: string): Asn1 {
  if (bytes.length > maxBytes) throw new X509Error("too_large", `${what} has ${bytes.length} bytes; at most ${maxBytes} are accepted`);
  checkDer(bytes, what);
  try {
    // The options form is not in the types: without it forge would try to read every bit string as ASN.1.
    const options = { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth: depthMax + 1 };
    return asn1.fromDer(binary(bytes), options as unknown as boolean);
  } catch (error) {
    throw new X509Error("der", `${what} is not valid DER`, error);
  }
}

interface Header {
  readonly tag: number;
  /** Offset of the contents and of the byte after them. */
  readonly start: number;
  readonly end: number;
}

/** X.690 §10.1: lengths are definite and use the fewest bytes. Null when the header is not DER or leaves `limit`. */
function headerAt(bytes: Uint8Array, offset: number, limit: number): Header | null {
  if (offset + 2 > limit) return null;
  const tag = bytes[offset] as number;
  // A tag number of 31 says that it goes on in further bytes; nothing in X.509 has one.
  if ((tag & 0x1f) === 0x1f || tag === 0) return null;
  const first = bytes[offset + 1] as number;
  let start = offset + 2;
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 3 || start + count > limit) return null;
    length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + (bytes[start++] as number);
    if (length < 0x80 || length < 2 ** (8 * (count - 1))) return null;
  }
  return start + length > limit ? null : { tag, start, end: start + length };
}

function checkDer(bytes: Uint8Array, what: string): void {
  let values = 0;
  const check = (offset: number, limit: number, depth: number): number => {
    const header = headerAt(bytes, offset, limit);
    if (header === null) throw new X509Error("der", `${what} is not DER at byte ${offset}`);
    if (depth > depthMax || ++values > valuesMax) throw new X509Error("der", `${what} is nested too deep or has too many values`);
    if ((header.tag & 0x20) === 0) checkPrimitive(bytes, header, what);
    else for (let at = header.start; at < header.end; ) at = check(at, header.end, depth + 1);
    return header.end;
  };
  const end = check(0, bytes.length, 1);
  if (end !== bytes.length) throw new X509Error("der", `${what} has ${bytes.length - end} bytes behind its end`);
}

/** X.690 §8.3.2 (integers are minimal), §11.1 (true is 0xff), §8.6.2.2 and §11.2 (unused bits). */
function checkPrimitive(bytes: Uint8Array, { tag, start, end }: Header, what: string): void {
  const length = end - start;
  const [first = 0, second = 0] = [bytes[start], bytes[start + 1]];
  let good = true;
  if (tag === Tag.integer) good = length > 0 && (length === 1 || (first === 0 ? second >= 0x80 : first !== 0xff || second < 0x80));
  else if (tag === Tag.boolean) good = length === 1 && (first === 0 || first === 0xff);
  else if (tag === Tag.null) good = length === 0;
  else if (tag === Tag.oid) good = length > 0 && (bytes[end - 1] as number) < 0x80;
  else if (tag === Tag.bitString)
    good = length > 0 && first < 8 && (length > 1 || first === 0) && ((bytes[end - 1] as number) & ((1 << first) - 1)) === 0;
  // Strings and times are primitive in DER, sequences and sets never are.
  else good = tag !== 0x10 && tag !== 0x11;
  if (!good) throw new X509Error("der", `${what} is not DER at byte ${start}`);
}

/** The exact bytes of the value that `path` leads to: child numbers, from the outermost value on. `der` has been parsed before. */
export function sliceAt(der: Uint8Array, path: readonly number[]): Buffer {
  let offset = 0;
  let limit = der.length;
  for (const index of path) {
    const header = headerAt(der, offset, limit);
    if (header === null) break;
    ({ start: offset, end: limit } = header);
    for (let skipped = 0; skipped < index; skipped++) offset = headerAt(der, offset, limit)?.end ?? limit;
  }
  const header = headerAt(der, offset, limit);
  if (header === null) throw new X509Error("structure", "a part of the structure is missing");
  return Buffer.from(der.buffer, der.byteOffset + offset, header.end - offset);
}

/** The first byte of the value: class, constructed bit and number. */
export function tagOf(node: Asn1): number {
  return node.tagClass | (node.constructed ? 0x20 : 0) | node.type;
}

/** The values inside a constructed one. Throws X509Error `structure` when it has another tag. */
export function childrenOf(node: Asn1 | undefined, tag: number, what: string): Asn1[] {
  if (node === undefined || tagOf(node) !== tag) throw new X509Error("structure", `${what} is missing or has another type`);
  return node.value as Asn1[];
}

/** The contents of a primitive value. Throws X509Error `structure` when it has another tag. */
export function contentsOf(node: Asn1 | undefined, tag: number, what: string): Buffer {
  if (node === undefined || tagOf(node) !== tag) throw new X509Error("structure", `${what} is missing or has another type`);
  if (tag !== Tag.bitString) return Buffer.from(node.value as string, "latin1");
  return Buffer.from(node.value as string, "latin1");
}

/** The bytes of a bit string that must be whole bytes. */
export function bitStringOf(node: Asn1 | undefined, what: string): Buffer {
  const contents = contentsOf(node, Tag.bitString, what);
  if (contents[0] !== 0) throw new X509Error("structure", `${what} is not a number of whole bytes`);
  return contents.subarray(1);
}

/** Dotted form. */
export function oidOf(node: Asn1 | undefined, what: string): string {
  const contents = contentsOf(node, Tag.oid, what);
  try {
    return asn1.derToOid(binary(contents));
  } catch (error) {
    throw new X509Error("structure", `${what} is no object identifier`, error);
  }
}

export function toDer(node: Asn1): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), "latin1");
}

export function sequence(...values: readonly Asn1[]): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, [...values]);
}

export function set(...values: readonly Asn1[]): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, [...values]);
}

/** `[number]` around values: EXPLICIT around one, IMPLICIT in place of a sequence's or set's own tag. */
export function tagged(number: number, ...values: readonly Asn1[]): Asn1 {
  return asn1.create(Class.CONTEXT_SPECIFIC, number, true, [...values]);
}

/** `[number] IMPLICIT` in place of the tag of a string. */
export function taggedBytes(number: number, contents: Uint8Array | string): Asn1 {
  return asn1.create(Class.CONTEXT_SPECIFIC, number, false, binary(contents));
}

export function oid(dotted: string): Asn1 {
  return primitive(Type.OID, asn1.oidToDer(dotted).getBytes());
}

/** A non-negative number of up to 31 bits, or the bytes of an unsigned big-endian one. */
export function integer(value: number | Uint8Array): Asn1 {
  const bytes = typeof value === "number" ? Buffer.from([value >>> 24, value >>> 16, value >>> 8, value]) : value;
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const minimal = binary(bytes.subarray(start));
  return primitive(Type.INTEGER, minimal.charCodeAt(0) >= 0x80 ? `\0${minimal}` : minimal);
}

export function bool(value: boolean): Asn1 {
  return primitive(Type.BOOLEAN, value ? "\xff" : "\0");
}

export function nil(): Asn1 {
  return primitive(Type.NULL, "");
}

export function octetString(bytes: Uint8Array): Asn1 {
  return primitive(Type.OCTETSTRING, binary(bytes));
}

/** `unused` bits at the end of the last byte do not count (0 for whole bytes). */
export function bitString(bytes: Uint8Array, unused = 0): Asn1 {
  return primitive(Type.BITSTRING, String.fromCharCode(unused) + binary(bytes));
}

export function utf8String(text: string): Asn1 {
  return primitive(Type.UTF8, binary(text));
}

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on; whole seconds. */
export function time(atMs: number): Asn1 {
  const text = new Date(atMs).toISOString().replace(/[-:T]|\.\d+/g, "");
  return atMs < Date.UTC(2050, 0) ? primitive(Type.UTCTIME, text.slice(2)) : primitive(Type.GENERALIZEDTIME, text);
}

/** A value that is already encoded, taken over byte for byte. */
export function encoded(der: Uint8Array): Asn1 {
  const header = headerAt(der, 0, der.length);
  if (header === null || header.end !== der.length) throw new X509Error("der", "not one DER value");
  return primitive(header.tag, binary(der.subarray(header.start)));
}

/** Forge adds the constructed bit only to values of children, so `type` may hold the whole first byte. */
function primitive(type: number, contents: string): Asn1 {
  return asn1.create(Class.UNIVERSAL, type, false, contents);
}

function binary(bytes: Uint8Array | string): string {
  if (typeof bytes === "string") return Buffer.from(bytes, "utf8").toString("latin1");
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
