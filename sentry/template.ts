// What sentry's certificates say: roots and issuers that it makes, and the validity and names of the leaves it signs. The
// shape is that of Dapr's sentry (Ed25519, organizations, clock skew before the beginning), with two additions: every root
// has a subject of its own, so that verifiers which look issuers up by name never try the wrong one during a rotation, and
// no leaf outlives its issuer.
import { randomBytes } from "node:crypto";
import { spiffeId } from "../lib/security/spiffe.ts";
import { createIssuer, createRoot, type Validity } from "../lib/security/x509/certificate.ts";
import { generateKey, privateKeyPem } from "../lib/security/x509/keys.ts";
import { certificatesPem } from "../lib/security/x509/read-certificate.ts";
import type { IssuerMaterial } from "./rotate.ts";

export const sentryAppId = "dapr-sentry";

export interface IssuerTemplate {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly ttlMs: number;
  readonly clockSkewMs: number;
}

/** A new root and an issuer below it. The root's key is gone when this returns. `now` in milliseconds since the epoch. */
export async function makeIssuer({ trustDomain, namespace, ttlMs, clockSkewMs }: IssuerTemplate, now: number): Promise<IssuerMaterial> {
  const rootKey = await generateKey("ed25519");
  const issuerKey = await generateKey("ed25519");
  const validity = { notBefore: now - clockSkewMs, notAfter: now + ttlMs };
  const root = createRoot({ key: rootKey, organization: `${trustDomain} root ${randomBytes(6).toString("hex")}`, validity });
  const organization = spiffeId(trustDomain, namespace, sentryAppId).uri;
  const issuer = createIssuer({ key: issuerKey, organization, validity }, { certificate: root, privateKey: rootKey.privateKey });
  return {
    root: certificatesPem([root]),
    issuerChain: certificatesPem([issuer]),
    issuerKey: privateKeyPem(issuerKey.privateKey),
    endsAt: Math.min(root.notAfter, issuer.notAfter),
  };
}

export interface LeafTemplate {
  readonly leafTtlMs: number;
  readonly clockSkewMs: number;
  /** When the issuer ends. */
  readonly endsAt: number;
}

export function leafValidity({ leafTtlMs, clockSkewMs, endsAt }: LeafTemplate, now: number): Validity {
  return { notBefore: now - clockSkewMs, notAfter: Math.min(now + leafTtlMs, endsAt) };
}

/** The DNS names that services of the control plane are called by, and nobody else. */
export function controlPlaneNames(
  appId: string,
  namespace: string,
  controlPlaneNamespace: string,
  clusterDomain: string,
): readonly string[] {
  if (namespace !== controlPlaneNamespace) return [];
  switch (appId) {
    case "dapr-injector":
      return [`dapr-sidecar-injector.${namespace}.svc`];
    case "dapr-operator":
      return [`dapr-webhook.${namespace}.svc`];
    case "dapr-scheduler":
      return [0, 1, 2].map((pod) => `dapr-scheduler-server-${pod}.dapr-scheduler-server.${namespace}.svc.${clusterDomain}`);
    default:
      return [];
  }
}
