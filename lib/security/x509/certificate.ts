// Building certificates (RFC 5280 §4.1): the self-signed root, the issuer below it and the leaves of workloads, in the
// shape that Go sentry gives them, so that either may verify the other's.
import { type KeyObject, randomBytes } from "node:crypto";
import { type Asn1, bitString, encoded, integer, sequence, tagged, time, toDer } from "./der.ts";
import {
  authorityKeyIdentifier,
  basicConstraints,
  type Extension,
  extendedKeyUsage,
  KeyUsage,
  keyIdentifier,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
  wrappedExtensions,
} from "./extensions.ts";
import { type KeyPair, spkiDer } from "./keys.ts";
import { nameOf } from "./name.ts";
import { Oid } from "./oids.ts";
import { type Certificate, readCertificate } from "./read-certificate.ts";
import { algorithmIdentifier, signatureOidFor, signBytes } from "./signature.ts";
import { X509Error } from "./x509-error.ts";

/** Milliseconds since the epoch; certificates hold whole seconds. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Who signs: a CA certificate and its key. */
export interface Authority {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
}

export interface RootRequest {
  readonly key: KeyPair;
  /** Organization of the subject: Dapr's is the trust domain. */
  readonly organization: string;
  readonly validity: Validity;
}

export interface IssuerRequest extends RootRequest {
  /** How many CAs may follow below; 0 by default, null for any number. */
  readonly pathLength?: number | null;
}

export interface LeafRequest {
  readonly publicKey: KeyObject;
  /** The SPIFFE id. */
  readonly uri: string;
  readonly dns?: readonly string[];
  readonly validity: Validity;
}

/** RFC 5280 §4.1.2.2 allows 20 bytes; Dapr's serials have 16. */
const serialBytes = 16;
const noNames: readonly string[] = [];

export function createRoot({ key, organization, validity }: RootRequest): Certificate {
  const identifier = keyIdentifier(key.publicKey);
  const extensions = [
    keyUsage([KeyUsage.digitalSignature, KeyUsage.keyCertSign, KeyUsage.crlSign]),
    basicConstraints({ pathLength: null }),
    subjectKeyIdentifier(identifier),
  ];
  const name = toDer(nameOf([[Oid.organization, organization]]));
  return issue({ subject: name, issuer: name, publicKey: key.publicKey, validity, extensions }, key.privateKey);
}

/** A CA below `authority`. Throws X509Error when the authority may not sign it. */
export function createIssuer(request: IssuerRequest, authority: Authority): Certificate {
  const { key, organization, validity, pathLength = 0 } = request;
  checkAuthority(authority);
  const extensions = [
    keyUsage([KeyUsage.digitalSignature, KeyUsage.keyCertSign, KeyUsage.crlSign]),
    basicConstraints({ pathLength }),
    subjectKeyIdentifier(keyIdentifier(key.publicKey)),
    authorityKeyIdentifier(identifierOf(authority.certificate)),
  ];
  const subject = toDer(nameOf([[Oid.organization, organization]]));
  return issue({ subject, issuer: authority.certificate.subjectDer, publicKey: key.publicKey, validity, extensions }, authority.privateKey);
}

/** A workload's certificate: empty subject, the SPIFFE id as URI. Throws X509Error when the authority may not sign it. */
export function createLeaf(request: LeafRequest, authority: Authority): Certificate {
  return readCertificate(signLeaf(request, authority));
}

/** The DER of `createLeaf`, without reading it again: the CA's hot path. `checkAuthority` is the caller's, once per authority. */
export function signLeaf({ publicKey, uri, dns = noNames, validity }: LeafRequest, authority: Authority): Buffer {
  const rsa = publicKey.asymmetricKeyType === "rsa";
  const extensions = [
    keyUsage(rsa ? [KeyUsage.digitalSignature, KeyUsage.keyEncipherment] : [KeyUsage.digitalSignature]),
    extendedKeyUsage([Oid.serverAuth, Oid.clientAuth]),
    basicConstraints(null),
    subjectKeyIdentifier(keyIdentifier(publicKey)),
    authorityKeyIdentifier(identifierOf(authority.certificate)),
    subjectAltName({ uris: [uri], dns }, true),
  ];
  return issueDer({ subject: emptyName, issuer: authority.certificate.subjectDer, publicKey, validity, extensions }, authority.privateKey);
}

const emptyName = toDer(nameOf([]));

/** Throws X509Error when `authority` is no CA, or its key is another's. */
export function checkAuthority({ certificate, privateKey }: Authority): void {
  if (certificate.ca === null) throw new X509Error("not_a_ca", "the issuer certificate is no CA certificate");
  if (certificate.keyUsage !== null && !certificate.keyUsage.has(KeyUsage.keyCertSign)) {
    throw new X509Error("not_a_ca", "the key usage of the issuer certificate does not allow to sign certificates");
  }
  if (!certificate.x509.checkPrivateKey(privateKey)) throw new X509Error("key_mismatch", "issuer key does not match issuer certificate");
}

interface Parts {
  readonly subject: Buffer;
  readonly issuer: Buffer;
  readonly publicKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly Extension[];
}

function issue(parts: Parts, signer: KeyObject): Certificate {
  return readCertificate(issueDer(parts, signer));
}

function issueDer({ subject, issuer, publicKey, validity, extensions }: Parts, signer: KeyObject): Buffer {
  const algorithm = signatureOidFor(signer);
  const tbs = toDer(
    sequence(
      tagged(0, integer(2)),
      serial(),
      algorithmIdentifier(algorithm),
      encoded(issuer),
      sequence(time(validity.notBefore), time(validity.notAfter)),
      encoded(subject),
      encoded(spkiDer(publicKey)),
      wrappedExtensions(3, extensions),
    ),
  );
  return toDer(sequence(encoded(tbs), algorithmIdentifier(algorithm), bitString(signBytes(tbs, signer, algorithm))));
}

/** Positive and never zero. */
function serial(): Asn1 {
  const bytes = randomBytes(serialBytes);
  bytes[0] = (bytes[0] as number) | 0x01;
  return integer(bytes);
}

function identifierOf(certificate: Certificate): Buffer {
  return certificate.subjectKeyIdentifier ?? keyIdentifier(certificate.publicKey);
}
