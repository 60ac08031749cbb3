// SPIFFE ids of Dapr: `spiffe://<trust domain>/ns/<namespace>/<app id>`. Ids are compared byte for byte, so they are
// parsed strictly by the SPIFFE-ID standard (§2.1, §2.2, §2.3): nothing is decoded, folded or resolved, and whatever is
// not exactly of that form is refused with a named reason.

export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly appId: string;
  /** The whole id as a URI. */
  readonly uri: string;
}

export type SpiffeReason =
  | "scheme"
  | "too_long"
  | "trust_domain_empty"
  | "trust_domain_character"
  | "path_character"
  | "empty_segment"
  | "dot_segment"
  | "path_form";

export class SpiffeError extends Error {
  override readonly name = "SpiffeError";
  readonly reason: SpiffeReason;

  constructor(reason: SpiffeReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** SPIFFE-ID §2.3. */
const idMaxBytes = 2048;
const trustDomainMaxBytes = 255;
const scheme = "spiffe://";
const trustDomainText = /^[a-z0-9._-]+$/;
const segmentText = /^[A-Za-z0-9._-]+$/;

/** Reads the id of a Dapr workload. Throws SpiffeError. */
export function parseSpiffeId(uri: string): SpiffeId {
  if (uri.length > idMaxBytes) throw new SpiffeError("too_long", `SPIFFE id has more than ${idMaxBytes} characters`);
  if (!uri.startsWith(scheme)) throw new SpiffeError("scheme", `SPIFFE id ${quote(uri)} does not begin with ${scheme}`);
  const [trustDomain = "", ...segments] = uri.slice(scheme.length).split("/");
  checkTrustDomain(trustDomain);
  for (const segment of segments) checkSegment(segment, "SPIFFE id path");
  const [ns, namespace, appId] = segments;
  if (segments.length !== 3 || ns !== "ns" || namespace === undefined || appId === undefined) {
    throw new SpiffeError("path_form", `SPIFFE id ${quote(uri)} is not of the form spiffe://<trust domain>/ns/<namespace>/<app id>`);
  }
  return Object.freeze({ trustDomain, namespace, appId, uri });
}

/** Builds an id of checked parts. Throws SpiffeError. */
export function spiffeId(trustDomain: string, namespace: string, appId: string): SpiffeId {
  checkTrustDomain(trustDomain);
  checkSegment(namespace, "namespace");
  checkSegment(appId, "app id");
  const uri = `${scheme}${trustDomain}/ns/${namespace}/${appId}`;
  if (uri.length > idMaxBytes) throw new SpiffeError("too_long", `SPIFFE id has more than ${idMaxBytes} characters`);
  return Object.freeze({ trustDomain, namespace, appId, uri });
}

/** Throws SpiffeError when `name` cannot be a trust domain. */
export function checkTrustDomain(name: string): void {
  if (name === "") throw new SpiffeError("trust_domain_empty", "trust domain is empty");
  if (name.length > trustDomainMaxBytes) throw new SpiffeError("too_long", `trust domain has more than ${trustDomainMaxBytes} characters`);
  if (!trustDomainText.test(name)) {
    throw new SpiffeError(
      "trust_domain_character",
      `trust domain ${quote(name)} has characters other than a-z, 0-9, dot, dash and underscore`,
    );
  }
}

function checkSegment(segment: string, what: string): void {
  if (segment === "") throw new SpiffeError("empty_segment", `${what} is empty`);
  if (segment === "." || segment === "..") throw new SpiffeError("dot_segment", `${what} is a dot segment`);
  if (!segmentText.test(segment)) {
    throw new SpiffeError(
      "path_character",
      `${what} ${quote(segment)} has characters other than letters, digits, dot, dash and underscore`,
    );
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 128));
}
