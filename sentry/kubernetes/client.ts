// The Kubernetes API over node:https, just the five calls that sentry makes. Paths are built from checked names only, and
// answers are bounded and read field by field.
import { Agent, request } from "node:https";
import { ApiError, type KeyedData, type KubernetesApi, type Pod, type TokenReview } from "./api.ts";
import type { ClusterAccess } from "./kubeconfig.ts";

const requestTimeoutMs = 15_000;
const answerMaxBytes = 16 * 1024 * 1024;
/** Names of objects and namespaces (RFC 1123 subdomains); anything else never becomes part of a path. */
const objectName = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

export interface KubernetesClient extends KubernetesApi {
  close(): void;
}

type Json = Readonly<Record<string, unknown>>;
type Send = (method: string, path: string, body: Json | null, signal: AbortSignal) => Promise<Json | null>;

export function createKubernetesClient(access: ClusterAccess): KubernetesClient {
  const agent = new Agent({
    keepAlive: true,
    minVersion: "TLSv1.2",
    ...(access.ca === null ? {} : { ca: access.ca }),
    ...(access.clientCertificate === null ? {} : { cert: access.clientCertificate }),
    ...(access.clientKey === null ? {} : { key: access.clientKey }),
    ...(access.serverName === null ? {} : { servername: access.serverName }),
  });
  const send: Send = async (method, path, body, signal) => exchange(access, agent, method, path, body, signal);
  return {
    close: () => agent.destroy(),
    reviewToken: (token, audiences, signal) => reviewToken(send, token, audiences, signal),
    pod: (namespace, name, signal) => findPod(send, namespace, name, signal),
    configuration: (namespace, name, signal) =>
      send("GET", `/apis/dapr.io/v1alpha1/namespaces/${checked(namespace)}/configurations/${checked(name)}`, null, signal),
    async keyed(kind, namespace, name, signal) {
      const object = await send("GET", keyedPath(kind, namespace, name), null, signal);
      return object === null ? null : readKeyed(kind, object);
    },
    async patchKeyed(kind, namespace, name, values, resourceVersion, signal) {
      const encoded = Object.entries(values).map(([key, value]) => [key, kind === "secrets" ? base64(value) : value]);
      const metadata = resourceVersion === null ? {} : { metadata: { resourceVersion } };
      const body = { ...metadata, data: Object.fromEntries(encoded) };
      const object = await send("PATCH", keyedPath(kind, namespace, name), body, signal);
      if (object === null) throw new ApiError(404, `there is no ${kind} ${namespace}/${name}; create it (the chart does)`);
      return readKeyed(kind, object).resourceVersion;
    },
  };
}

function checked(name: string): string {
  if (!objectName.test(name)) throw new ApiError(0, `${JSON.stringify(name.slice(0, 64))} is no name of a Kubernetes object`);
  return name;
}

function keyedPath(kind: string, namespace: string, name: string): string {
  return `/api/v1/namespaces/${checked(namespace)}/${kind}/${checked(name)}`;
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

async function reviewToken(send: Send, token: string, audiences: readonly string[], signal: AbortSignal): Promise<TokenReview> {
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences } };
  const answer = await send("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body, signal);
  const status = object(answer?.["status"]);
  const granted = status["audiences"];
  return {
    authenticated: status["authenticated"] === true,
    audiences: Array.isArray(granted) ? granted.filter((audience) => typeof audience === "string") : null,
    username: text(object(status["user"])["username"]),
    error: text(status["error"]),
  };
}

/** By name; else from a list of pods of that name, which is all that some roles allow. */
async function findPod(send: Send, namespace: string, name: string, signal: AbortSignal): Promise<Pod | null> {
  const one = await send("GET", `/api/v1/namespaces/${checked(namespace)}/pods/${checked(name)}`, null, signal).catch(forbiddenAsNull);
  if (one !== null) return readPod(one);
  const selector = encodeURIComponent(`metadata.namespace=${namespace},metadata.name=${name}`);
  const list = await send("GET", `/api/v1/pods?fieldSelector=${selector}`, null, signal);
  const items = list?.["items"];
  const pods = Array.isArray(items) ? items.map((item) => readPod(object(item))) : [];
  return pods.find((pod) => pod.namespace === namespace && pod.name === name) ?? null;
}

function forbiddenAsNull(error: unknown): null {
  if (error instanceof ApiError && error.status === 403) return null;
  throw error;
}

function readPod(pod: Json): Pod {
  const metadata = object(pod["metadata"]);
  const annotations = Object.entries(object(metadata["annotations"])).map(([key, value]) => [key, text(value)] as const);
  return {
    namespace: text(metadata["namespace"]),
    name: text(metadata["name"]),
    uid: text(metadata["uid"]),
    serviceAccount: text(object(pod["spec"])["serviceAccountName"]),
    annotations: new Map(annotations),
  };
}

function readKeyed(kind: string, value: Json): KeyedData {
  const entries = Object.entries(object(value["data"])).map(([key, raw]) => {
    return [key, kind === "secrets" ? Buffer.from(text(raw), "base64").toString("utf8") : text(raw)] as const;
  });
  return { data: new Map(entries), resourceVersion: text(object(value["metadata"])["resourceVersion"]) };
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The object that is answered; null for 404. Rejects with ApiError for any other status than 2xx. */
async function exchange(
  access: ClusterAccess,
  agent: Agent,
  method: string,
  path: string,
  body: Json | null,
  signal: AbortSignal,
): Promise<Json | null> {
  const payload = body === null ? null : Buffer.from(JSON.stringify(body));
  const contentType = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  const headers = {
    accept: "application/json",
    ...(access.token === null ? {} : { authorization: `Bearer ${await access.token()}` }),
    ...(payload === null ? {} : { "content-type": contentType, "content-length": payload.length }),
  };
  const until = AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]);
  const { status, bytes } = await new Promise<{ status: number; bytes: Buffer }>((resolve, reject) => {
    const sent = request(`${access.server}${path}`, { method, agent, headers, signal: until }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > answerMaxBytes) response.destroy(new Error(`the answer has more than ${answerMaxBytes} bytes`));
        else chunks.push(chunk);
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, bytes: Buffer.concat(chunks) }));
    });
    sent.on("error", (error) => reject(new ApiError(0, `the Kubernetes API cannot be reached: ${error.message}`)));
    sent.end(payload ?? undefined);
  });
  if (status === 404) return null;
  const answer = parse(bytes);
  if (status < 200 || status > 299) throw new ApiError(status, `the Kubernetes API answered ${status}: ${text(answer["message"])}`);
  return answer;
}

function parse(bytes: Buffer): Json {
  try {
    return object(JSON.parse(bytes.toString("utf8")));
  } catch {
    return {};
  }
}
