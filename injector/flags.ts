// The injector's flags and environment variables as data: config.ts reads values by these rows and docs/reference/injector.md
// lists them; a test ties the two together. The first block is Dapr's, the second is ours.
import type { FlagRow } from "../lib/kit/flags.ts";

const daprFlags: readonly FlagRow[] = [
  { name: "healthz-port", kind: "int", default: 8080, help: "Port of the health server" },
  { name: "healthz-listen-address", kind: "string", default: "", help: "Address the health server listens on; empty is all" },
  { name: "port", kind: "int", default: 4000, help: "Port of the webhook" },
  { name: "listen-address", kind: "string", default: "", help: "Address the webhook listens on; empty is all" },
  { name: "scheduler-enabled", kind: "bool", default: true, help: "Tell sidecars where the scheduler is" },
  { name: "kubeconfig", kind: "string", default: "", help: "Kubeconfig file; in a pod its service account when not given" },
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
    name: "client-ca-file",
    kind: "string",
    default: "",
    help: "Certificates (PEM) whose clients alone may call the webhook; for API servers that show a certificate to webhooks",
  },
];

export const injectorFlags: readonly FlagRow[] = Object.freeze([...daprFlags, ...ourFlags]);

export interface EnvironmentRow {
  readonly name: string;
  readonly help: string;
  /** Not one of Dapr's. */
  readonly ours?: true;
}

export const injectorEnvironment: readonly EnvironmentRow[] = Object.freeze([
  { name: "SIDECAR_IMAGE", help: "Image of the sidecar; required" },
  { name: "SIDECAR_IMAGE_PULL_POLICY", help: "Always (default), IfNotPresent or Never" },
  { name: "NAMESPACE", help: "Namespace of the control plane; required" },
  { name: "KUBE_CLUSTER_DOMAIN", help: "DNS domain of the cluster; found out when not given, else cluster.local" },
  { name: "ALLOWED_SERVICE_ACCOUNTS", help: "Further accounts whose pods get sidecars: `namespace:name,…` with `*`, `?` and `[…]`" },
  { name: "ALLOWED_SERVICE_ACCOUNTS_PREFIX_NAMES", help: "The same, deprecated" },
  { name: "IGNORE_ENTRYPOINT_TOLERATIONS", help: "JSON list of tolerations whose pods get command and arguments apart" },
  { name: "ACTORS_ENABLED", help: "Tell sidecars where the actors service is; true when not given" },
  { name: "ACTORS_SERVICE_NAME", help: "Name of the actors service; placement when not given" },
  { name: "ACTORS_SERVICE_ADDRESS", help: "`service:port` of an actors service that is not placement" },
  { name: "REMINDERS_SERVICE_NAME", help: "Name of the reminders service; built in when not given or `default`" },
  { name: "REMINDERS_SERVICE_ADDRESS", help: "`service:port` of it" },
  { name: "SIDECAR_RUN_AS_NON_ROOT", help: "The sidecar must not be root; true when not given" },
  { name: "SIDECAR_RUN_AS_USER", help: "User id of the sidecar; the image's when not given" },
  { name: "SIDECAR_RUN_AS_GROUP", help: "Group id of the sidecar; the image's when not given" },
  { name: "SIDECAR_READ_ONLY_ROOT_FILESYSTEM", help: "The sidecar cannot write its files; true when not given" },
  { name: "SIDECAR_DROP_ALL_CAPABILITIES", help: "The sidecar has no capabilities; true when not given (in Dapr false)" },
  { name: "ENABLE_K8S_DOWNWARD_APIS", help: "Give the sidecar the pod's address in DAPR_HOST_IP; false when not given" },
  { name: "NATIVE_SIDECAR_ENABLED", help: "true, false, or auto (when not given): native sidecars where the API server is 1.29 or later" },
  {
    name: "NATIVE_SIDECAR_AUTO",
    help: "true is auto whatever NATIVE_SIDECAR_ENABLED says, which Dapr's chart knows as true and false only",
    ours: true,
  },
  { name: "DAPR_TRUST_ANCHORS_FILE", help: "Trust anchors; /var/run/dapr.io/tls/ca.crt when not given" },
  { name: "DAPR_CONTROL_PLANE_TRUST_DOMAIN", help: "Trust domain of the control plane; cluster.local when not given" },
  { name: "DAPR_SENTRY_ADDRESS", help: "`host:port` of sentry; its Service in the namespace when not given" },
  { name: "DAPR_SENTRY_TOKEN_FILE", help: "Token that proves to sentry who this is; the projected one when not given" },
  { name: "DAPR_COMPONENT_SOCKETS_FOLDER", help: "Folder of pluggable components' sockets; /tmp/dapr-components-sockets when not given" },
  {
    name: "INJECTION_POLICY",
    help: "service-accounts (default): go by who creates the pod, as Dapr; pods: whoever may create a pod may have a sidecar",
    ours: true,
  },
  {
    name: "ALLOWED_SIDECAR_IMAGES",
    help: "Images that a pod may choose with dapr.io/sidecar-image, with `*` and `?`, by commas; any when not given",
    ours: true,
  },
  { name: "KUBECONFIG", help: "Kubeconfig file when --kubeconfig is not given" },
  { name: "KUBERNETES_SERVICE_HOST", help: "Address of the API server inside a cluster, with KUBERNETES_SERVICE_PORT" },
]);
