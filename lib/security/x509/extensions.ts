// The extensions of RFC 5280 §4.2 that SVIDs and their CAs use: written for our certificates and requests, read from
// others'. Reading keeps every extension by OID, so that callers can refuse what they do not know.
import { createHash, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import {
  type Asn1,
  bitString,
  bitStringOf,
  bool,
  childrenOf,
  contentsOf,
  integer,
  octetString,
  oid,
  oidOf,
  parseDer,
  sequence,
  Tag,
  tagged,
  taggedBytes,
  tagOf,
  toDer,
} from "./der.ts";
import { spkiDer } from "./keys.ts";
import { Oid } from "./oids.ts";
import { X509Error } from "./x509-error.ts";

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** DER of the extension's own type. */
  readonly value: Buffer;
}

/** Bit numbers of RFC 5280 §4.2.1.3. */
export const KeyUsage = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, crlSign: 6 } as const;

export interface AltNames {
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  /** How many names of other kinds there are (e-mail, IP address, directory name …). */
  readonly others: number;
}

const extensionsMax = 64;
const altNamesMax = 64;
const extensionMaxBytes = 16 * 1024;
const dnsName = /^(?=.{1,253}$)(\*\.)?([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)*[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$/;

/** Extensions ::= SEQUENCE OF Extension */
export function extensionList(extensions: readonly Extension[]): Asn1 {
  return sequence(
    ...extensions.map(({ oid: id, critical, value }) => sequence(oid(id), ...(critical ? [bool(true)] : []), octetString(value))),
  );
}

export function readExtensions(list: Asn1 | undefined): Extension[] {
  const nodes = childrenOf(list, Tag.sequence, "extensions");
  if (nodes.length > extensionsMax) throw new X509Error("extension", `more than ${extensionsMax} extensions`);
  const seen = new Set<string>();
  return nodes.map((node) => {
    const parts = childrenOf(node, Tag.sequence, "extension");
    const id = oidOf(parts[0], "extension");
    // RFC 5280 §4.2: never two of the same kind.
    if (seen.has(id)) throw new X509Error("extension", `extension ${id} stands twice`);
    seen.add(id);
    const critical = parts.length === 3 && contentsOf(parts[1], Tag.boolean, "critical")[0] === 0xff;
    if (parts.length < 2 || parts.length > 3) throw new X509Error("extension", `extension ${id} is malformed`);
    return { oid: id, critical, value: contentsOf(parts.at(-1), Tag.octetString, "extension") };
  });
}

export function basicConstraints(ca: { readonly pathLength: number | null } | null): Extension {
  const path = ca?.pathLength ?? null;
  const parts = ca === null ? [] : [bool(true), ...(path === null ? [] : [integer(path)])];
  return { oid: Oid.basicConstraints, critical: true, value: toDer(sequence(...parts)) };
}

/** Null when it is no CA. */
export function readBasicConstraints(value: Buffer): { readonly pathLength: number | null } | null {
  const [ca, path] = childrenOf(parseDer(value, extensionMaxBytes, "basic constraints"), Tag.sequence, "basic constraints");
  if (ca === undefined || tagOf(ca) !== Tag.boolean || contentsOf(ca, Tag.boolean, "CA flag")[0] === 0) return null;
  if (path === undefined) return { pathLength: null };
  const bytes = contentsOf(path, Tag.integer, "path length");
  if (bytes.length > 2 || (bytes[0] as number) >= 0x80) throw new X509Error("path_length", "path length is out of range");
  return { pathLength: bytes.readUIntBE(0, bytes.length) };
}

export function keyUsage(bits: readonly number[]): Extension {
  const highest = Math.max(...bits);
  const bytes = Buffer.alloc((highest >> 3) + 1);
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] as number) | (0x80 >> (bit & 7));
  return { oid: Oid.keyUsage, critical: true, value: toDer(bitString(bytes, 7 - (highest & 7))) };
}

export function readKeyUsage(value: Buffer): ReadonlySet<number> {
  const contents = contentsOf(parseDer(value, extensionMaxBytes, "key usage"), Tag.bitString, "key usage");
  const bits = new Set<number>();
  for (let bit = 0; bit < (contents.length - 1) * 8; bit++) {
    if (((contents[1 + (bit >> 3)] as number) & (0x80 >> (bit & 7))) !== 0) bits.add(bit);
  }
  return bits;
}

export function extendedKeyUsage(purposes: readonly string[]): Extension {
  return { oid: Oid.extendedKeyUsage, critical: false, value: toDer(sequence(...purposes.map(oid))) };
}

export function readExtendedKeyUsage(value: Buffer): string[] {
  const nodes = childrenOf(parseDer(value, extensionMaxBytes, "extended key usage"), Tag.sequence, "extended key usage");
  return nodes.map((node) => oidOf(node, "extended key usage"));
}

/** RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of the public key's bits. */
export function keyIdentifier(publicKey: KeyObject): Buffer {
  const spki = parseDer(spkiDer(publicKey), extensionMaxBytes, "public key");
  const bits = bitStringOf(childrenOf(spki, Tag.sequence, "public key")[1], "public key");
  return createHash("sha256").update(bits).digest().subarray(0, 20);
}

export function subjectKeyIdentifier(identifier: Uint8Array): Extension {
  return { oid: Oid.subjectKeyIdentifier, critical: false, value: toDer(octetString(identifier)) };
}

export function readSubjectKeyIdentifier(value: Buffer): Buffer {
  return contentsOf(parseDer(value, extensionMaxBytes, "subject key identifier"), Tag.octetString, "subject key identifier");
}

export function authorityKeyIdentifier(identifier: Uint8Array): Extension {
  return { oid: Oid.authorityKeyIdentifier, critical: false, value: toDer(sequence(taggedBytes(0, identifier))) };
}

/** Null when it names its issuer in another way. */
export function readAuthorityKeyIdentifier(value: Buffer): Buffer | null {
  const [first] = childrenOf(parseDer(value, extensionMaxBytes, "authority key identifier"), Tag.sequence, "authority key identifier");
  return first !== undefined && tagOf(first) === 0x80 ? contentsOf(first, 0x80, "authority key identifier") : null;
}

/** RFC 5280 §4.2.1.6: critical when the subject is empty. Throws X509Error `san` for a name that is no DNS name or ASCII URI. */
export function subjectAltName(names: { readonly uris: readonly string[]; readonly dns: readonly string[] }, critical: boolean): Extension {
  for (const name of names.dns) if (!isDnsName(name)) throw new X509Error("san", `${JSON.stringify(name)} is no DNS name`);
  for (const uri of names.uris) if (!/^[\x21-\x7e]+$/.test(uri)) throw new X509Error("san", `${JSON.stringify(uri)} is no URI`);
  const nodes = [...names.dns.map((name) => taggedBytes(2, name)), ...names.uris.map((uri) => taggedBytes(6, uri))];
  return { oid: Oid.subjectAltName, critical, value: toDer(sequence(...nodes)) };
}

export function isDnsName(name: string): boolean {
  return dnsName.test(name) && isIP(name) === 0;
}

export function readSubjectAltName(value: Buffer): AltNames {
  const nodes = childrenOf(parseDer(value, extensionMaxBytes, "alternative names"), Tag.sequence, "alternative names");
  if (nodes.length > altNamesMax) throw new X509Error("san", `more than ${altNamesMax} alternative names`);
  const uris: string[] = [];
  const dns: string[] = [];
  for (const node of nodes) {
    if (tagOf(node) === 0x86) uris.push(ia5(node, 0x86));
    else if (tagOf(node) === 0x82) dns.push(ia5(node, 0x82));
  }
  return { uris, dns, others: nodes.length - uris.length - dns.length };
}

/** Printable ASCII only: a NUL or a control character in a name has no honest use. */
function ia5(node: Asn1, tag: number): string {
  const text = contentsOf(node, tag, "alternative name").toString("latin1");
  if (!/^[\x20-\x7e]*$/.test(text)) throw new X509Error("san", "an alternative name has characters outside of printable ASCII");
  return text;
}

/** A `[3]` or `[0]` wrapper around an extension list. */
export function wrappedExtensions(number: number, extensions: readonly Extension[]): Asn1 {
  return tagged(number, extensionList(extensions));
}
