// Key pairs: made, read and written through node:crypto, and the policy which keys the CA certifies. A private key stays
// a KeyObject in memory; only `privateKeyPem` writes one out.
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { readPem } from "./pem.ts";
import { X509Error } from "./x509-error.ts";

export type KeyKind = "ecdsa-p256" | "ed25519" | "rsa-2048";

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** What ECDSA, Ed25519 and RSA keys we certify. Larger RSA keys cost a verifier much and add nothing. */
export const rsaMinBits = 2048;
export const rsaMaxBits = 4096;
const rsaExponentMin = 65_537n;
const rsaExponentMax = 2n ** 32n;
const curves = new Set(["prime256v1", "secp384r1", "secp521r1"]);
const keyPemMaxBytes = 64 * 1024;

/** A new key pair, made off the main thread. RSA takes some 100 ms. */
export function generateKey(kind: KeyKind): Promise<KeyPair> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, publicKey: KeyObject, privateKey: KeyObject) =>
      error === null ? resolve({ privateKey, publicKey }) : reject(error);
    if (kind === "ed25519") generateKeyPair("ed25519", {}, done);
    else if (kind === "rsa-2048") generateKeyPair("rsa", { modulusLength: 2048 }, done);
    else generateKeyPair("ec", { namedCurve: "prime256v1" }, done);
  });
}

/** The private key as PKCS #8 PEM. A secret: for key files and Kubernetes secrets only. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }) as string;
}

/** Reads the first private key of `text`: PKCS #8, SEC 1 or PKCS #1, not encrypted. Throws X509Error. */
export function readPrivateKeyPem(text: string | Uint8Array): KeyPair {
  const block = readPem(text, keyPemMaxBytes).find(({ label }) => label.endsWith("PRIVATE KEY"));
  if (block === undefined) throw new X509Error("pem", "no PRIVATE KEY block; give a PKCS #8, SEC 1 or PKCS #1 key in PEM");
  const type = keyForms[block.label];
  if (type === undefined)
    throw new X509Error("pem", `keys of the form ${JSON.stringify(block.label.slice(0, 40))} are not read; give it unencrypted`);
  try {
    const privateKey = createPrivateKey({ key: block.der, format: "der", type });
    return { privateKey, publicKey: createPublicKey(privateKey) };
  } catch {
    // The library's error might quote the input.
    throw new X509Error("structure", `the ${block.label} block holds no readable key`);
  }
}

const keyForms: Readonly<Record<string, "pkcs8" | "sec1" | "pkcs1">> = {
  __proto__: null as never,
  "PRIVATE KEY": "pkcs8",
  "EC PRIVATE KEY": "sec1",
  "RSA PRIVATE KEY": "pkcs1",
};

/** A public key from its SubjectPublicKeyInfo. Throws X509Error `key_type`. */
export function readPublicKey(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: "der", type: "spki" });
  } catch (error) {
    throw new X509Error("key_type", "the public key cannot be read; use ECDSA P-256, Ed25519 or RSA", error);
  }
}

export function spkiDer(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: "spki", format: "der" });
}

/** Throws X509Error `key_type` or `key_size` for a key the CA does not certify. */
export function checkKeyPolicy(key: KeyObject): void {
  const details = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "ed25519":
      return;
    case "ec":
      if (curves.has(details.namedCurve ?? "")) return;
      throw new X509Error(
        "key_type",
        `elliptic curve ${JSON.stringify(details.namedCurve ?? "")} is not accepted; use P-256, P-384 or P-521`,
      );
    case "rsa":
      checkRsa(details.modulusLength ?? 0, details.publicExponent ?? 0n);
      return;
    default:
      throw new X509Error(
        "key_type",
        `keys of type ${JSON.stringify(key.asymmetricKeyType)} are not accepted; use ECDSA P-256, Ed25519 or RSA`,
      );
  }
}

function checkRsa(bits: number, exponent: bigint): void {
  if (bits < rsaMinBits || bits > rsaMaxBits) {
    throw new X509Error("key_size", `an RSA key of ${bits} bits is not accepted; use ${rsaMinBits} to ${rsaMaxBits}`);
  }
  if (exponent < rsaExponentMin || exponent > rsaExponentMax)
    throw new X509Error("key_size", "the RSA key's public exponent is not accepted; use 65537");
}

/** Whether both are the same public key. */
export function samePublicKey(one: KeyObject, other: KeyObject): boolean {
  return one.asymmetricKeyType === other.asymmetricKeyType && one.equals(other);
}
