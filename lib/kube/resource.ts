// Where objects of a kind live in the API, as data. A resource is not a kind: `pods` is where a Pod is found.

export interface KubeResource {
  /** Empty: the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

function core(plural: string, kind: string, namespaced = true): KubeResource {
  return Object.freeze({ group: "", version: "v1", plural, kind, namespaced });
}

function grouped(group: string, version: string, plural: string, kind: string, namespaced = true): KubeResource {
  return Object.freeze({ group, version, plural, kind, namespaced });
}

export const kubeResources = Object.freeze({
  pods: core("pods", "Pod"),
  services: core("services", "Service"),
  secrets: core("secrets", "Secret"),
  configMaps: core("configmaps", "ConfigMap"),
  serviceAccounts: core("serviceaccounts", "ServiceAccount"),
  namespaces: core("namespaces", "Namespace", false),
  events: core("events", "Event"),
  deployments: grouped("apps", "v1", "deployments", "Deployment"),
  statefulSets: grouped("apps", "v1", "statefulsets", "StatefulSet"),
  rollouts: grouped("argoproj.io", "v1alpha1", "rollouts", "Rollout"),
  leases: grouped("coordination.k8s.io", "v1", "leases", "Lease"),
  customResourceDefinitions: grouped("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false),
  mutatingWebhooks: grouped("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", false),
  tokenReviews: grouped("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", false),
});

export const daprResources = Object.freeze({
  components: grouped("dapr.io", "v1alpha1", "components", "Component"),
  configurations: grouped("dapr.io", "v1alpha1", "configurations", "Configuration"),
  subscriptionsV1: grouped("dapr.io", "v1alpha1", "subscriptions", "Subscription"),
  subscriptions: grouped("dapr.io", "v2alpha1", "subscriptions", "Subscription"),
  resiliencies: grouped("dapr.io", "v1alpha1", "resiliencies", "Resiliency"),
  httpEndpoints: grouped("dapr.io", "v1alpha1", "httpendpoints", "HTTPEndpoint"),
  mcpServers: grouped("dapr.io", "v1alpha1", "mcpservers", "MCPServer"),
  workflowAccessPolicies: grouped("dapr.io", "v1alpha1", "workflowaccesspolicies", "WorkflowAccessPolicy"),
});

export function apiVersionOf({ group, version }: KubeResource): string {
  return group === "" ? version : `${group}/${version}`;
}

/** Names of objects and namespaces (RFC 1123 subdomains, and the colons of RBAC names); nothing else becomes part of a path. */
const objectName = /^[a-z0-9]([a-z0-9.:-]{0,251}[a-z0-9])?$/;

/** The path of a collection (name null) or an object. Throws RangeError for a name that can be no object's. */
export function pathOf(resource: KubeResource, namespace: string | null, name: string | null, subresource = ""): string {
  const root = resource.group === "" ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const inside = resource.namespaced && namespace !== null ? `/namespaces/${checked(namespace)}` : "";
  const object = name === null ? "" : `/${checked(name)}`;
  return `${root}${inside}/${resource.plural}${object}${subresource === "" ? "" : `/${subresource}`}`;
}

function checked(name: string): string {
  if (objectName.test(name)) return name;
  throw new RangeError(`${JSON.stringify(name.slice(0, 64))} is no name of a Kubernetes object`);
}
