// What the OIDC server answers, pure: the discovery document (OpenID Connect Discovery 1.0 §3) and the key set, behind the
// list of allowed hosts. The issuer is the configured one; without one it is the host that the caller connected to, never
// what a forwarding header claims, and such an answer is not cached, so that nobody can poison it for others.

export interface OidcSettings {
  /** Null: not configured. */
  readonly issuer: string | null;
  readonly jwksUri: string | null;
  /** Empty, or beginning with a slash and not ending with one. */
  readonly pathPrefix: string;
  /** Empty, or with `*`: any. */
  readonly allowedHosts: readonly string[];
  readonly scheme: "http" | "https";
  readonly algorithm: string;
}

export interface OidcRequest {
  readonly method: string;
  /** Without query. */
  readonly path: string;
  /** Empty: none. */
  readonly host: string;
  readonly forwardedHost: string;
}

export interface OidcReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const discoveryPath = "/.well-known/openid-configuration";
const keySetPath = "/jwks.json";
const cached = "public, max-age=3600";
const hostText = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/;

export function normalPrefix(prefix: string): string {
  const segments = prefix.split("/").filter((segment) => segment !== "");
  return segments.length === 0 ? "" : `/${segments.join("/")}`;
}

export type OidcHandler = (request: OidcRequest, keySet: string) => OidcReply;

export function createOidcHandler(settings: OidcSettings): OidcHandler {
  const routes = new Map<string, (request: OidcRequest, keySet: string) => OidcReply>([
    [`${settings.pathPrefix}${discoveryPath}`, (request) => discovery(settings, request)],
    [`${settings.pathPrefix}${keySetPath}`, (_request, keySet) => json(keySet, cached)],
  ]);
  const anyHost = settings.allowedHosts.length === 0 || settings.allowedHosts.includes("*");
  return (request, keySet) => {
    const route = routes.get(request.path);
    if (route === undefined) return plain(404, "404 page not found");
    if (!anyHost && !allows(settings.allowedHosts, request.forwardedHost || request.host)) {
      return plain(403, "Forbidden: unauthorized domain");
    }
    if (request.method !== "GET" && request.method !== "HEAD") return plain(405, "Method not allowed", { allow: "GET, HEAD" });
    return route(request, keySet);
  };
}

function allows(hosts: readonly string[], host: string): boolean {
  return hosts.includes(host) || hosts.includes(withoutPort(host));
}

function withoutPort(host: string): string {
  const bare = host.replace(/:\d+$/, "");
  return bare.startsWith("[") && bare.endsWith("]") ? bare.slice(1, -1) : bare;
}

function discovery(settings: OidcSettings, request: OidcRequest): OidcReply {
  const { allowedHosts } = settings;
  let issuer = settings.issuer;
  if (issuer === null) {
    if (!hostText.test(request.host)) return plain(400, "Invalid host");
    // Behind a proxy that renames the host only a configured issuer is right.
    const open = allowedHosts.length === 0 || allowedHosts.includes("*");
    if (!open && !allows(allowedHosts, request.host)) return plain(403, "Forbidden: unauthorized domain; behind a proxy set --jwt-issuer");
    issuer = `${settings.scheme}://${request.host}`;
  }
  const document = {
    issuer,
    jwks_uri: settings.jwksUri ?? new URL(`${settings.pathPrefix}${keySetPath}`, issuer).toString(),
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: [settings.algorithm],
    scopes_supported: ["openid"],
    claims_supported: ["sub", "iss", "aud", "exp", "iat", "nbf", "use"],
  };
  return json(`${JSON.stringify(document)}\n`, settings.issuer === null ? "no-store" : cached);
}

function json(body: string, cacheControl: string): OidcReply {
  return { status: 200, headers: { "content-type": "application/json", "cache-control": cacheControl }, body };
}

function plain(status: number, text: string, headers: Readonly<Record<string, string>> = {}): OidcReply {
  const common = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
  return { status, headers: { ...common, ...headers }, body: `${text}\n` };
}

/** What is wrong with an address of the settings, or null. */
export function addressProblem(what: string, address: string): string | null {
  return URL.canParse(address) ? null : `invalid ${what} URI: ${JSON.stringify(address)}; give an absolute https URL`;
}
