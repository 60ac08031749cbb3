// A certificate authority for tests, made with the code under lib/security itself: a root, an issuer, and identities.

import { type Authority, createIssuer, createLeaf, createRoot, type Validity } from "./x509/certificate.ts";
import { generateKey, type KeyKind, type KeyPair } from "./x509/keys.ts";
import type { Certificate } from "./x509/read-certificate.ts";
import { certificatesPem } from "./x509/read-certificate.ts";

export interface TestIdentity {
  readonly key: KeyPair;
  /** Leaf first, without the root. */
  readonly chain: readonly Certificate[];
}

export interface TestAuthority {
  readonly root: Certificate;
  readonly rootPem: string;
  readonly rootAuthority: Authority;
  readonly issuer: Authority;
  identity(
    uri: string,
    options?: { readonly kind?: KeyKind; readonly validity?: Validity; readonly dns?: readonly string[] },
  ): Promise<TestIdentity>;
}

const hourMs = 3_600_000;

/** From a quarter of an hour ago, for a day. */
export function around(now: number): Validity {
  return { notBefore: now - hourMs / 4, notAfter: now + 24 * hourMs };
}

export async function testAuthority(
  options: { readonly kind?: KeyKind; readonly now?: number; readonly name?: string } = {},
): Promise<TestAuthority> {
  const { kind = "ecdsa-p256", now = Date.now(), name = "test" } = options;
  const validity = { notBefore: now - hourMs, notAfter: now + 1000 * hourMs };
  const [rootKey, issuerKey] = await Promise.all([generateKey(kind), generateKey(kind)]);
  const root = createRoot({ key: rootKey, organization: name, validity });
  const rootAuthority = { certificate: root, privateKey: rootKey.privateKey };
  const certificate = createIssuer({ key: issuerKey, organization: `${name} issuer`, validity }, rootAuthority);
  const issuer = { certificate, privateKey: issuerKey.privateKey };
  return {
    root,
    rootPem: certificatesPem([root]),
    rootAuthority,
    issuer,
    async identity(uri, { kind: leafKind = kind, validity: leafValidity = around(now), dns = [] } = {}) {
      const key = await generateKey(leafKind);
      return { key, chain: [createLeaf({ publicKey: key.publicKey, uri, dns, validity: leafValidity }, issuer), certificate] };
    },
  };
}
