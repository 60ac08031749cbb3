// A Kubernetes API server in memory, for tests: objects of any kind with versions, conflicts and watches, over real HTTP,
// and faults on demand. It knows nothing of schemas, defaults or who may do what; those tests need a real one.
import { Agent, createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { KubeAccess } from "./access.ts";
import { createKubeClient, type KubeClient } from "./client.ts";
import { at, type Json, type KubeObject, kubeObject, textOf } from "./object.ts";
import { applyJsonPatch, type JsonPatchOperation, mergePatch } from "./patch.ts";
import { apiVersionOf, type KubeResource } from "./resource.ts";

interface Stored {
  readonly collection: string;
  readonly object: KubeObject;
}

interface Change extends Stored {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
}

interface Watcher {
  readonly collection: string;
  readonly namespace: string | null;
  readonly response: ServerResponse;
}

interface Fault {
  readonly method: string;
  readonly path: RegExp;
  readonly status: number;
  left: number;
}

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
}

interface Place {
  /** Group, version and plural. */
  readonly collection: string;
  readonly namespace: string | null;
  readonly name: string | null;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export class FakeKubeApi implements AsyncDisposable {
  readonly #objects = new Map<string, Stored>();
  readonly #watchers = new Set<Watcher>();
  readonly #faults: Fault[] = [];
  readonly #server: Server = createServer((request, response) => void this.#answer(request, response));
  #changes: Change[] = [];
  #version = 0;
  #oldest = 0;
  /** Every request so far. */
  readonly requests: FakeRequest[] = [];

  static async start(): Promise<FakeKubeApi> {
    const api = new FakeKubeApi();
    await new Promise<void>((resolve) => api.#server.listen(0, "127.0.0.1", resolve));
    return api;
  }

  get server(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  client(): KubeClient {
    return clientOf(this.server);
  }

  /** Creates or replaces an object as if somebody else did; answers it with its version. */
  put(resource: KubeResource, object: Json): KubeObject {
    const given = kubeObject(object);
    const { namespace = resource.namespaced ? "default" : "", name = "" } = given.metadata;
    const typed = { apiVersion: apiVersionOf(resource), kind: resource.kind, ...given };
    return this.#store(collectionOf(resource), { ...typed, metadata: { ...given.metadata, name, ...(namespace ? { namespace } : {}) } });
  }

  remove(resource: KubeResource, namespace: string, name: string): void {
    this.#delete(keyIn(collectionOf(resource), namespace, name));
  }

  find(resource: KubeResource, namespace: string, name: string): KubeObject | null {
    return this.#objects.get(keyIn(collectionOf(resource), namespace, name))?.object ?? null;
  }

  /** The next `times` requests of the method (`WATCH` is one) on a path are answered with the status. */
  fail(method: string, path: RegExp, status: number, times = 1): void {
    this.#faults.push({ method, path, status, left: times });
  }

  /** Forgets the past: a watch from before gets 410. */
  compact(): void {
    this.#changes = [];
    this.#oldest = this.#version;
  }

  /** Ends all watches as a restarting server does. */
  dropWatches(): void {
    for (const { response } of this.#watchers) response.destroy();
  }

  /** Ends all watches as a server does whose time for them is over. */
  endWatches(): void {
    for (const watcher of this.#watchers) {
      this.#watchers.delete(watcher);
      watcher.response.end();
    }
  }

  get watches(): number {
    return this.#watchers.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #store(collection: string, object: KubeObject): KubeObject {
    const { namespace = "", name = "" } = object.metadata;
    const key = keyIn(collection, namespace, name);
    const before = this.#objects.get(key)?.object;
    const version = ++this.#version;
    const uid = before?.metadata.uid ?? `uid-${version}`;
    const creationTimestamp = before?.metadata.creationTimestamp ?? "2026-01-01T00:00:00Z";
    const stored = { ...object, metadata: { ...object.metadata, uid, creationTimestamp, resourceVersion: String(version) } };
    this.#objects.set(key, { collection, object: stored });
    this.#tell({ collection, object: stored, version, type: before === undefined ? "ADDED" : "MODIFIED" });
    return stored;
  }

  #delete(key: string): boolean {
    const stored = this.#objects.get(key);
    if (stored === undefined) return false;
    this.#objects.delete(key);
    const version = ++this.#version;
    const metadata = { ...stored.object.metadata, resourceVersion: String(version) };
    this.#tell({ collection: stored.collection, object: { ...stored.object, metadata }, version, type: "DELETED" });
    return true;
  }

  #tell(change: Change): void {
    this.#changes.push(change);
    for (const watcher of this.#watchers) if (concerns(watcher, change)) watcher.response.write(eventLine(change));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "http://fake");
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    const body: unknown = text === "" ? undefined : JSON.parse(text);
    const isWatch = url.searchParams.get("watch") === "true";
    const method = isWatch ? "WATCH" : (request.method ?? "");
    this.requests.push({ method, path: url.pathname, query: url.searchParams, body });
    const fault = this.#faults.find((one) => one.left > 0 && one.method === method && one.path.test(url.pathname));
    if (fault !== undefined) fault.left--;
    const place = placeOf(url.pathname);
    const since = Number(url.searchParams.get("resourceVersion") ?? 0);
    if (fault !== undefined) write(response, refusal(fault.status, "injected"));
    else if (place === null) write(response, refusal(404, "no such path"));
    else if (!isWatch) write(response, this.#serve(method, place, body, request.headers["content-type"] ?? ""));
    else if (since < this.#oldest) write(response, refusal(410, "too old resource version"));
    else this.#watch(place, since, response);
  }

  #watch({ collection, namespace }: Place, since: number, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const watcher = { collection, namespace, response };
    for (const change of this.#changes) if (change.version > since && concerns(watcher, change)) response.write(eventLine(change));
    this.#watchers.add(watcher);
    response.on("close", () => this.#watchers.delete(watcher));
  }

  #serve(method: string, place: Place, body: unknown, contentType: string): Answer {
    const { collection, namespace, name } = place;
    if (method === "GET" && name === null) return { status: 200, body: this.#list(place) };
    const target = name ?? textOf(at(body, "metadata", "name"));
    const key = keyIn(collection, namespace ?? "", target);
    const before = this.#objects.get(key)?.object ?? null;
    const store = (object: KubeObject): KubeObject => {
      const metadata = { ...object.metadata, name: target, ...(namespace === null ? {} : { namespace }) };
      const placed = { ...object, metadata };
      return before !== null && sameContent(before, placed) ? before : this.#store(collection, placed);
    };
    if (method === "POST") {
      return before === null ? { status: 201, body: store(kubeObject(body)) } : refusal(409, "already exists", "AlreadyExists");
    }
    if (before === null && !contentType.includes("apply")) return refusal(404, "not found");
    if (method === "GET") return { status: 200, body: before };
    if (isStale(method, body, before)) return refusal(409, "changed since", "Conflict");
    if (method === "DELETE") return { status: 200, body: { kind: "Status", deleted: this.#delete(key) } };
    if (method === "PUT") return { status: 200, body: store(kubeObject(body)) };
    const isJsonPatch = contentType.includes("json-patch");
    const next = isJsonPatch ? applyJsonPatch(before, body as readonly JsonPatchOperation[]) : mergePatch(before ?? {}, body);
    return { status: 200, body: store(kubeObject(next)) };
  }

  #list({ collection, namespace }: Place): Json {
    const items = [...this.#objects.values()]
      .filter((stored) => stored.collection === collection && (namespace === null || stored.object.metadata.namespace === namespace))
      .map(({ object }) => object);
    return { kind: "List", metadata: { resourceVersion: String(this.#version) }, items };
  }
}

/** Without credentials. */
export function clientOf(server: string): KubeClient {
  const agent = new Agent({ keepAlive: true });
  const access: KubeAccess = {
    server,
    namespace: null,
    agent,
    headers: async () => ({}),
    forgetHeaders() {},
    close: () => agent.destroy(),
  };
  return createKubeClient(access);
}

function collectionOf(resource: KubeResource): string {
  return `${apiVersionOf(resource)}/${resource.plural}`;
}

function keyIn(collection: string, namespace: string, name: string): string {
  return `${collection} ${namespace}/${name}`;
}

/** Null: no path of objects. */
function placeOf(path: string): Place | null {
  const match = /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+)(?=\/))?\/([^/]+)(?:\/([^/]+))?$/.exec(path);
  if (match === null) return null;
  const [, group, version, namespace, plural, name] = match;
  return { collection: `${group === undefined ? "" : `${group}/`}${version}/${plural}`, namespace: namespace ?? null, name: name ?? null };
}

function concerns({ collection, namespace }: Pick<Watcher, "collection" | "namespace">, change: Change): boolean {
  return change.collection === collection && (namespace === null || namespace === change.object.metadata.namespace);
}

function eventLine({ type, object }: Change): string {
  return `${JSON.stringify({ type, object })}\n`;
}

function sameContent(one: KubeObject, other: KubeObject): boolean {
  const content = (object: KubeObject) => JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: "" } });
  return content(one) === content(other);
}

/** Whether a write names another version, or a deletion another object, than what stands. */
function isStale(method: string, body: unknown, before: KubeObject | null): boolean {
  const version = textOf(at(body, "metadata", "resourceVersion")) || textOf(at(body, "preconditions", "resourceVersion"));
  const uid = method === "DELETE" ? textOf(at(body, "preconditions", "uid")) : "";
  return (version !== "" && version !== before?.metadata.resourceVersion) || (uid !== "" && uid !== before?.metadata.uid);
}

function refusal(code: number, message: string, reason = ""): Answer {
  return { status: code, body: { kind: "Status", status: "Failure", code, message, reason } };
}

function write(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
