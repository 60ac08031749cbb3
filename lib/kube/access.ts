// How to reach the API server: the address, the TLS of it, and the headers of one request. Kubeconfig files and every way to
// log in with them (tokens, exec plugins, OIDC, proxies) are @kubernetes/client-node's; it is imported on first use, since it
// costs some 35 MB. A pod's own service account needs none of that: a token and a certificate in two files.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { Agent as HttpAgent } from "node:http";
import { Agent, type RequestOptions } from "node:https";
import { isIPv6 } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node/dist/config.js";

export interface KubeAccess {
  /** Without trailing slash. */
  readonly server: string;
  /** Of the kubeconfig's context or the service account; null: it names none. */
  readonly namespace: string | null;
  readonly agent: Agent | HttpAgent;
  /** Credentials in force, for one request. */
  headers(): Promise<Readonly<Record<string, string>>>;
  /** The server refused them: ask anew. */
  forgetHeaders(): void;
  close(): void;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";
/** How long credentials are used before they are asked for again; mounted tokens are renewed long before their end. */
const headersMaxAgeMs = 30_000;

/**
 * The kubeconfig at `path`; for null the one of KUBECONFIG, else the pod's service account, else ~/.kube/config. Rejects
 * with what is missing.
 */
export async function loadKubeConfig(path: string | null, env: Environment, folder = serviceAccountFolder): Promise<KubeAccess> {
  const file = path || env["KUBECONFIG"] || "";
  if (file === "" && env["KUBERNETES_SERVICE_HOST"])
    return inCluster(env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"] ?? "443", folder);
  const { KubeConfig } = await import("@kubernetes/client-node/dist/config.js");
  const config = new KubeConfig();
  loadFile(config, file || join(homedir(), ".kube", "config"));
  return accessOf(config, file);
}

async function inCluster(host: string, port: string, folder: string): Promise<KubeAccess> {
  const read = async (name: string): Promise<string> => (await readFile(join(folder, name), "utf8")).trim();
  const missing = (error: unknown): never => {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(`the pod has no usable service account (${cause}); do not switch automountServiceAccountToken off`, { cause: error });
  };
  const ca = await read("ca.crt").catch(missing);
  const agent = ownAgent("https:", { ca });
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    namespace: await read("namespace").catch(() => null),
    agent,
    ...heldHeaders(async () => ({ authorization: `Bearer ${await read("token").catch(missing)}` })),
    close: () => agent.destroy(),
  };
}

function loadFile(config: KubeConfig, file: string): void {
  if (!existsSync(file)) {
    throw new Error(`there is no kubeconfig at ${file}; give --kubeconfig or KUBECONFIG, or run in a pod with a service account`);
  }
  try {
    config.loadFromFile(file);
  } catch (error) {
    throw new Error(`kubeconfig ${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

async function accessOf(config: KubeConfig, file: string): Promise<KubeAccess> {
  const cluster = config.getCurrentCluster();
  if (cluster === null || !cluster.server) {
    throw new Error(`kubeconfig${file === "" ? "" : ` ${file}`}: the current context names no cluster; set current-context to one`);
  }
  const first = await optionsOf(config);
  const agent = cluster.proxyUrl ? (first.agent as Agent) : ownAgent(cluster.server, first);
  return {
    server: cluster.server.replace(/\/+$/, ""),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? null,
    agent,
    ...heldHeaders(async () => headersOf(await optionsOf(config))),
    close: () => agent.destroy(),
  };
}

/** Asks anew when what it has is old, was refused, or could not be had. */
function heldHeaders(ask: () => Promise<Readonly<Record<string, string>>>): Pick<KubeAccess, "headers" | "forgetHeaders"> {
  let held: Promise<Readonly<Record<string, string>>> | null = null;
  let heldSince = 0;
  const forgetHeaders = (): void => {
    held = null;
  };
  return {
    headers() {
      if (held !== null && performance.now() - heldSince <= headersMaxAgeMs) return held;
      heldSince = performance.now();
      held = ask();
      held.catch(forgetHeaders);
      return held;
    },
    forgetHeaders,
  };
}

async function optionsOf(config: KubeConfig): Promise<RequestOptions> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  return options;
}

function headersOf(options: RequestOptions): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    // Mounted tokens end in a newline, sometimes.
    if (value !== undefined) headers[name.toLowerCase()] = String(value).trim();
  }
  if (options.auth) headers["authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`;
  return headers;
}

/** Ours keeps connections, which the library's does not. */
function ownAgent(server: string, { ca, cert, key, servername, rejectUnauthorized }: RequestOptions): Agent | HttpAgent {
  if (server.startsWith("http:")) return new HttpAgent({ keepAlive: true });
  return new Agent({
    keepAlive: true,
    minVersion: "TLSv1.2",
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
    ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
  });
}
