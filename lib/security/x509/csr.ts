// Certificate signing requests (PKCS #10, RFC 2986): made for our own identity, and read from workloads that ask the CA.
// Reading proves possession of the key and lists everything that was asked for; granting is the CA's decision.
import type { KeyObject } from "node:crypto";
import {
  type Asn1,
  bitString,
  bitStringOf,
  childrenOf,
  contentsOf,
  encoded,
  integer,
  oid,
  oidOf,
  parseDer,
  sequence,
  set,
  sliceAt,
  Tag,
  tagged,
  tagOf,
  toDer,
} from "./der.ts";
import { type AltNames, type Extension, extensionList, readExtensions, readSubjectAltName, subjectAltName } from "./extensions.ts";
import { checkKeyPolicy, type KeyPair, readPublicKey, spkiDer } from "./keys.ts";
import { nameOf, readName } from "./name.ts";
import { Oid } from "./oids.ts";
import { readPem, writePem } from "./pem.ts";
import { algorithmIdentifier, signatureOidFor, signBytes, verifyBytes } from "./signature.ts";
import { X509Error } from "./x509-error.ts";

export interface CsrRequest {
  readonly key: KeyPair;
  /** Common name of the subject; none leaves the subject empty, as Dapr does. */
  readonly commonName?: string;
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
}

/** A request whose signature is good and whose key the CA certifies. */
export interface Csr {
  readonly publicKey: KeyObject;
  /** Attributes of the subject as `[oid, text]`. */
  readonly subject: readonly (readonly [string, string])[];
  /** Of the requested subjectAltName extension; null when none is asked for. */
  readonly altNames: AltNames | null;
  /** Every requested extension, also the subjectAltName. */
  readonly extensions: readonly Extension[];
  /** OIDs of attributes other than the extension request (a challenge password …). */
  readonly attributes: readonly string[];
}

/** A request with an RSA key of 4096 bits and some names has 2 KiB. */
export const csrMaxBytes = 16 * 1024;
const noNames: readonly string[] = [];

/** The request in DER, signed with the key itself. */
export function createCsr({ key, commonName, uris = noNames, dns = noNames }: CsrRequest): Buffer {
  const extensions = uris.length + dns.length === 0 ? [] : [subjectAltName({ uris, dns }, false)];
  const attributes = extensions.length === 0 ? [] : [sequence(oid(Oid.extensionRequest), set(extensionList(extensions)))];
  const subject = nameOf(commonName === undefined ? [] : [[Oid.commonName, commonName]]);
  const info = toDer(sequence(integer(0), subject, encoded(spkiDer(key.publicKey)), tagged(0, ...attributes)));
  const algorithm = signatureOidFor(key.privateKey);
  return toDer(sequence(encoded(info), algorithmIdentifier(algorithm), bitString(signBytes(info, key.privateKey, algorithm))));
}

export function csrPem(der: Uint8Array): string {
  return writePem("CERTIFICATE REQUEST", der);
}

/**
 * The DER of the one request in `pem`. Dapr before 1.12 labels it CERTIFICATE, which Go sentry takes to this day.
 * Throws X509Error `pem` or `too_large`.
 */
export function csrFromPem(pem: string | Uint8Array): Buffer {
  const blocks = readPem(pem, csrMaxBytes * 2);
  const [block] = blocks;
  if (block === undefined || blocks.length > 1) throw new X509Error("pem", "give exactly one CERTIFICATE REQUEST block in PEM");
  if (block.label !== "CERTIFICATE REQUEST" && block.label !== "CERTIFICATE") {
    throw new X509Error("pem", `the PEM block is labelled ${JSON.stringify(block.label.slice(0, 64))}, not CERTIFICATE REQUEST`);
  }
  return block.der;
}

/** Reads a request, checks its key against the policy and its signature with it. Throws X509Error. */
export function readCsr(der: Buffer): Csr {
  const request = childrenOf(parseDer(der, csrMaxBytes, "certificate request"), Tag.sequence, "certificate request");
  const [info, algorithm, signature] = request;
  const parts = childrenOf(info, Tag.sequence, "certificate request info");
  if (request.length !== 3 || parts.length < 3 || parts.length > 4)
    throw new X509Error("structure", "the certificate request has not the parts of PKCS #10");
  if (contentsOf(parts[0], Tag.integer, "version").toString("hex") !== "00")
    throw new X509Error("structure", "the certificate request is not of version 1");
  const publicKey = readPublicKey(sliceAt(der, [0, 2]));
  checkKeyPolicy(publicKey);
  if (!verifyBytes(sliceAt(der, [0]), bitStringOf(signature, "signature"), publicKey, algorithm)) {
    throw new X509Error("signature", "the certificate request is not signed with its own key");
  }
  return Object.freeze({ publicKey, subject: readName(parts[1]), ...readAttributes(parts[3]) });
}

function readAttributes(node: Asn1 | undefined): Pick<Csr, "altNames" | "extensions" | "attributes"> {
  const attributes: string[] = [];
  let extensions: Extension[] | null = null;
  if (node !== undefined && tagOf(node) !== 0xa0)
    throw new X509Error("structure", "the attributes of the certificate request have another type");
  for (const attribute of (node?.value ?? []) as Asn1[]) {
    const [type, values, ...more] = childrenOf(attribute, Tag.sequence, "attribute");
    const id = oidOf(type, "attribute");
    const [value, ...others] = childrenOf(values, Tag.set, "attribute values");
    if (more.length > 0) throw new X509Error("structure", "an attribute of the certificate request is malformed");
    if (id !== Oid.extensionRequest) attributes.push(id);
    else if (extensions !== null || others.length > 0)
      throw new X509Error("extension", "the certificate request asks for extensions twice");
    else extensions = readExtensions(value);
  }
  extensions ??= [];
  const names = extensions.find((extension) => extension.oid === Oid.subjectAltName);
  return { attributes, extensions, altNames: names === undefined ? null : readSubjectAltName(names.value) };
}
