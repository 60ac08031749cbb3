// The key that signs JWTs and the key set that verifies them: made on the first start, or given by the user and then
// checked to belong together, by the rules of Dapr's sentry.
import type { KeyObject } from "node:crypto";
import { messageOf } from "../../lib/kit/errors.ts";
import { generateKey, privateKeyPem, readPrivateKeyPem, samePublicKey } from "../../lib/security/x509/keys.ts";
import { algorithmProblem, JwkError, keySetText, readKeySet, thumbprint, type VerificationKey } from "./jwk.ts";

export interface SigningKey {
  readonly key: KeyObject;
  readonly keyId: string;
  /** JSON of the set as it is served, with keys of the user's own too. */
  readonly keySet: string;
}

export interface SigningKeyTexts {
  readonly keyPem: string;
  readonly keySet: string;
}

export const generatedAlgorithm = "RS256";

export async function makeSigningKey(): Promise<SigningKeyTexts> {
  const { privateKey, publicKey } = await generateKey("rsa-2048");
  return { keyPem: privateKeyPem(privateKey), keySet: keySetText(publicKey, generatedAlgorithm, thumbprint(publicKey)) };
}

/** `keyId` is the user's choice, null for the thumbprint. Throws JwkError. */
export function readSigningKey({ keyPem, keySet }: SigningKeyTexts, algorithm: string, keyId: string | null): SigningKey {
  const { privateKey, publicKey } = readKey(keyPem);
  checkKeySet(readKeySet(keySet), publicKey, keyId);
  const problem = algorithmProblem(privateKey, algorithm);
  if (problem !== null) throw new JwkError(`JWT signing key is incompatible with algorithm ${algorithm}: ${problem}`);
  return Object.freeze({ key: privateKey, keyId: keyId ?? thumbprint(publicKey), keySet });
}

function readKey(keyPem: string): ReturnType<typeof readPrivateKeyPem> {
  try {
    return readPrivateKeyPem(keyPem);
  } catch (error) {
    throw new JwkError(`failed to load JWT signing key: ${messageOf(error)}`);
  }
}

function checkKeySet(keys: readonly VerificationKey[], publicKey: KeyObject, keyId: string | null): void {
  const fail = (reason: string): never => {
    throw new JwkError(`failed to verify JWKS: ${reason}`);
  };
  if (keys.length === 0) fail("JWKS doesn't contain any keys");
  const candidates = keyId === null ? keys : keys.filter((key) => key.keyId === keyId);
  if (candidates.length === 0) fail(`JWKS doesn't contain a key with user-provided key ID ${JSON.stringify(keyId)}`);
  if (candidates.some(({ key }) => samePublicKey(key, publicKey))) return;
  if (keyId === null) fail("JWKS doesn't contain a matching public key for the JWT signing key");
  fail(`JWKS contains a key with user-provided key ID ${JSON.stringify(keyId)} but the key content doesn't match the signing key`);
}
