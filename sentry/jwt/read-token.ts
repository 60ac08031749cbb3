// JSON Web Tokens that somebody shows us (RFC 7519, compact form only): signature by a key of a set that is chosen by key
// id, then the claims. The words of failures are those that Dapr's users know.
import { verifyBytes } from "./algorithms.ts";
import type { VerificationKey } from "./jwk.ts";

export interface Expected {
  readonly audience: string;
  readonly subject: string;
  /** How far clocks may differ. */
  readonly skewMs: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export class TokenError extends Error {
  override readonly name = "TokenError";
  /** The token names a key that is not in the set: it may have been rotated. */
  readonly unknownKey: boolean;

  constructor(message: string, unknownKey = false) {
    super(message);
    this.unknownKey = unknownKey;
  }
}

export type Claims = Readonly<Record<string, unknown>>;

const tokenMaxChars = 64 * 1024;
const base64url = /^[A-Za-z0-9_-]*$/;

/** Throws TokenError. */
export function verifyToken(token: string, keys: readonly VerificationKey[], expected: Expected): Claims {
  const { header, claims, signed, signature } = split(token);
  const { alg, kid, crit } = header;
  if (typeof alg !== "string" || crit !== undefined) throw new TokenError("could not verify message: its header is not understood");
  const named = keys.filter(({ keyId }) => typeof kid === "string" && kid !== "" && keyId === kid);
  if (named.length === 0) throw new TokenError("could not verify message using any of the signatures or keys: no key has its key id", true);
  const good = named.some(({ key, algorithms }) => algorithms.includes(alg) && verifyBytes(alg, signed, key, signature));
  if (!good) throw new TokenError("could not verify message using any of the signatures or keys");
  checkClaims(claims, expected);
  return claims;
}

/** Claims of a token that somebody else has verified. Takes a bare JSON object too, as Dapr does. Throws TokenError. */
export function claimsUnverified(token: string): Claims {
  if (token.trimStart().startsWith("{") && token.length <= tokenMaxChars) return parseJson(Buffer.from(token));
  return split(token).claims;
}

function split(token: string): { header: Claims; claims: Claims; signed: Buffer; signature: Buffer } {
  if (token.length > tokenMaxChars) throw new TokenError(`invalid JWT: longer than ${tokenMaxChars} characters`);
  const parts = token.split(".");
  const [header, claims, signature] = parts;
  if (parts.length !== 3 || !parts.every((part) => base64url.test(part))) throw new TokenError("invalid JWT: not three parts in base64url");
  return {
    header: parseJson(Buffer.from(header as string, "base64url")),
    claims: parseJson(Buffer.from(claims as string, "base64url")),
    signed: Buffer.from(`${header}.${claims}`),
    signature: Buffer.from(signature as string, "base64url"),
  };
}

function parseJson(bytes: Buffer): Claims {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Claims;
  } catch {
    // Told below.
  }
  throw new TokenError("invalid JWT: a part is not a JSON object");
}

function checkClaims(claims: Claims, { audience, subject, skewMs, now }: Expected): void {
  const at = (name: string): number | null => {
    const value = claims[name];
    if (value === undefined) return null;
    if (typeof value !== "number" || !Number.isFinite(value)) throw new TokenError(`"${name}" not satisfied: it is not a number`);
    return value * 1000;
  };
  const { iat, exp, nbf } = { iat: at("iat"), exp: at("exp"), nbf: at("nbf") };
  if (exp !== null && now - skewMs >= exp) throw new TokenError('"exp" not satisfied: the token has expired');
  if (iat !== null && now + skewMs < iat) throw new TokenError('"iat" not satisfied: the token is of the future');
  if (nbf !== null && now + skewMs < nbf) throw new TokenError('"nbf" not satisfied: the token is not valid yet');
  const audiences = Array.isArray(claims["aud"]) ? claims["aud"] : [claims["aud"]];
  if (!audiences.includes(audience)) throw new TokenError(`"aud" not satisfied: it does not hold ${audience}`);
  if (claims["sub"] !== subject) throw new TokenError(`"sub" not satisfied: it is not ${subject}`);
}
