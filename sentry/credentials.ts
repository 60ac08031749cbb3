// From what a store keeps to what sentry signs with, making what is missing: the certificate authority on the first start,
// the JWT key when it is first asked for. Pure but for the making of keys.
import { messageOf } from "../lib/kit/errors.ts";
import { certificatesPem } from "../lib/security/x509/read-certificate.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import { type CaBundle, readBundle } from "./ca-bundle.ts";
import type { JwtConfig, RotationConfig } from "./config.ts";
import { generatedAlgorithm, makeSigningKey, readSigningKey } from "./jwt/signing-key.ts";
import { createTokenIssuer, type TokenIssuer } from "./jwt/token-issuer.ts";
import type { MtlsConfig } from "./mtls-settings.ts";
import type { IssuerMaterial, RotationState } from "./rotate.ts";
import { credentialsOf, materialOf, readRecord } from "./rotation-record.ts";
import type { Credentials } from "./store/store.ts";

/** What is in force. */
export interface Signing {
  readonly bundle: CaBundle;
  /** Null: JWTs are off. */
  readonly tokens: TokenIssuer | null;
  /** JSON; empty when JWTs are off. */
  readonly keySet: string;
}

/** What is to be saved before anything else; null when nothing is missing. */
export async function missingCredentials(
  stored: Credentials,
  jwt: JwtConfig | null,
  make: () => Promise<IssuerMaterial>,
  leafTtlMs: number,
  now: number,
  log: Logger,
): Promise<Credentials | null> {
  const missing: Credentials[] = [];
  const names = ["anchors", "issuerChain", "issuerKey"] as const;
  const there = names.filter((name) => stored[name] !== undefined);
  if (there.length > 0 && there.length < names.length) {
    const lacking = names.filter((name) => stored[name] === undefined);
    throw new Error(`found ${there.join(" and ")} but not ${lacking.join(" and ")}; give all three, or none to have them made`);
  }
  if (there.length === 0) {
    log.info("Root and issuer certs not found: generating self signed CA");
    const issuer = await make();
    missing.push(credentialsOf({ phase: "steady", anchors: [issuer.root], issuer, longestLeafMs: leafTtlMs, since: now }));
    log.info("Generating self-signed CA certs and persisting to store");
  }
  if (jwt !== null && (stored.jwtKey === undefined || stored.jwks === undefined)) {
    const { keyPem, keySet } = await makeSigningKey();
    missing.push({ jwtKey: keyPem, jwks: keySet });
    log.info("Generating JWT signing key and persisting to store");
  }
  return missing.length === 0 ? null : Object.assign({}, ...missing);
}

/** Throws BundleError, JwkError. `generated`: the JWT key was made just now, which fixes its algorithm as in Dapr. */
export function readSigning(stored: Credentials, jwt: JwtConfig | null, mtls: MtlsConfig, generated: boolean): Signing {
  const { anchors = "", issuerChain = "", issuerKey = "", jwtKey = "", jwks = "" } = stored;
  const bundle = readBundle(anchors, issuerChain, issuerKey);
  if (jwt === null) return { bundle, tokens: null, keySet: "" };
  const algorithm = generated ? generatedAlgorithm : jwt.algorithm;
  const { key, keyId, keySet } = readSigningKey({ keyPem: jwtKey, keySet: jwks }, algorithm, generated ? null : jwt.keyId);
  const { issuer, ttlMs } = jwt;
  const tokens = createTokenIssuer({ key, keyId: jwt.keyId ?? keyId, algorithm, issuer, ttlMs, clockSkewMs: mtls.clockSkewMs });
  return { bundle, tokens, keySet };
}

/** Life that certificates of a CA which we did not make may have had. */
const adoptedLeafMs = 86_400_000;

/** The state of the rotation; null: this authority is not ours to rotate. */
export function readRotation(
  stored: Credentials,
  bundle: CaBundle,
  { policy }: RotationConfig,
  leafTtlMs: number,
  now: number,
  log: Logger,
): RotationState | null {
  if (policy === "off") return null;
  try {
    const state = stored.rotation === undefined ? null : readRecord(stored.rotation, bundle);
    if (state !== null) return state;
  } catch (error) {
    log.error(`The root is not rotated: ${messageOf(error)}`);
    return null;
  }
  if (policy === "auto") {
    if (stored.rotation !== undefined) log.warn("The certificate authority was replaced by hand: its root is not rotated any more");
    return null;
  }
  const anchors = bundle.anchors.map((anchor) => certificatesPem([anchor]));
  return { phase: "steady", anchors, issuer: materialOf(bundle), longestLeafMs: Math.max(leafTtlMs, adoptedLeafMs), since: now };
}
