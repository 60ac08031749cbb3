// New certificates for an authority in a folder: a root and an issuer of our making, a root over a key that the user kept, or what
// the user brings. Written by sentry's own store, so all of it or nothing, and a sentry that runs over the folder takes it up.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { spiffeId } from "../../lib/security/spiffe.ts";
import { createIssuer, createRoot } from "../../lib/security/x509/certificate.ts";
import { generateKey, type KeyPair, privateKeyPem, readPrivateKeyPem, samePublicKey } from "../../lib/security/x509/keys.ts";
import { Oid } from "../../lib/security/x509/oids.ts";
import { type Certificate, certificatesPem } from "../../lib/security/x509/read-certificate.ts";
import { type CaBundle, readBundle } from "../../sentry/ca-bundle.ts";
import { credentialsOf, materialOf, readRecord } from "../../sentry/rotation-record.ts";
import { createDiskStore, credentialPaths } from "../../sentry/store/disk.ts";
import type { Credentials } from "../../sentry/store/store.ts";
import { sentryAppId } from "../../sentry/template.ts";
import { UsageError } from "../flags.ts";

/** Paths are the user's, relative to where the command was called. */
export type Renewal =
  | { readonly kind: "made"; readonly validDays: number; readonly rootKeyFile: string | null }
  | { readonly kind: "given"; readonly root: string; readonly issuer: string; readonly issuerKey: string };

export interface Renewed {
  readonly bundle: CaBundle;
  /** Whoever trusts the root of before trusts what the new issuer signs. */
  readonly oldRootVouches: boolean;
}

const dayMs = 24 * 3600 * 1000;
/** Clocks of others may lag. */
const backdatedMs = 15 * 60_000;
const names = {
  anchors: "ca.crt",
  issuerChain: "issuer.crt",
  issuerKey: "issuer.key",
  jwtKey: "jwt.key",
  jwks: "jwks.json",
  rotation: "rotation.json",
} as const;

/** Throws UsageError, BundleError or X509Error and has changed nothing then. */
export async function renew(folder: string, cwd: string, renewal: Renewal, now: number): Promise<Renewed> {
  const store = createDiskStore(folder, credentialPaths(folder, names));
  const { signal } = new AbortController();
  const { credentials, version } = await store.load(signal);
  const before = bundleOf(credentials);
  const bundle = renewal.kind === "given" ? given(cwd, renewal, now) : await made(cwd, renewal, before, now);
  const rotation = renewal.kind === "made" && renewal.rootKeyFile === null ? recordFor(credentials, before, bundle, now) : {};
  const { anchorsPem: anchors, chainPem: issuerChain, keyPem: issuerKey } = bundle;
  await store.save({ anchors, issuerChain, issuerKey, ...rotation }, version, signal);
  return { bundle, oldRootVouches: before !== null && vouches(before.root, bundle) };
}

/** What cannot be read is what renewing is good for. */
function bundleOf({ anchors = "", issuerChain = "", issuerKey = "" }: Credentials): CaBundle | null {
  try {
    return readBundle(anchors, issuerChain, issuerKey);
  } catch {
    return null;
  }
}

function given(cwd: string, files: Renewal & { kind: "given" }, now: number): CaBundle {
  const bundle = readBundle(textOf(cwd, files.root), textOf(cwd, files.issuer), textOf(cwd, files.issuerKey));
  if (now >= bundle.endsAt) throw new UsageError(`the certificates given expired on ${new Date(bundle.endsAt).toISOString()}`);
  return bundle;
}

/** The names of before are kept; a root over the key of before is the same authority with a longer life. */
async function made(cwd: string, request: Renewal & { kind: "made" }, before: CaBundle | null, now: number): Promise<CaBundle> {
  const rootKey = request.rootKeyFile === null ? await generateKey("ed25519") : readPrivateKeyPem(textOf(cwd, request.rootKeyFile));
  const issuerKey = await generateKey("ed25519");
  const validity = { notBefore: now - backdatedMs, notAfter: now + request.validDays * dayMs };
  const root = createRoot({ key: rootKey, organization: rootName(rootKey, before), validity });
  const organization = organizationOf(before?.chain[0]) ?? spiffeId("localhost", "default", sentryAppId).uri;
  const issuer = createIssuer({ key: issuerKey, organization, validity }, { certificate: root, privateKey: rootKey.privateKey });
  return readBundle(certificatesPem([root]), certificatesPem([issuer]), privateKeyPem(issuerKey.privateKey));
}

/** A root over another key has another name, lest verifiers try the one for the other. */
function rootName(key: KeyPair, before: CaBundle | null): string {
  const same = before !== null && samePublicKey(before.root.publicKey, key.publicKey);
  return (same ? organizationOf(before.root) : null) ?? `localhost root ${randomBytes(6).toString("hex")}`;
}

function organizationOf(certificate: Certificate | undefined): string | null {
  return certificate?.subject.find(([type]) => type === Oid.organization)?.[1] ?? null;
}

/** A root that sentry renewed by itself goes on being renewed. */
function recordFor(credentials: Credentials, before: CaBundle | null, bundle: CaBundle, now: number): Pick<Credentials, "rotation"> {
  const state = before === null || credentials.rotation === undefined ? null : readRecord(credentials.rotation, before);
  if (state === null) return {};
  const { longestLeafMs } = state;
  const { rotation } = credentialsOf({
    phase: "steady",
    anchors: [bundle.anchorsPem],
    issuer: materialOf(bundle),
    longestLeafMs,
    since: now,
  });
  return rotation === undefined ? {} : { rotation };
}

function vouches(root: Certificate, { chain }: CaBundle): boolean {
  const top = chain.at(-1) as Certificate;
  return top.issuerDer.equals(root.subjectDer) && top.x509.verify(root.publicKey);
}

function textOf(cwd: string, path: string): string {
  try {
    return readFileSync(isAbsolute(path) ? path : join(cwd, path), "utf8");
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? "it is not readable"}`);
  }
}
