// How to reach the API server: the service account of the pod, or a kubeconfig file with certificate or token. What needs a
// program to log in (exec plugins) is not for a control plane and refused by name.
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseYaml, type Value } from "../../lib/resources/yaml.ts";

export interface ClusterAccess {
  /** Without trailing slash. */
  readonly server: string;
  /** PEM; null: the system's roots. */
  readonly ca: string | null;
  /** Null: the host of `server`. */
  readonly serverName: string | null;
  readonly clientCertificate: string | null;
  readonly clientKey: string | null;
  /** Read for every request: mounted tokens are renewed. Null: none. */
  readonly token: (() => Promise<string>) | null;
}

export interface AccessHints {
  /** Path of a kubeconfig; empty: not given. */
  readonly kubeconfig: string;
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The given kubeconfig, else the pod's service account, else the user's kubeconfig. Rejects with what is missing. */
export async function clusterAccess({ kubeconfig, home, env }: AccessHints): Promise<ClusterAccess> {
  const given = kubeconfig || env["KUBECONFIG"] || "";
  const host = env["KUBERNETES_SERVICE_HOST"] ?? "";
  if (given === "" && host !== "") return inCluster(host, env["KUBERNETES_SERVICE_PORT"] ?? "443");
  return fromKubeconfig(given || resolve(home, ".kube/config"));
}

async function inCluster(host: string, port: string): Promise<ClusterAccess> {
  const ca = await readFile(`${serviceAccount}/ca.crt`, "utf8");
  const token = async (): Promise<string> => (await readFile(`${serviceAccount}/token`, "utf8")).trim();
  const server = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  return { server, ca, serverName: null, clientCertificate: null, clientKey: null, token };
}

async function fromKubeconfig(path: string): Promise<ClusterAccess> {
  const parsed = parseYaml(await readFile(path, "utf8"));
  if ("cause" in parsed) throw new Error(`kubeconfig ${path}: ${parsed.cause}`);
  const config = parsed.value;
  const context = text(member(config, "current-context"));
  const chosen = named(config, "contexts", context, "context");
  const cluster = named(config, "clusters", text(member(chosen, "cluster")), "cluster");
  const user = named(config, "users", text(member(chosen, "user")), "user");
  const server = text(member(cluster, "server"));
  if (!server.startsWith("https://")) throw new Error(`kubeconfig ${path}: the cluster has no https server; set current-context to one`);
  if (member(cluster, "insecure-skip-tls-verify") === true) {
    throw new Error(`kubeconfig ${path}: insecure-skip-tls-verify is not supported; give certificate-authority`);
  }
  for (const way of ["exec", "auth-provider"]) {
    if (member(user, way) !== null) throw new Error(`kubeconfig ${path}: ${way} is not supported; give a token or a client certificate`);
  }
  const part = (from: Value, name: string): Promise<string | null> => fileOrData(from, name, dirname(path));
  const token = text(member(user, "token"));
  const tokenFile = text(member(user, "tokenFile"));
  return {
    server: server.replace(/\/$/, ""),
    ca: await part(cluster, "certificate-authority"),
    serverName: text(member(cluster, "tls-server-name")) || null,
    clientCertificate: await part(user, "client-certificate"),
    clientKey: await part(user, "client-key"),
    token: token !== "" ? async () => token : tokenFile === "" ? null : () => readTrimmed(resolve(dirname(path), tokenFile)),
  };
}

async function readTrimmed(path: string): Promise<string> {
  return (await readFile(path, "utf8")).trim();
}

async function fileOrData(from: Value, name: string, directory: string): Promise<string | null> {
  const data = text(member(from, `${name}-data`));
  if (data !== "") return Buffer.from(data, "base64").toString("utf8");
  const file = text(member(from, name));
  return file === "" ? null : readFile(resolve(directory, file), "utf8");
}

function named(config: Value, list: string, name: string, what: string): Value {
  const items = member(config, list);
  const found = Array.isArray(items) ? items.find((item: Value) => text(member(item, "name")) === name) : undefined;
  return found === undefined ? null : member(found, what);
}

function member(value: Value, name: string): Value {
  return typeof value === "object" && value !== null && !Array.isArray(value) && name in value
    ? ((value as { readonly [key: string]: Value })[name] ?? null)
    : null;
}

function text(value: Value): string {
  return typeof value === "string" ? value : "";
}
