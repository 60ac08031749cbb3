// Signing a leaf with the issuer in force. No leaf outlives its issuer, and an issuer out of its time signs nothing: what it
// signed would be refused everywhere, at some later and worse moment.
import type { KeyObject } from "node:crypto";
import type { SpiffeId } from "../lib/security/spiffe.ts";
import { signLeaf } from "../lib/security/x509/certificate.ts";
import { writePem } from "../lib/security/x509/pem.ts";
import type { CaBundle } from "./ca-bundle.ts";
import { leafValidity } from "./template.ts";

export interface LeafRequest {
  readonly publicKey: KeyObject;
  readonly id: SpiffeId;
  readonly dns: readonly string[];
  readonly leafTtlMs: number;
  readonly clockSkewMs: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface SignedLeaf {
  /** PEM: the leaf, then the issuer chain. */
  readonly chainPem: string;
  readonly der: Buffer;
  /** Whole seconds, in milliseconds since the epoch. */
  readonly notAfter: number;
}

export class IssuerExpiredError extends Error {
  override readonly name = "IssuerExpiredError";
}

/** Throws IssuerExpiredError. */
export function sign(bundle: CaBundle, request: LeafRequest): SignedLeaf {
  const { publicKey, id, dns, now } = request;
  if (now >= bundle.endsAt) {
    const end = new Date(bundle.endsAt).toISOString();
    throw new IssuerExpiredError(
      `the issuer certificate has expired at ${end}; put a new one in its place (ca.crt, issuer.crt, issuer.key)`,
    );
  }
  if (now < bundle.beginsAt) {
    throw new IssuerExpiredError(`the issuer certificate is not valid before ${new Date(bundle.beginsAt).toISOString()}; check the clocks`);
  }
  const validity = leafValidity({ ...request, endsAt: bundle.endsAt }, now);
  const authority = { certificate: bundle.chain[0] as (typeof bundle.chain)[number], privateKey: bundle.key };
  const der = signLeaf({ publicKey, uri: id.uri, dns, validity }, authority);
  return {
    der,
    chainPem: `${writePem("CERTIFICATE", der)}${bundle.chainPem}`,
    notAfter: Math.floor(validity.notAfter / 1000) * 1000,
  };
}
