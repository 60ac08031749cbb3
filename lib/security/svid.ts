// X.509 SVIDs (SPIFFE X509-SVID): what makes a certificate the identity of a workload, beside a path to a trust anchor.
import { parseSpiffeId, SpiffeError, type SpiffeId } from "./spiffe.ts";
import { KeyUsage } from "./x509/extensions.ts";
import type { Certificate } from "./x509/read-certificate.ts";
import { verifyChain } from "./x509/verify-chain.ts";
import { X509Error } from "./x509/x509-error.ts";

/** The id that a leaf certificate carries. Throws X509Error: §2 exactly one URI, §3.1 no CA, §4.3 no signing of others. */
export function svidIdOf(leaf: Pick<Certificate, "altNames" | "ca" | "keyUsage">): SpiffeId {
  if (leaf.ca !== null) throw new X509Error("is_a_ca", "a CA certificate is no identity of a workload");
  if (leaf.keyUsage?.has(KeyUsage.keyCertSign) || leaf.keyUsage?.has(KeyUsage.crlSign)) {
    throw new X509Error("is_a_ca", "a certificate that may sign others is no identity of a workload");
  }
  const [uri, ...more] = leaf.altNames.uris;
  if (uri === undefined || more.length > 0) {
    throw new X509Error("spiffe_id", `the certificate has ${leaf.altNames.uris.length} URIs; a workload's has exactly one, its SPIFFE id`);
  }
  try {
    return parseSpiffeId(uri);
  } catch (error) {
    if (error instanceof SpiffeError) throw new X509Error("spiffe_id", error.message, error);
    throw error;
  }
}

/** Verifies a chain, leaf first, and gives its id. `now` in milliseconds since the epoch. Throws X509Error. */
export function verifySvid(chain: readonly Certificate[], anchors: readonly Certificate[], now: number): SpiffeId {
  const [leaf] = chain;
  if (leaf === undefined) throw new X509Error("no_certificate", "no certificate to verify");
  const id = svidIdOf(leaf);
  verifyChain({ chain, anchors, now });
  return id;
}
