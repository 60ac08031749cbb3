// JWS signatures (RFC 7518 §3, RFC 8037) by name, on node:crypto. `none` and the symmetric algorithms do not exist here.
import { constants, type KeyObject, sign, verify } from "node:crypto";

interface Algorithm {
  /** Null for EdDSA, which hashes by itself. */
  readonly digest: string | null;
  readonly options: Readonly<Record<string, string | number>>;
}

const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
const algorithms: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ...["256", "384", "512"].flatMap((bits): [string, Algorithm][] => [
    [`RS${bits}`, { digest: `sha${bits}`, options: {} }],
    [`PS${bits}`, { digest: `sha${bits}`, options: pss }],
    [`ES${bits}`, { digest: `sha${bits}`, options: { dsaEncoding: "ieee-p1363" } }],
  ]),
  ["EdDSA", { digest: null, options: {} }],
]);

/** The caller has checked that `key` fits `name`. */
export function signBytes(name: string, bytes: Buffer, key: KeyObject): Buffer {
  const { digest, options } = algorithms.get(name) as Algorithm;
  return sign(digest, bytes, { key, ...options });
}

/** False for every fault, an unknown algorithm too. */
export function verifyBytes(name: string, bytes: Buffer, key: KeyObject, signature: Buffer): boolean {
  const algorithm = algorithms.get(name);
  if (algorithm === undefined) return false;
  try {
    return verify(algorithm.digest, bytes, { key, ...algorithm.options }, signature);
  } catch {
    return false;
  }
}
