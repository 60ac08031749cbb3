// A real injector: `await using it = await injector({ sentry, server })` starts the launcher on reserved ports with an identity
// from a real sentry and a kubeconfig for an API server, waits until it is healthy, and kills it at the end of the test.
// OUTRIGGER_INJECTOR runs another injector under the same tests.
import { Agent, request } from "node:https";
import { fileURLToPath } from "node:url";
import { dump } from "js-yaml";
import { Folder } from "./folder.ts";
import { reservePorts } from "./ports.ts";
import { Program } from "./program.ts";
import type { Sentry } from "./sentry.ts";

/** The binary under test. */
export const injectorPath = process.env.OUTRIGGER_INJECTOR || fileURLToPath(new URL("../../bin/injector", import.meta.url));

export interface InjectorOptions {
  readonly sentry: Sentry;
  /** Path of a kubeconfig, or the address of an API server without authentication. */
  readonly kubeconfig: { readonly file: string } | { readonly server: string };
  readonly flags?: Readonly<Record<string, string | number | boolean>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly ready?: boolean;
}

export const controlPlaneNamespace = "dapr-system";
const pollMs = 20;

export class Injector implements AsyncDisposable {
  readonly port: number;
  readonly healthPort: number;
  readonly metricsPort: number;
  readonly folder: Folder;
  readonly #agent: Agent;
  program!: Program;

  private constructor(ports: readonly number[], sentry: Sentry) {
    [this.port, this.healthPort, this.metricsPort] = ports as [number, number, number];
    this.folder = new Folder("injector");
    // As the API server does: by the name of the Service, below the CA bundle.
    const servername = `dapr-sidecar-injector.${controlPlaneNamespace}.svc`;
    this.#agent = new Agent({ keepAlive: true, ca: sentry.anchors(), servername });
  }

  static async start(options: InjectorOptions): Promise<Injector> {
    const injector = new Injector(await reservePorts(3), options.sentry);
    try {
      await injector.#startProcess(options);
      return injector;
    } catch (error) {
      await injector[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #startProcess({ sentry, kubeconfig, flags = {}, env = {}, ready = true }: InjectorOptions): Promise<void> {
    const all = {
      port: this.port,
      "healthz-port": this.healthPort,
      "metrics-port": this.metricsPort,
      "listen-address": "127.0.0.1",
      "healthz-listen-address": "127.0.0.1",
      "metrics-listen-address": "127.0.0.1",
      kubeconfig: "file" in kubeconfig ? kubeconfig.file : this.folder.write("kubeconfig", kubeconfigOf(kubeconfig.server)),
      ...flags,
    };
    const variables = {
      NAMESPACE: controlPlaneNamespace,
      SIDECAR_IMAGE: "docker.io/local/outrigger:1",
      KUBE_CLUSTER_DOMAIN: "cluster.local",
      DAPR_TRUST_ANCHORS_FILE: `${sentry.credentials}/ca.crt`,
      DAPR_CONTROL_PLANE_TRUST_DOMAIN: "localhost",
      DAPR_SENTRY_ADDRESS: sentry.address,
      ...env,
    };
    const args = Object.entries(all).map(([name, value]) => `--${name}=${value}`);
    this.program = await Program.start({ name: "injector", command: injectorPath, args, env: variables });
    if (ready) await this.eventually("/healthz answers 200", async () => (await this.health()) === 200);
  }

  /** The status of /healthz; 0 while nothing answers. */
  async health(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.healthPort}/healthz`, { signal: AbortSignal.timeout(1000) }).catch(() => null);
    await response?.arrayBuffer().catch(() => null);
    return response?.status ?? 0;
  }

  metrics(): Promise<string> {
    return fetch(`http://127.0.0.1:${this.metricsPort}/`).then((response) => response.text());
  }

  /** Posts a review as the API server does. Rejects when the certificate is not what it should be. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON
  async review(body: unknown, path = "/mutate"): Promise<any> {
    const text = JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const options = { host: "127.0.0.1", port: this.port, path, method: "POST", agent: this.#agent, headers };
    const answer = await new Promise<string>((resolve, reject) => {
      const sent = request(options, async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
        resolve(Buffer.concat(chunks).toString());
      });
      sent.on("error", reject);
      sent.end(text);
    });
    return JSON.parse(answer);
  }

  async eventually(what: string, check: () => Promise<boolean> | boolean, withinMs = 20_000): Promise<void> {
    const until = performance.now() + withinMs;
    while (!(await check())) {
      if (this.program.exit !== null) throw this.program.failure(`injector ended before ${what}`);
      if (performance.now() > until) throw this.program.failure(`${what} did not happen within ${withinMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await this.program?.[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

function kubeconfigOf(server: string): string {
  return dump({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    clusters: [{ name: "test", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "test", user: {} }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
  });
}

/** Starts an injector and waits until it is healthy. */
export function injector(options: InjectorOptions): Promise<Injector> {
  return Injector.start(options);
}

/** A review of a new pod, made by an administrator. */
export function podReview(object: unknown, more: Readonly<Record<string, unknown>> = {}): unknown {
  const kind = { group: "", version: "v1", kind: "Pod" };
  const userInfo = { username: "admin", groups: ["system:masters"] };
  const request = { uid: "u1", kind, namespace: "shop", operation: "CREATE", userInfo, object, ...more };
  return { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request };
}
