// sentry's flags and environment variables as data: name, kind, default and help. config.ts reads values by these rows and
// docs/reference/sentry.md lists them; a test ties the two together. The first block is Dapr's, the second is ours.
import type { FlagRow } from "../lib/kit/flags.ts";

const daprFlags: readonly FlagRow[] = [
  {
    name: "config",
    kind: "string",
    default: "daprsystem",
    help: "Configuration file, or in Kubernetes the name of a Configuration in sentry's namespace",
  },
  {
    name: "issuer-credentials",
    kind: "string",
    default: "/var/run/secrets/dapr.io/credentials",
    help: "Directory of the certificate authority's files",
  },
  { name: "issuer-ca-filename", kind: "string", default: "ca.crt", help: "File of the trust anchors; a name in the directory or a path" },
  { name: "issuer-certificate-filename", kind: "string", default: "issuer.crt", help: "File of the issuer's certificate chain" },
  { name: "issuer-key-filename", kind: "string", default: "issuer.key", help: "File of the issuer's private key" },
  { name: "trust-domain", kind: "string", default: "localhost", help: "Trust domain of the control plane" },
  { name: "port", kind: "int", default: 50_001, help: "Port of the certificate authority" },
  { name: "listen-address", kind: "string", default: "", help: "Address the certificate authority listens on; empty is all" },
  { name: "healthz-port", kind: "int", default: 8080, help: "Port of the health server" },
  { name: "healthz-listen-address", kind: "string", default: "", help: "Address the health server listens on; empty is all" },
  { name: "mode", kind: "string", default: "standalone", help: "Where sentry runs: standalone or kubernetes" },
  { name: "jwt-enabled", kind: "bool", default: false, help: "Issue a JWT with every certificate" },
  { name: "jwt-key-filename", kind: "string", default: "jwt.key", help: "File of the key that signs JWTs" },
  { name: "jwks-filename", kind: "string", default: "jwks.json", help: "File of the JSON Web Key Set that verifies JWTs" },
  { name: "jwt-issuer", kind: "string", default: "", help: "Issuer named in JWTs; none when not given" },
  {
    name: "jwt-signing-algorithm",
    kind: "string",
    default: "RS256",
    help: "Algorithm of JWTs, which the key must fit: RS256 to RS512, PS256 to PS512, ES256, ES384, ES512, EdDSA",
  },
  { name: "jwt-key-id", kind: "string", default: "", help: "Key id named in JWTs; the key's SHA-256 thumbprint in base64 when not given" },
  { name: "jwt-ttl", kind: "duration", default: 86_400_000, help: "Life of JWTs" },
  { name: "oidc-enabled", kind: "bool", default: false, help: "Serve OIDC discovery and the key set; needs --jwt-enabled" },
  { name: "oidc-server-listen-port", kind: "int", default: 9080, help: "Port of the OIDC server" },
  { name: "oidc-server-listen-address", kind: "string", default: "localhost", help: "Address the OIDC server listens on" },
  { name: "oidc-server-tls-enabled", kind: "bool", default: true, help: "Serve OIDC over TLS" },
  { name: "oidc-server-tls-cert-file", kind: "string", default: "", help: "Certificate of the OIDC server; required with TLS" },
  { name: "oidc-server-tls-key-file", kind: "string", default: "", help: "Key of the OIDC server; required with TLS" },
  { name: "oidc-jwks-uri", kind: "string", default: "", help: "Where the key set is found from outside, for the discovery document" },
  { name: "oidc-path-prefix", kind: "string", default: "", help: "Path before all paths of the OIDC server" },
  { name: "oidc-allowed-hosts", kind: "strings", default: [], help: "Hosts that the OIDC server answers for; * or none given is any" },
  { name: "kubeconfig", kind: "string", default: "", help: "Kubeconfig file; ~/.kube/config when not given and it is there" },
  { name: "log-level", kind: "string", default: "info", help: "Least level that is logged: debug, info, warn, error or fatal" },
  { name: "log-file", kind: "string", default: "", help: "File that logs are written to instead of stdout" },
  { name: "log-as-json", kind: "bool", default: false, help: "Log lines as JSON" },
  { name: "metrics-port", kind: "string", default: "9090", help: "Port of the metrics server" },
  { name: "metrics-listen-address", kind: "string", default: "0.0.0.0", help: "Address the metrics server listens on" },
  { name: "enable-metrics", kind: "bool", default: true, help: "Serve Prometheus metrics" },
];

const ourFlags: readonly FlagRow[] = [
  { name: "version", kind: "bool", default: false, help: "Print the version and exit" },
  {
    name: "root-rotation",
    kind: "string",
    default: "auto",
    help: "Renew the root by itself: auto (a root that this sentry made), always (also one made by Dapr's sentry) or off",
  },
  { name: "root-ttl", kind: "duration", default: 31_536_000_000, help: "Life of roots and issuers that sentry makes" },
  { name: "root-rotation-before", kind: "duration", default: 2_592_000_000, help: "How long before its end a root is replaced" },
  {
    name: "root-rotation-distribute",
    kind: "duration",
    default: 0,
    help: "How long both roots are handed out before the new one signs; 0 is the life of a certificate, the clock skew and the overlap",
  },
  {
    name: "root-rotation-retire",
    kind: "duration",
    default: 0,
    help: "How long the old root stays trusted after that; never less than the certificates it signed can live; 0 as above",
  },
  { name: "root-rotation-overlap", kind: "duration", default: 600_000, help: "Spare time in each phase" },
];

export const sentryFlags: readonly FlagRow[] = Object.freeze([...daprFlags, ...ourFlags]);

export interface EnvironmentRow {
  readonly name: string;
  readonly help: string;
}

export const sentryEnvironment: readonly EnvironmentRow[] = Object.freeze([
  { name: "NAMESPACE", help: "Namespace of the control plane, part of sentry's own id; `default` when unset" },
  { name: "KUBECONFIG", help: "Kubeconfig file when --kubeconfig is not given" },
  { name: "KUBERNETES_SERVICE_HOST", help: "Address of the API server inside a cluster, with KUBERNETES_SERVICE_PORT" },
]);
