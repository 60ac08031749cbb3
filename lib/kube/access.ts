// How to reach the API server: the address, the TLS of it, and the headers of one request. Kubeconfig files, service
// accounts and every way to log in (tokens, exec plugins, OIDC, proxies) are @kubernetes/client-node's; it is imported on
// first use, since it costs some 30 MB that a sidecar without Kubernetes has no use for.
import { existsSync } from "node:fs";
import { Agent as HttpAgent } from "node:http";
import { Agent, type RequestOptions } from "node:https";
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

/** How long credentials are used before they are asked for again; mounted tokens are renewed long before their end. */
const headersMaxAgeMs = 30_000;

/**
 * The kubeconfig at `path`; for null the one of KUBECONFIG, else the pod's service account, else ~/.kube/config. Rejects
 * with what is missing.
 */
export async function loadKubeConfig(path: string | null, env: Environment): Promise<KubeAccess> {
  const { KubeConfig } = await import("@kubernetes/client-node/dist/config.js");
  const config = new KubeConfig();
  const file = path || env["KUBECONFIG"] || "";
  if (file !== "") loadFile(config, file);
  else if (env["KUBERNETES_SERVICE_HOST"]) config.loadFromCluster();
  else loadFile(config, join(homedir(), ".kube", "config"));
  return accessOf(config, file);
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
  let held: Promise<Readonly<Record<string, string>>> | null = Promise.resolve(headersOf(first));
  let heldSince = Date.now();
  const ask = (): Promise<Readonly<Record<string, string>>> => {
    heldSince = Date.now();
    const asked = optionsOf(config).then(headersOf);
    asked.catch(() => {
      held = null;
    });
    return asked;
  };
  return {
    server: cluster.server.replace(/\/+$/, ""),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? null,
    agent,
    headers() {
      if (held === null || Date.now() - heldSince > headersMaxAgeMs) held = ask();
      return held;
    },
    forgetHeaders() {
      held = null;
    },
    close: () => agent.destroy(),
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
