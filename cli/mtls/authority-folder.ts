// The files of a certificate authority as a user looks at them: when they end, whether they fit together, and how far a rotation of the
// root is. Broken files are told, not thrown.
import { createPrivateKey, createPublicKey } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../lib/kit/errors.ts";
import { type Certificate, readCertificatesPem } from "../../lib/security/x509/read-certificate.ts";
import { readBundle } from "../../sentry/ca-bundle.ts";
import { readRecord } from "../../sentry/rotation-record.ts";

/** Trust anchors, the issuer's chain, its key. */
export const authorityFiles = ["ca.crt", "issuer.crt", "issuer.key"] as const;
export const rotationFile = "rotation.json";

export interface NamedCertificate {
  readonly what: string;
  readonly certificate: Certificate;
}

/** The roots, then the issuer. Throws for text that is no certificate. */
export function certificatesOf(folder: string): NamedCertificate[] {
  const read = (file: string) => readCertificatesPem(readFileSync(join(folder, file)));
  const roots = read("ca.crt").map((certificate) => ({ what: "Root certificate", certificate }));
  const [issuer] = read("issuer.crt");
  return issuer === undefined ? roots : [...roots, { what: "Issuer certificate", certificate: issuer }];
}

/** One sentence for each thing that is wrong at `now`; none when the authority is in force. */
export function problemsOf(folder: string, now: number): string[] {
  const problems: string[] = [];
  const all = certificatesOf(folder);
  for (const { what, certificate } of all) {
    if (now > certificate.notAfter) problems.push(`${what} expired on ${new Date(certificate.notAfter).toISOString()}`);
    if (now < certificate.notBefore) problems.push(`${what} is not yet valid; check the clock`);
  }
  const roots = all.filter(({ what }) => what.startsWith("Root"));
  const issuer = all.find(({ what }) => what.startsWith("Issuer"))?.certificate;
  if (issuer === undefined) return [...problems, "issuer.crt holds no certificate"];
  if (!roots.some(({ certificate }) => issuer.x509.verify(certificate.x509.publicKey))) {
    problems.push("the issuer certificate is signed by none of the roots in ca.crt");
  }
  const key = createPublicKey(createPrivateKey(readFileSync(join(folder, "issuer.key"))));
  if (!issuer.x509.publicKey.equals(key)) problems.push("issuer.key is not the key of the issuer certificate");
  return problems;
}

/** How far the rotation is that sentry has written down; null when none is under way, or the record is about another root. */
export function rotationOf(folder: string): string | null {
  if (!existsSync(join(folder, rotationFile))) return null;
  const read = (file: string) => readFileSync(join(folder, file), "utf8");
  try {
    const state = readRecord(read(rotationFile), readBundle(read("ca.crt"), read("issuer.crt"), read("issuer.key")));
    if (state === null || state.phase === "steady") return null;
    return `${state.phase === "distributing" ? "the new root is being handed out" : "the old root is still trusted"} since ${new Date(state.since).toISOString()}`;
  } catch (error) {
    return `cannot be read: ${messageOf(error)}`;
  }
}
