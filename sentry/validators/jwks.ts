// The validator for tokens of somebody's own issuer: a JWT signed by a key of a key set, for sentry (`aud` is sentry's id),
// whose subject is exactly the identity that is asked for. A token is bound to one identity, so showing it again, from
// wherever, yields no other.
import type { Clock } from "../../lib/kit/clock.ts";
import type { ReadinessTarget } from "../../lib/kit/readiness.ts";
import { spiffeId } from "../../lib/security/spiffe.ts";
import { TokenError, verifyToken } from "../jwt/read-token.ts";
import type { KeySource } from "./key-source.ts";
import { checkRequest, type IdentityRequest, RefusedError, type Validator } from "./validator.ts";

export interface JwksValidator extends Validator {
  /** Loads the keys; resolves when the validator can judge. */
  start(signal: AbortSignal): Promise<void>;
}

const skewMs = 300_000;

export function createJwksValidator(source: KeySource, sentryId: string, clock: Clock, health: ReadinessTarget): JwksValidator {
  const judge = (request: IdentityRequest, subject: string): void => {
    if (source.keys === null) throw new RefusedError("jwks validator not ready");
    verifyToken(request.token, source.keys, { audience: sentryId, subject, skewMs, now: clock.now() });
  };
  return {
    async start(signal) {
      await source.start(signal);
      health.ready();
    },
    async validate(request) {
      if (request.token === "") throw new RefusedError("the request does not contain a token");
      const trustDomain = checkRequest(request);
      const subject = spiffeId(trustDomain, request.namespace, request.id).uri;
      try {
        await withRotatedKeys(source, () => judge(request, subject));
      } catch (error) {
        if (error instanceof TokenError) throw new RefusedError(`token validation failed: ${error.message}`);
        throw error;
      }
      return trustDomain;
    },
  };
}

/** Judges once more with fresh keys when the token's key is not among those we have. */
async function withRotatedKeys(source: KeySource, judge: () => void): Promise<void> {
  try {
    judge();
  } catch (error) {
    if (!(error instanceof TokenError) || !error.unknownKey) throw error;
    await source.refresh();
    judge();
  }
}
