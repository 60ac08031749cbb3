// The operator's flags and environment variables as data: name, kind, default and help. config.ts reads values by these rows
// and docs/reference/operator.md lists them; a test ties the two together. The first block is Dapr's, the second is ours.
import type { FlagRow } from "../lib/kit/flags.ts";

const daprFlags: readonly FlagRow[] = [
  { name: "config", kind: "string", default: "daprsystem", help: "Name of a Configuration in the operator's namespace" },
  {
    name: "watch-interval",
    kind: "string",
    default: "30s",
    help: "How often pods are looked at for a missing sidecar, e.g. 2m; 0 is never, once is at the start only",
  },
  { name: "max-pod-restarts-per-minute", kind: "int", default: 20, help: "How many pods without their sidecar are deleted per minute" },
  { name: "disable-leader-election", kind: "bool", default: false, help: "Act as the leader without a Lease" },
  { name: "disable-service-reconciler", kind: "bool", default: false, help: "Make no Services for annotated workloads" },
  { name: "watch-namespace", kind: "string", default: "", help: "The one namespace whose resources are watched; empty is all" },
  {
    name: "enable-argo-rollout-service-reconciler",
    kind: "bool",
    default: false,
    help: "Make Services for annotated Argo Rollouts too",
  },
  {
    name: "watchdog-can-patch-pod-labels",
    kind: "bool",
    default: false,
    help: "Label pods whose sidecar somebody else injected, so that they are not looked at again",
  },
  {
    name: "trust-anchors-file",
    kind: "string",
    default: "/var/run/secrets/dapr.io/tls/ca.crt",
    help: "File of the control plane's trust anchors",
  },
  { name: "port", kind: "int", default: 6500, help: "Port of the API that sidecars ask" },
  { name: "listen-address", kind: "string", default: "", help: "Address the API listens on; empty is all" },
  { name: "healthz-port", kind: "int", default: 8080, help: "Port of the health server" },
  { name: "healthz-listen-address", kind: "string", default: "", help: "Address the health server listens on; empty is all" },
  { name: "webhook-server-port", kind: "int", default: 19_443, help: "Port of the webhook that converts Subscriptions" },
  { name: "webhook-server-listen-address", kind: "string", default: "", help: "Address the webhook listens on; empty is all" },
  {
    name: "cache-sync-period",
    kind: "duration",
    default: 0,
    help: "Least time between lists of everything although nothing was missed; 0 is never",
  },
  {
    name: "kubeconfig",
    kind: "string",
    default: "",
    help: "Kubeconfig file; the pod's service account or ~/.kube/config when not given",
  },
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
    name: "apply-crds",
    kind: "bool",
    default: true,
    help: "Bring the cluster's CRDs up to this version by server-side apply; none is ever deleted",
  },
];

export const operatorFlags: readonly FlagRow[] = Object.freeze([...daprFlags, ...ourFlags]);

export interface EnvironmentRow {
  readonly name: string;
  readonly help: string;
}

export const operatorEnvironment: readonly EnvironmentRow[] = Object.freeze([
  { name: "NAMESPACE", help: "Namespace of the control plane, part of the operator's own id; `default` when unset" },
  { name: "ENABLE_WEBHOOKS", help: "`false` serves no conversion webhook and patches no CRD's CA bundle" },
  { name: "DAPR_SENTRY_TOKEN_FILE", help: "File of the token that proves the operator's identity to sentry" },
  { name: "POD_NAME", help: "Name in the Lease and in Events; the host name when unset, outside of pods with the process id" },
  { name: "KUBECONFIG", help: "Kubeconfig file when --kubeconfig is not given" },
  { name: "KUBERNETES_SERVICE_HOST", help: "Address of the API server inside a cluster, with KUBERNETES_SERVICE_PORT" },
]);
