// Who may have which identity: the interface of the validators, and the rules that hold for every request.
import { checkTrustDomain, SpiffeError, spiffeId } from "../../lib/security/spiffe.ts";

export interface IdentityRequest {
  readonly id: string;
  readonly namespace: string;
  /** Empty: the public one. */
  readonly trustDomain: string;
  readonly token: string;
  readonly csrBytes: number;
}

export interface Validator {
  /** The trust domain of the identity. Rejects with RefusedError. */
  validate(request: IdentityRequest, signal: AbortSignal): Promise<string>;
}

/** The request is refused; the message goes to the caller and never holds the token. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

export const publicTrustDomain = "public";
const idMaxChars = 64;

/** The trust domain that is asked for. Throws RefusedError with everything that is wrong. */
export function checkRequest({ id, namespace, trustDomain, csrBytes }: IdentityRequest): string {
  const problems: string[] = [];
  if (id === "") problems.push("parameter app-id cannot be empty");
  if (id.includes(".")) problems.push("parameter app-id cannot contain dots");
  if (id.length > idMaxChars) problems.push(`app ID must be ${idMaxChars} characters or less`);
  if (csrBytes === 0) problems.push("CSR is required");
  if (namespace === "") problems.push("namespace is required");
  if (problems.length > 0) throw new RefusedError(`invalid request: ${problems.join("\n")}`);
  const domain = trustDomain === "" ? publicTrustDomain : trustDomain;
  try {
    checkTrustDomain(domain);
    spiffeId(domain, namespace, id);
  } catch (error) {
    if (error instanceof SpiffeError) throw new RefusedError(`invalid request: ${error.message}`);
    throw error;
  }
  return domain;
}
