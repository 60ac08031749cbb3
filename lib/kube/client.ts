// The calls of the Kubernetes API that a control plane makes, on objects as JSON. Every call takes the signal that ends it,
// rejects with KubeError, and is made once: who calls decides what to retry.
import { type Environment, type KubeAccess, loadKubeConfig } from "./access.ts";
import { isStatus, KubeError } from "./error.ts";
import { at, type Json, type KubeList, type KubeObject, kubeObject, objectOf, textOf } from "./object.ts";
import { apiVersionOf, type KubeResource, pathOf } from "./resource.ts";
import { exchange, type KubeRequest, lines } from "./transport.ts";

export interface Selection {
  /** Null: all namespaces. */
  readonly namespace?: string | null;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Objects without spec and status, which a server may send all the same. */
  readonly metadataOnly?: boolean;
}

export interface ListOptions extends Selection {
  /** Objects per page, with `continueFrom` of the page before; 0: all in one. */
  readonly limit?: number;
  readonly continueFrom?: string;
  /** "0" takes what the server has in memory, which may be old. */
  readonly resourceVersion?: string;
}

export interface WatchOptions extends Selection {
  readonly resourceVersion: string;
}

export type WatchEvent =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: KubeObject }
  /** Nothing changed up to this version. */
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string };

export interface ApplyOptions {
  readonly fieldManager: string;
  /** Takes fields that other managers own. */
  readonly force?: boolean;
}

export interface DeleteOptions {
  /** Deletes only this very object. Otherwise rejects with status 409. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly propagation?: "Background" | "Foreground" | "Orphan";
}

export type PatchKind = "json" | "merge" | "strategic";

/** `namespace` is null for resources of the cluster. */
export interface KubeClient {
  readonly server: string;
  /** Of the kubeconfig's context or the service account. */
  readonly namespace: string | null;
  /** Null: there is none. */
  get(resource: KubeResource, namespace: string | null, name: string, signal: AbortSignal): Promise<KubeObject | null>;
  list(resource: KubeResource, options: ListOptions, signal: AbortSignal): Promise<KubeList>;
  create(resource: KubeResource, namespace: string | null, object: Json, signal: AbortSignal): Promise<KubeObject>;
  /** With metadata.resourceVersion in the object it rejects with status 409 when the object was changed since. */
  update(resource: KubeResource, namespace: string | null, name: string, object: Json, signal: AbortSignal): Promise<KubeObject>;
  patch(
    resource: KubeResource,
    namespace: string | null,
    name: string,
    kind: PatchKind,
    body: unknown,
    signal: AbortSignal,
  ): Promise<KubeObject>;
  /** Server-side apply: creates the object, or owns the given fields of it. */
  apply(
    resource: KubeResource,
    namespace: string | null,
    name: string,
    object: Json,
    options: ApplyOptions,
    signal: AbortSignal,
  ): Promise<KubeObject>;
  /** False: there was none. */
  delete(resource: KubeResource, namespace: string | null, name: string, options: DeleteOptions, signal: AbortSignal): Promise<boolean>;
  /**
   * Changes since `resourceVersion`, until the server ends the watch (which it does every few minutes). Throws KubeError of
   * status 410 when that version is too old: list again.
   */
  watch(resource: KubeResource, options: WatchOptions, signal: AbortSignal): AsyncIterable<WatchEvent>;
  /** Any other path, e.g. `/version`. */
  request(request: KubeRequest, signal: AbortSignal): Promise<Json>;
  close(): void;
}

/** `path` of a kubeconfig; null: KUBECONFIG, the pod's service account or ~/.kube/config. */
export async function openKubeClient(path: string | null, env: Environment): Promise<KubeClient> {
  return createKubeClient(await loadKubeConfig(path, env));
}

const patchTypes: Readonly<Record<PatchKind, string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
};

/** The server ends a watch after so long; a little later we do, should it be gone without a word. */
const watchSeconds = 290;
const watchSilenceMs = (watchSeconds + 30) * 1000;

export function createKubeClient(access: KubeAccess): KubeClient {
  const send = async (request: KubeRequest, signal: AbortSignal): Promise<KubeObject> =>
    kubeObject(await exchange(access, request, signal));
  return {
    server: access.server,
    namespace: access.namespace,
    close: () => access.close(),
    request: async (request, signal) => objectOf(await exchange(access, request, signal)),
    get: (resource, namespace, name, signal) =>
      send({ method: "GET", path: pathOf(resource, namespace, name) }, signal).catch((error: unknown) => {
        if (isStatus(error, 404)) return null;
        throw error;
      }),
    async list(resource, options, signal) {
      const path = `${pathOf(resource, options.namespace ?? null, null)}${query(listParameters(options))}`;
      const accept = options.metadataOnly ? metadataAccept("PartialObjectMetadataList") : "application/json";
      return listOf(await exchange(access, { method: "GET", path, accept }, signal), resource);
    },
    create: (resource, namespace, object, signal) =>
      send({ method: "POST", path: pathOf(resource, namespace, null), body: typed(resource, object) }, signal),
    update: (resource, namespace, name, object, signal) =>
      send({ method: "PUT", path: pathOf(resource, namespace, name), body: typed(resource, object) }, signal),
    patch: (resource, namespace, name, kind, body, signal) =>
      send({ method: "PATCH", path: pathOf(resource, namespace, name), body, contentType: patchTypes[kind] }, signal),
    apply(resource, namespace, name, object, { fieldManager, force = false }, signal) {
      const path = `${pathOf(resource, namespace, name)}${query({ fieldManager, force: force ? "true" : "" })}`;
      // JSON is YAML.
      return send({ method: "PATCH", path, body: typed(resource, object), contentType: "application/apply-patch+yaml" }, signal);
    },
    async delete(resource, namespace, name, options, signal) {
      try {
        await exchange(access, { method: "DELETE", path: pathOf(resource, namespace, name), body: deleteBody(options) }, signal);
        return true;
      } catch (error) {
        if (isStatus(error, 404)) return false;
        throw error;
      }
    },
    watch: (resource, options, signal) => watch(access, resource, options, signal),
  };
}

function typed(resource: KubeResource, object: Json): Json {
  return { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind };
}

function metadataAccept(kind: string): string {
  return `application/json;as=${kind};g=meta.k8s.io;v=v1,application/json`;
}

function deleteBody({ uid, resourceVersion, propagation }: DeleteOptions): Json {
  return {
    apiVersion: "v1",
    kind: "DeleteOptions",
    ...(uid === undefined && resourceVersion === undefined ? {} : { preconditions: { uid, resourceVersion } }),
    ...(propagation === undefined ? {} : { propagationPolicy: propagation }),
  };
}

function listParameters({ labelSelector = "", fieldSelector = "", limit = 0, continueFrom = "", resourceVersion = "" }: ListOptions) {
  // A page that continues another is of that one's version and must name none.
  return { labelSelector, fieldSelector, limit: limit || "", continue: continueFrom, resourceVersion: continueFrom ? "" : resourceVersion };
}

function query(parameters: Readonly<Record<string, string | number>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== "") search.set(name, String(value));
  return search.size === 0 ? "" : `?${search}`;
}

function listOf(answer: unknown, resource: KubeResource): KubeList {
  const metadata = objectOf(at(answer, "metadata"));
  const items = at(answer, "items");
  if (items !== null && !Array.isArray(items)) throw new KubeError(0, `the Kubernetes API answered no list of ${resource.plural}`);
  return {
    items: (items ?? []).map(kubeObject),
    resourceVersion: textOf(metadata["resourceVersion"]),
    continueFrom: textOf(metadata["continue"]),
  };
}

async function* watch(
  access: KubeAccess,
  resource: KubeResource,
  { namespace = null, labelSelector = "", fieldSelector = "", metadataOnly = false, resourceVersion }: WatchOptions,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  const parameters = {
    watch: "true",
    allowWatchBookmarks: "true",
    timeoutSeconds: watchSeconds,
    resourceVersion,
    labelSelector,
    fieldSelector,
  };
  const path = `${pathOf(resource, namespace, null)}${query(parameters)}`;
  const accept = metadataOnly ? metadataAccept("PartialObjectMetadata") : "application/json";
  for await (const line of lines(access, { method: "GET", path, accept }, watchSilenceMs, signal)) {
    const event = readEvent(line, resource);
    if (event !== null) yield event;
  }
}

/** Null: an empty or cut line, or a type of event that we do not know. Throws KubeError for an event that is an error. */
function readEvent(line: string, resource: KubeResource): WatchEvent | null {
  const event = parse(line);
  const object = kubeObject(event["object"]);
  switch (event["type"]) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type: event["type"], object };
    case "BOOKMARK":
      return { type: "BOOKMARK", resourceVersion: textOf(object.metadata.resourceVersion) };
    case "ERROR":
      throw new KubeError(
        Number(object["code"]) || 500,
        `watching ${resource.plural}: ${textOf(object["message"]) || "the server ended the watch"}`,
        { reason: textOf(object["reason"]) },
      );
    default:
      return null;
  }
}

function parse(line: string): Json {
  try {
    return objectOf(JSON.parse(line));
  } catch {
    return {};
  }
}
