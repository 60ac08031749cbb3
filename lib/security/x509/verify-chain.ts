// Path validation (RFC 5280 §6.1) where there is no TLS handshake to do it: a new SVID before it is used, and the issuer
// that a CA is about to sign with. In handshakes OpenSSL validates the path itself (tls.ts). Signatures are checked by
// node:crypto's X509Certificate. Name constraints and policies are not evaluated: a critical one refuses the path.
import { KeyUsage } from "./extensions.ts";
import { Oid } from "./oids.ts";
import type { Certificate } from "./read-certificate.ts";
import { X509Error } from "./x509-error.ts";

export interface ChainRequest {
  /** The certificate in question, then whatever was sent along to build the path from, in any order. */
  readonly chain: readonly Certificate[];
  readonly anchors: readonly Certificate[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const pathMax = 8;
const understood = new Set<string>([
  Oid.basicConstraints,
  Oid.keyUsage,
  Oid.extendedKeyUsage,
  Oid.subjectAltName,
  Oid.subjectKeyIdentifier,
  Oid.authorityKeyIdentifier,
]);

/** The path from the first certificate to an anchor, both included. Throws X509Error with the reason of the most promising path. */
export function verifyChain({ chain, anchors, now }: ChainRequest): readonly Certificate[] {
  const [first, ...others] = chain;
  if (first === undefined) throw new X509Error("no_certificate", "no certificate to verify");
  checkItself(first, now);
  const found = extend([first], others.slice(0, pathMax), anchors, now);
  if (Array.isArray(found)) return found;
  throw found ?? new X509Error("untrusted", "the certificate is signed by no trust anchor; add the root of its CA to the trust anchors");
}

/** The whole path, the most telling error, or null when nothing signed the last certificate of `path`. */
function extend(
  path: readonly Certificate[],
  others: readonly Certificate[],
  anchors: readonly Certificate[],
  now: number,
): Certificate[] | X509Error | null {
  const last = path[path.length - 1] as Certificate;
  if (anchors.some((anchor) => anchor.der.equals(last.der))) return [...path];
  if (path.length === pathMax) return new X509Error("path_length", `the path has more than ${pathMax} certificates`);
  let failure: X509Error | null = null;
  for (const issuer of [...anchors, ...others]) {
    if (path.includes(issuer) || !signed(issuer, last)) continue;
    const error = problemOf(issuer, path, now);
    const found = error ?? extend([...path, issuer], others, anchors, now);
    if (Array.isArray(found)) return found;
    failure ??= found;
  }
  return failure;
}

/** §6.1.3 (a)(1) and (a)(4): names chain and the signature is the issuer's. */
function signed(issuer: Certificate, subject: Certificate): boolean {
  if (!issuer.subjectDer.equals(subject.issuerDer)) return false;
  const [wanted, offered] = [subject.authorityKeyIdentifier, issuer.subjectKeyIdentifier];
  if (wanted !== null && offered !== null && !wanted.equals(offered)) return false;
  try {
    return subject.x509.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/** §6.1.4 (k), (l), (m), (n) and the certificate's own checks. */
function problemOf(issuer: Certificate, path: readonly Certificate[], now: number): X509Error | null {
  try {
    checkItself(issuer, now);
  } catch (error) {
    if (error instanceof X509Error) return error;
    throw error;
  }
  if (issuer.ca === null) return new X509Error("not_a_ca", "a certificate of the path that signs another is no CA");
  if (issuer.keyUsage !== null && !issuer.keyUsage.has(KeyUsage.keyCertSign)) {
    return new X509Error("not_a_ca", "the key usage of a CA of the path does not allow to sign certificates");
  }
  // §6.1.4 (l): self-issued certificates do not count; the end entity never does.
  const between = path.slice(1).filter((certificate) => !certificate.subjectDer.equals(certificate.issuerDer)).length;
  if (issuer.ca.pathLength !== null && between > issuer.ca.pathLength) {
    return new X509Error("path_length", `a CA of the path allows ${issuer.ca.pathLength} CAs below it, and there are ${between}`);
  }
  return null;
}

/** §6.1.3 (a)(2) and §6.1.4 (o): valid now, and nothing critical that we do not understand. */
function checkItself(certificate: Certificate, now: number): void {
  checkValidity(certificate, now);
  for (const { oid, critical } of certificate.extensions) {
    if (critical && !understood.has(oid)) throw new X509Error("extension", `critical extension ${oid} is not understood`);
  }
}

/** Throws X509Error `not_yet_valid` or `expired`. */
export function checkValidity(certificate: Pick<Certificate, "notBefore" | "notAfter">, now: number): void {
  if (now < certificate.notBefore) {
    throw new X509Error("not_yet_valid", `the certificate is valid from ${iso(certificate.notBefore)} on; check the clocks`);
  }
  // notAfter is the last valid second (§4.1.2.5).
  if (now >= certificate.notAfter + 1000) throw new X509Error("expired", `the certificate expired at ${iso(certificate.notAfter)}`);
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}
