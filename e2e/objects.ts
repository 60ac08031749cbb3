// Objects of the suites in the cluster: applied, looked at, waited for, and asked through the API server's proxy.
import { KubeError } from "../lib/kube/error.ts";
import { arrayOf, at, type Json, type KubeObject, textOf } from "../lib/kube/object.ts";
import { daprResources, type KubeResource, kubeResources } from "../lib/kube/resource.ts";
import { type Cluster, until } from "./cluster.ts";

export const jobs: KubeResource = { group: "batch", version: "v1", plural: "jobs", kind: "Job", namespaced: true };

const resources: readonly KubeResource[] = [...Object.values(kubeResources), ...Object.values(daprResources), jobs];
const fieldManager = "outrigger-e2e";

export async function apply({ client, signal }: Cluster, objects: readonly Json[]): Promise<void> {
  for (const object of objects) {
    const resource = resources.find(({ kind }) => kind === object["kind"]);
    if (resource === undefined) throw new Error(`no resource of kind ${object["kind"]}`);
    const [space, name] = [textOf(at(object, "metadata", "namespace")), textOf(at(object, "metadata", "name"))];
    await client.apply(resource, resource.namespaced ? space : null, name, object, { fieldManager, force: true }, signal);
  }
}

/** Of the label `app`, those that end left out. */
export async function podsOf({ client, signal }: Cluster, space: string, app: string): Promise<readonly KubeObject[]> {
  const { items } = await client.list(kubeResources.pods, { namespace: space, labelSelector: `app=${app}` }, signal);
  return items.filter(({ metadata }) => !metadata.deletionTimestamp);
}

export function isReady(pod: KubeObject): boolean {
  return arrayOf(at(pod, "status", "conditions")).some(
    (condition) => at(condition, "type") === "Ready" && at(condition, "status") === "True",
  );
}

/** One ready pod of the app. */
export function readyPod(cluster: Cluster, space: string, app: string, withinMs = 60_000): Promise<KubeObject> {
  return until(`a ready pod of ${app}`, withinMs, async () => (await podsOf(cluster, space, app)).find(isReady) ?? null);
}

export function containerNames(pod: KubeObject, field: "containers" | "initContainers"): readonly string[] {
  return arrayOf(at(pod, "spec", field)).map((container) => textOf(at(container, "name")));
}

/** GET of an app's path; the JSON that it answers. */
export async function get({ client, signal }: Cluster, space: string, app: string, path: string): Promise<Json> {
  return client.request({ method: "GET", path: `/api/v1/namespaces/${space}/services/${app}:80/proxy${path}` }, signal);
}

/** What the app's sidecar answered it. */
export interface SidecarAnswer {
  readonly status: number;
  readonly body: string;
}

export async function viaSidecar(cluster: Cluster, space: string, app: string, path: string): Promise<SidecarAnswer> {
  const { status, body } = await get(cluster, space, app, path);
  return { status: Number(status), body: textOf(body) };
}

/** The reason why the API server refuses; null when it does not. */
export async function refusal(attempt: Promise<unknown>): Promise<string | null> {
  try {
    await attempt;
    return null;
  } catch (error) {
    if (error instanceof KubeError) return error.message;
    throw error;
  }
}
