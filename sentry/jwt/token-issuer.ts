// JSON Web Tokens that sentry issues beside certificates (RFC 7519, SPIFFE JWT-SVID): the same id as subject, one token for
// all audiences and one for each. Claims are those of Dapr's sentry.
import { type KeyObject, randomBytes } from "node:crypto";
import { signBytes } from "./algorithms.ts";

export interface TokenSettings {
  readonly key: KeyObject;
  readonly keyId: string;
  readonly algorithm: string;
  /** Null: no `iss`. */
  readonly issuer: string | null;
  readonly ttlMs: number;
  readonly clockSkewMs: number;
}

export interface TokenRequest {
  /** The SPIFFE id. */
  readonly subject: string;
  /** At least one. */
  readonly audiences: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface TokenIssuer {
  readonly algorithm: string;
  /** A signed token in compact form. */
  issue(request: TokenRequest): string;
}

const tokenIdBytes = 16;

export function createTokenIssuer(settings: TokenSettings): TokenIssuer {
  const { key, keyId, algorithm, issuer, ttlMs, clockSkewMs } = settings;
  const header = encode({ alg: algorithm, kid: keyId, typ: "JWT" });
  return {
    algorithm,
    issue({ subject, audiences, now }) {
      const claims = {
        aud: audiences,
        exp: seconds(now + ttlMs),
        iat: seconds(now),
        ...(issuer === null ? {} : { iss: issuer }),
        jti: randomBytes(tokenIdBytes).toString("hex"),
        nbf: seconds(now - clockSkewMs),
        sub: subject,
        // Azure wants it.
        use: "sig",
      };
      const signed = `${header}.${encode(claims)}`;
      return `${signed}.${signBytes(algorithm, Buffer.from(signed), key).toString("base64url")}`;
    },
  };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}
