// A certificate as its fields: signature and key come from node:crypto's X509Certificate, what that lacks (extensions,
// exact names, alternative names without its quoting) from our own ASN.1. Read once, then frozen.
import { type KeyObject, X509Certificate } from "node:crypto";
import { type Asn1, childrenOf, contentsOf, oidOf, parseDer, sliceAt, Tag, tagOf } from "./der.ts";
import {
  type AltNames,
  type Extension,
  readAuthorityKeyIdentifier,
  readBasicConstraints,
  readExtendedKeyUsage,
  readExtensions,
  readKeyUsage,
  readSubjectAltName,
  readSubjectKeyIdentifier,
} from "./extensions.ts";
import { type NameAttribute, readName } from "./name.ts";
import { Oid } from "./oids.ts";
import { readPem, writePem } from "./pem.ts";
import { X509Error } from "./x509-error.ts";

export interface Certificate {
  readonly x509: X509Certificate;
  readonly der: Buffer;
  readonly publicKey: KeyObject;
  /** Lower-case hexadecimal. */
  readonly serial: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly subject: readonly NameAttribute[];
  readonly subjectDer: Buffer;
  readonly issuerDer: Buffer;
  readonly signatureAlgorithm: string;
  /** Null when it is no CA. */
  readonly ca: { readonly pathLength: number | null } | null;
  /** Bits of `KeyUsage`; null when the certificate does not say. */
  readonly keyUsage: ReadonlySet<number> | null;
  /** OIDs; null when the certificate does not say. */
  readonly extendedKeyUsage: readonly string[] | null;
  readonly subjectKeyIdentifier: Buffer | null;
  readonly authorityKeyIdentifier: Buffer | null;
  readonly altNames: AltNames;
  readonly extensions: readonly Extension[];
}

export const certificateMaxBytes = 64 * 1024;
const noAltNames: AltNames = Object.freeze({ uris: [], dns: [], others: 0 });

/** Reads one certificate. Throws X509Error; nothing about trust is decided here. */
export function readCertificate(der: Buffer): Certificate {
  const [tbs, ...rest] = childrenOf(parseDer(der, certificateMaxBytes, "certificate"), Tag.sequence, "certificate");
  const parts = childrenOf(tbs, Tag.sequence, "certificate body");
  if (rest.length !== 2 || parts[0] === undefined || tagOf(parts[0]) !== 0xa0)
    throw new X509Error("structure", "the certificate is not of version 3");
  const x509 = openX509(der);
  const last = parts[parts.length - 1] as Asn1;
  const extensions = tagOf(last) === 0xa3 ? readExtensions((last.value as Asn1[])[0]) : [];
  const algorithm = oidOf(childrenOf(parts[2], Tag.sequence, "signature algorithm")[0], "signature algorithm");
  return Object.freeze({
    x509,
    der,
    publicKey: keyOf(x509),
    serial: contentsOf(parts[1], Tag.integer, "serial number")
      .toString("hex")
      .replace(/^00(?=.)/, ""),
    notBefore: x509.validFromDate.getTime(),
    notAfter: x509.validToDate.getTime(),
    subject: readName(parts[5]),
    subjectDer: sliceAt(der, [0, 5]),
    issuerDer: sliceAt(der, [0, 3]),
    signatureAlgorithm: algorithm,
    extensions,
    ...readKnown(extensions),
  });
}

function openX509(der: Buffer): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (error) {
    throw new X509Error("structure", "the certificate cannot be read", error);
  }
}

function keyOf(x509: X509Certificate): KeyObject {
  try {
    return x509.publicKey;
  } catch (error) {
    throw new X509Error("key_type", "the public key of the certificate cannot be read", error);
  }
}

type Known = Pick<Certificate, "ca" | "keyUsage" | "extendedKeyUsage" | "subjectKeyIdentifier" | "authorityKeyIdentifier" | "altNames">;

function readKnown(extensions: readonly Extension[]): Known {
  const read = <T>(id: string, parse: (value: Buffer) => T): T | null => {
    const extension = extensions.find((candidate) => candidate.oid === id);
    return extension === undefined ? null : parse(extension.value);
  };
  return {
    ca: read(Oid.basicConstraints, readBasicConstraints),
    keyUsage: read(Oid.keyUsage, readKeyUsage),
    extendedKeyUsage: read(Oid.extendedKeyUsage, readExtendedKeyUsage),
    subjectKeyIdentifier: read(Oid.subjectKeyIdentifier, readSubjectKeyIdentifier),
    authorityKeyIdentifier: read(Oid.authorityKeyIdentifier, readAuthorityKeyIdentifier),
    altNames: read(Oid.subjectAltName, readSubjectAltName) ?? noAltNames,
  };
}

/** Every CERTIFICATE block of `pem`, in order; other blocks are passed over. Throws X509Error, also when there is none. */
export function readCertificatesPem(pem: string | Uint8Array): Certificate[] {
  const certificates = readPem(pem)
    .filter(({ label }) => label === "CERTIFICATE")
    .map(({ der }) => readCertificate(der));
  if (certificates.length === 0) throw new X509Error("pem", "no CERTIFICATE block in PEM");
  return certificates;
}

/** PEM of certificates, one after the other, without any text around them. */
export function certificatesPem(certificates: readonly Certificate[]): string {
  return certificates.map(({ der }) => writePem("CERTIFICATE", der)).join("");
}
