// The Service that lets sidecars find a workload's pods: pure. `<app id>-dapr`, headless, with the four ports of a sidecar,
// of the very names, labels and annotations that Dapr's operator gives it, since sidecars, meshes and scrapers read them.
import { annotationOf, at, type Json, type KubeObject, objectOf, textOf } from "../../../lib/kube/object.ts";
import { apiVersionOf, type KubeResource } from "../../../lib/kube/resource.ts";
import { bool } from "../../../lib/resources/annotation-readers.ts";

export interface Workload {
  readonly resource: KubeResource;
  readonly object: KubeObject;
}

export type ServicePlan =
  | { readonly kind: "none" }
  | { readonly kind: "refused"; readonly cause: string }
  | { readonly kind: "wanted"; readonly appId: string; readonly name: string; readonly service: Json };

const none: ServicePlan = Object.freeze({ kind: "none" });
const label = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const nameMaxChars = 63;
const reserved = ["prometheus.io/probe", "prometheus.io/scrape", "prometheus.io/port", "prometheus.io/path"] as const;

/** What is kept of a workload: it changes with every pod's status, and only this much concerns us. */
export function slimWorkload(object: KubeObject): KubeObject | null {
  const template = objectOf(at(object, "spec", "template", "metadata", "annotations"));
  if (!bool(textOf(template["dapr.io/enabled"])).value) return null;
  const { name = "", namespace = "", uid = "", deletionTimestamp = null } = object.metadata;
  const annotations = Object.fromEntries(Object.entries(template).filter(([key]) => key.startsWith("dapr.io/")));
  const matchLabels = objectOf(at(object, "spec", "selector", "matchLabels"));
  return {
    metadata: { name, namespace, uid, deletionTimestamp },
    spec: { selector: { matchLabels }, template: { metadata: { annotations } } },
  };
}

export function planService({ resource, object }: Workload): ServicePlan {
  if (object.metadata.deletionTimestamp) return none;
  const appId = annotation(object, "app-id");
  if (appId === "") return none;
  const name = serviceName(appId);
  if (!label.test(name) || name.length > nameMaxChars) {
    const cause = `the app id ${JSON.stringify(appId.slice(0, 80))} makes no name of a Service: use at most 58 of a-z, 0-9 and -`;
    return { kind: "refused", cause };
  }
  return { kind: "wanted", appId, name, service: serviceOf(resource, object, appId, name) };
}

export function serviceName(appId: string): string {
  return `${appId}-dapr`;
}

export function appIdOfWorkload(object: KubeObject): string {
  return annotation(object, "app-id");
}

/** The workload that a Service is controlled by: kind and uid; null: none. */
export function controllerOf(service: KubeObject): { readonly kind: string; readonly name: string; readonly uid: string } | null {
  return service.metadata.ownerReferences?.find(({ controller }) => controller === true) ?? null;
}

function serviceOf(resource: KubeResource, object: KubeObject, appId: string, name: string): Json {
  const { namespace = "", name: owner = "", uid = "" } = object.metadata;
  const ownerReference = {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    name: owner,
    uid,
    controller: true,
    blockOwnerDeletion: true,
  };
  return {
    metadata: {
      name,
      namespace,
      labels: { "dapr.io/enabled": "true" },
      annotations: annotationsOf(object, appId),
      ownerReferences: [ownerReference],
    },
    spec: {
      clusterIP: "None",
      selector: objectOf(at(object, "spec", "selector", "matchLabels")),
      ports: [
        port("dapr-http", 80, 3500),
        port("dapr-grpc", number(object, "grpc-port", 50_001)),
        port("dapr-internal", number(object, "internal-grpc-port", 50_002)),
        port("dapr-metrics", number(object, "metrics-port", 9090)),
      ],
    },
  };
}

function port(name: string, number: number, targetPort = number): Json {
  return { name, protocol: "TCP", port: number, targetPort };
}

function annotationsOf(object: KubeObject, appId: string): Readonly<Record<string, string>> {
  const annotations: Record<string, string> = { "dapr.io/app-id": appId };
  const enableMetrics = annotation(object, "enable-metrics");
  if (enableMetrics === "" || bool(enableMetrics).value) {
    const values = ["true", "true", String(number(object, "metrics-port", 9090)), "/"] as const;
    for (const [index, name] of reserved.entries()) annotations[name] = values[index] as string;
  }
  for (const pair of annotation(object, "sidecar-svc-annotations").split(",")) {
    const equals = pair.indexOf("=");
    const name = pair.slice(0, Math.max(0, equals)).trim();
    // What is ours stays ours.
    if (name !== "" && !Object.hasOwn(annotations, name)) annotations[name] = pair.slice(equals + 1).trim();
  }
  return annotations;
}

function annotation(object: KubeObject, name: string): string {
  const template = at(object, "spec", "template");
  return annotationOf({ metadata: objectOf(at(template, "metadata")) as KubeObject["metadata"] }, `dapr.io/${name}`) ?? "";
}

/** What is no number is as not given, as in Dapr. */
function number(object: KubeObject, name: string, byDefault: number): number {
  const text = annotation(object, name);
  return /^[+-]?\d{1,9}$/.test(text) ? Number(text) : byDefault;
}
