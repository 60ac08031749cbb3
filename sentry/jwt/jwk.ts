// JSON Web Keys (RFC 7517) of public keys: reading a set from anywhere, writing ours, thumbprints (RFC 7638), and which
// algorithms (RFC 7518, RFC 8037) fit which key. Keys of kinds that verify no signature of ours are passed over.
import { createHash, createPublicKey, type JsonWebKeyInput, type KeyObject } from "node:crypto";

export interface VerificationKey {
  /** Empty: none. */
  readonly keyId: string;
  readonly key: KeyObject;
  /** What the key may verify. */
  readonly algorithms: readonly string[];
}

export class JwkError extends Error {
  override readonly name = "JwkError";
}

const rsaAlgorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] as const;
const curveAlgorithms: ReadonlyMap<string, string> = new Map([
  ["prime256v1", "ES256"],
  ["secp384r1", "ES384"],
  ["secp521r1", "ES512"],
]);
const curveNames: ReadonlyMap<string, string> = new Map([
  ["prime256v1", "P-256"],
  ["secp384r1", "P-384"],
  ["secp521r1", "P-521"],
]);
const rsaMinBits = 1024;
const keysMax = 1000;

/** Algorithms that `key`, private or public, signs or verifies with. */
export function algorithmsOf(key: KeyObject): readonly string[] {
  switch (key.asymmetricKeyType) {
    case "rsa":
      return (key.asymmetricKeyDetails?.modulusLength ?? 0) < rsaMinBits ? [] : rsaAlgorithms;
    case "ec": {
      const algorithm = curveAlgorithms.get(key.asymmetricKeyDetails?.namedCurve ?? "");
      return algorithm === undefined ? [] : [algorithm];
    }
    case "ed25519":
      return ["EdDSA"];
    default:
      return [];
  }
}

/** What is wrong with signing by `algorithm` and `key`, or null. */
export function algorithmProblem(key: KeyObject, algorithm: string): string | null {
  if (algorithmsOf(key).includes(algorithm)) return null;
  const kind =
    key.asymmetricKeyType === "ec" ? `ec ${curveNames.get(key.asymmetricKeyDetails?.namedCurve ?? "") ?? ""}` : key.asymmetricKeyType;
  if ((rsaAlgorithms as readonly string[]).includes(algorithm)) return `RSA algorithm ${algorithm} requires an RSA key, but got ${kind}`;
  for (const [curve, name] of curveAlgorithms) {
    if (name === algorithm) return `ECDSA algorithm ${algorithm} requires a key on curve ${curveNames.get(curve)}, but got ${kind}`;
  }
  return algorithm === "EdDSA"
    ? `EdDSA algorithm requires an Ed25519 key, but got ${kind}`
    : `unsupported signature algorithm: ${algorithm}`;
}

/** Members that identify the key, in the order of RFC 7638 §3. */
function identifying(key: KeyObject): Readonly<Record<string, string>> {
  const { crv, e, kty, n, x, y } = key.export({ format: "jwk" });
  const members = { crv, e, kty, n, x, y };
  return Object.fromEntries(Object.entries(members).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** SHA-256 thumbprint in base64 with padding, Dapr's default key id. */
export function thumbprint(publicKey: KeyObject): string {
  return createHash("sha256")
    .update(JSON.stringify(identifying(publicKey)))
    .digest("base64");
}

/** A set of one key, as Dapr's sentry writes it. */
export function keySetText(publicKey: KeyObject, algorithm: string, keyId: string): string {
  const key = { ...identifying(publicKey), alg: algorithm, kid: keyId, use: "sig" };
  const sorted = Object.fromEntries(Object.entries(key).sort(([one], [other]) => (one < other ? -1 : 1)));
  return JSON.stringify({ keys: [sorted] });
}

/** Reads a key set, or a single key. Throws JwkError. */
export function readKeySet(text: string): readonly VerificationKey[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new JwkError("failed to parse JWKS: not JSON");
  }
  const keys = isRecord(value) ? (value["keys"] ?? (typeof value["kty"] === "string" ? [value] : null)) : null;
  if (!Array.isArray(keys)) throw new JwkError('failed to parse JWKS: no "keys"');
  if (keys.length > keysMax) throw new JwkError(`failed to parse JWKS: more than ${keysMax} keys`);
  return keys.map(readKey).filter((key) => key !== null);
}

function readKey(value: unknown): VerificationKey | null {
  if (!isRecord(value)) throw new JwkError("failed to parse JWKS: a key is not an object");
  if (value["use"] !== undefined && value["use"] !== "sig") return null;
  if (value["kty"] !== "RSA" && value["kty"] !== "EC" && value["kty"] !== "OKP") return null;
  const { kty, n, e, crv, x, y } = value;
  let key: KeyObject;
  try {
    // Only the public members: a set that holds a private key by mistake is not taken as one.
    key = createPublicKey({ key: { kty, n, e, crv, x, y } as JsonWebKeyInput["key"], format: "jwk" });
  } catch {
    throw new JwkError(`failed to parse JWKS: key ${JSON.stringify(value["kid"] ?? "")} is malformed`);
  }
  const fitting = algorithmsOf(key);
  const algorithm = value["alg"];
  const algorithms = typeof algorithm === "string" ? fitting.filter((one) => one === algorithm) : fitting;
  return Object.freeze({ keyId: typeof value["kid"] === "string" ? value["kid"] : "", key, algorithms });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
