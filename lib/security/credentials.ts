// What every TLS context of ours is made of: versions, our certificate and key, the anchors of the moment.
import type { SecureContextOptions } from "node:tls";
import type { Svid } from "./svid-source.ts";
import type { TrustAnchors } from "./trust-bundle.ts";
import { privateKeyPem } from "./x509/keys.ts";

export const commonOptions = {
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  // Forward secrecy and authenticated encryption also in TLS 1.2, where Go and older peers may still be.
  ciphers: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE+AESGCM:ECDHE+CHACHA20",
  // An anchor may be any CA of the user's, also one that is not self-signed; so it is in Go.
  allowPartialTrustChain: true,
} as const satisfies SecureContextOptions;

/** Null for the parts that are not to be used. Throws when an SVID is needed and there is none, or there are no anchors. */
export function credentials(svid: Svid | null, anchors: TrustAnchors | null): SecureContextOptions {
  if (svid === null) throw new Error("no identity yet: the certificate source must be started first");
  return { cert: svid.certificatePem, key: privateKeyPem(svid.key.privateKey), ...(anchors === null ? {} : caOf(anchors)) };
}

/** Never empty: without `ca` Node would trust the public CAs of the web. */
export function caOf(anchors: TrustAnchors): { readonly ca: string[] } {
  if (anchors.anchors.length === 0) throw new Error("no trust anchors yet: the trust bundle must be started first");
  return { ca: anchors.anchors.map((anchor) => anchor.x509.toString()) };
}
