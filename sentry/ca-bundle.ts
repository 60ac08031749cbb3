// The certificate authority's material as it signs: anchors, issuer chain and key, read from what a store keeps and checked
// as a whole by the rules of Dapr's sentry. Whether it has expired is the authority's question, not asked here.
import type { KeyObject } from "node:crypto";
import { messageOf } from "../lib/kit/errors.ts";
import { checkAuthority } from "../lib/security/x509/certificate.ts";
import { privateKeyPem, readPrivateKeyPem } from "../lib/security/x509/keys.ts";
import { type Certificate, certificatesPem, readCertificatesPem } from "../lib/security/x509/read-certificate.ts";

export interface CaBundle {
  readonly anchors: readonly Certificate[];
  /** Leaf side first. */
  readonly chain: readonly Certificate[];
  readonly key: KeyObject;
  /** The anchor that the chain leads to. */
  readonly root: Certificate;
  /** PEM without any text around it. */
  readonly anchorsPem: string;
  readonly chainPem: string;
  readonly keyPem: string;
  readonly rootPem: string;
  /** From when to when the whole chain is valid, milliseconds since the epoch. */
  readonly beginsAt: number;
  readonly endsAt: number;
}

/** A bundle that cannot be used; the message says why. Never carries key material. */
export class BundleError extends Error {
  override readonly name = "BundleError";
}

/** Throws BundleError. */
export function readBundle(anchorsText: string, chainText: string, keyText: string): CaBundle {
  const anchors = reading("failed to decode trust anchors", () => readCertificatesPem(anchorsText));
  for (const anchor of anchors) {
    if (!signedBy(anchor, anchor)) throw new BundleError("certificate in trust anchor is not self-signed");
  }
  const chain = withoutRoot(reading("failed to decode issuer chain", () => readCertificatesPem(chainText)));
  const { privateKey } = reading("failed to decode issuer key", () => readPrivateKeyPem(keyText));
  const issuer = chain[0] as Certificate;
  reading("issuer certificate cannot sign", () => checkAuthority({ certificate: issuer, privateKey }));
  const root = rootOf(chain, anchors);
  const all = [...chain, root];
  return Object.freeze({
    anchors: Object.freeze(anchors),
    chain: Object.freeze(chain),
    key: privateKey,
    root,
    anchorsPem: certificatesPem(anchors),
    chainPem: certificatesPem(chain),
    keyPem: privateKeyPem(privateKey),
    rootPem: certificatesPem([root]),
    beginsAt: Math.max(...all.map(({ notBefore }) => notBefore)),
    endsAt: Math.min(...all.map(({ notAfter }) => notAfter)),
  });
}

/** The root itself is never sent with a leaf, unless it signs leaves. */
function withoutRoot(chain: Certificate[]): Certificate[] {
  const last = chain.at(-1) as Certificate;
  return chain.length > 1 && signedBy(last, last) ? chain.slice(0, -1) : chain;
}

function rootOf(chain: readonly Certificate[], anchors: readonly Certificate[]): Certificate {
  for (const [index, certificate] of chain.entries()) {
    const above = chain[index + 1];
    if (above !== undefined && !signedBy(certificate, above)) {
      throw new BundleError(`certificate ${index + 1} of the issuer chain is not signed by the next one`);
    }
  }
  const last = chain.at(-1) as Certificate;
  const root = anchors.find((anchor) => anchor.der.equals(last.der) || signedBy(last, anchor));
  if (root === undefined) throw new BundleError("issuer chain does not belong to trust anchors");
  return root;
}

function signedBy(certificate: Certificate, signer: Certificate): boolean {
  return certificate.issuerDer.equals(signer.subjectDer) && certificate.x509.verify(signer.publicKey);
}

function reading<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new BundleError(`${what}: ${messageOf(error)}`);
  }
}
