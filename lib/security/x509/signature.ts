// Signatures of certificates and requests: which algorithm a key signs with, its AlgorithmIdentifier, and verification by
// a table of what we accept (no SHA-1, no PSS, parameters exactly as RFC 4055, 5758 and 8410 want them).
import { type KeyObject, sign, verify } from "node:crypto";
import { type Asn1, childrenOf, contentsOf, nil, oid, oidOf, sequence, Tag } from "./der.ts";
import { Oid } from "./oids.ts";
import { X509Error } from "./x509-error.ts";

interface Algorithm {
  readonly keyType: "ed25519" | "ec" | "rsa";
  /** For node:crypto; Ed25519 hashes by itself. */
  readonly digest: string | null;
  /** RSA's identifiers carry NULL parameters, the others none. */
  readonly parameters: boolean;
}

const algorithms: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  [Oid.ed25519, { keyType: "ed25519", digest: null, parameters: false }],
  [Oid.ecdsaWithSha256, { keyType: "ec", digest: "sha256", parameters: false }],
  [Oid.ecdsaWithSha384, { keyType: "ec", digest: "sha384", parameters: false }],
  [Oid.ecdsaWithSha512, { keyType: "ec", digest: "sha512", parameters: false }],
  [Oid.sha256WithRsa, { keyType: "rsa", digest: "sha256", parameters: true }],
  [Oid.sha384WithRsa, { keyType: "rsa", digest: "sha384", parameters: true }],
  [Oid.sha512WithRsa, { keyType: "rsa", digest: "sha512", parameters: true }],
]);

/** The OID that `key` signs with: the hash matches the strength of the curve. Throws X509Error `key_type`. */
export function signatureOidFor(key: KeyObject): string {
  switch (key.asymmetricKeyType) {
    case "ed25519":
      return Oid.ed25519;
    case "rsa":
      return Oid.sha256WithRsa;
    case "ec":
      return ecdsaByCurve[key.asymmetricKeyDetails?.namedCurve ?? ""] ?? unsupported(key);
    default:
      return unsupported(key);
  }
}

const ecdsaByCurve: Readonly<Record<string, string>> = {
  __proto__: null as never,
  prime256v1: Oid.ecdsaWithSha256,
  secp384r1: Oid.ecdsaWithSha384,
  secp521r1: Oid.ecdsaWithSha512,
};

function unsupported(key: KeyObject): never {
  throw new X509Error(
    "key_type",
    `a key of type ${JSON.stringify(key.asymmetricKeyType)} cannot sign here; use ECDSA P-256, Ed25519 or RSA`,
  );
}

/** AlgorithmIdentifier (RFC 5280 §4.1.1.2). */
export function algorithmIdentifier(algorithmOid: string): Asn1 {
  return algorithms.get(algorithmOid)?.parameters === true ? sequence(oid(algorithmOid), nil()) : sequence(oid(algorithmOid));
}

export function signBytes(bytes: Buffer, key: KeyObject, algorithmOid: string): Buffer {
  return sign(algorithms.get(algorithmOid)?.digest ?? null, bytes, key);
}

/** Whether `signature` over `bytes` is `key`'s. Throws X509Error `signature_algorithm` when `identifier` is none of ours, or not of this key. */
export function verifyBytes(bytes: Buffer, signature: Buffer, key: KeyObject, identifier: Asn1 | undefined): boolean {
  const [algorithmNode, parameters, ...more] = childrenOf(identifier, Tag.sequence, "signature algorithm");
  const algorithmOid = oidOf(algorithmNode, "signature algorithm");
  const algorithm = algorithms.get(algorithmOid);
  if (algorithm === undefined || algorithm.keyType !== key.asymmetricKeyType || more.length > 0) {
    throw new X509Error(
      "signature_algorithm",
      `signature algorithm ${algorithmOid} is not accepted for a key of type ${key.asymmetricKeyType ?? "unknown"}`,
    );
  }
  if ((parameters !== undefined) !== algorithm.parameters)
    throw new X509Error("signature_algorithm", `signature algorithm ${algorithmOid} has wrong parameters`);
  if (parameters !== undefined) contentsOf(parameters, Tag.null, "parameters of the signature algorithm");
  try {
    return verify(algorithm.digest, bytes, key, signature);
  } catch {
    return false;
  }
}
