// JWT SVIDs that came from sentry, read for when they expire and whom they address. Not verified: they came over a
// connection whose other end is sentry, and whoever gets one verifies it.

export interface JwtSvid {
  readonly token: string;
  readonly audiences: readonly string[];
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

const tokenMaxChars = 64 * 1024;

/** Throws an error that does not quote the token. */
export function readJwtSvid(token: string): JwtSvid {
  const parts = token.split(".");
  const claims = parts.length === 3 && token.length <= tokenMaxChars ? claimsOf(parts[1] as string) : null;
  const { exp, aud } = claims ?? {};
  const audiences = typeof aud === "string" ? [aud] : Array.isArray(aud) ? aud.filter((entry) => typeof entry === "string") : [];
  if (typeof exp !== "number" || !Number.isFinite(exp)) throw new Error("error parsing JWT: it is malformed or has no expiry");
  if (audiences.length === 0) throw new Error("JWT audience is empty");
  return { token, audiences, expiresAt: exp * 1000 };
}

function claimsOf(part: string): { readonly exp?: unknown; readonly aud?: unknown } | null {
  try {
    const claims: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof claims === "object" ? claims : null;
  } catch {
    return null;
  }
}
