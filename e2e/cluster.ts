// The cluster that the suites run on, and what they do to it: the one of KUBECONFIG, or one that the scripts of
// OUTRIGGER_CLUSTER start here and take away again (not with E2E_KEEP=1). E2E_CLI is another outrigger. Images: E2E_IMAGE and E2E_REDIS_IMAGE name them; on a cluster of the
// scripts they are made here and loaded.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { loadKubeConfig } from "../lib/kube/access.ts";
import { createKubeClient, type KubeClient } from "../lib/kube/client.ts";
import { clusterScripts, findTool } from "../test/harness/cluster-tools.ts";
import { buildImages, type Images } from "./images.ts";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "..");
export const chart = join(root, "charts/outrigger");

/** Null: there is a cluster to run on. */
export function whyNot(): string | null {
  if (findTool("helm") === null) return "there is no helm; put it on PATH or name it in HELM";
  if (process.env["KUBECONFIG"] && !process.env["E2E_IMAGE"] && !runsHere()) {
    return "KUBECONFIG names a cluster; push the image where it can pull it and name it in E2E_IMAGE";
  }
  if (!process.env["KUBECONFIG"] && clusterScripts() === null) return "there is no cluster; name one in KUBECONFIG";
  return null;
}

/** The kubeconfig is that of the scripts' own cluster, which takes images that are loaded into it. */
function runsHere(): boolean {
  const scripts = clusterScripts();
  return scripts !== null && (process.env["KUBECONFIG"] ?? scripts.kubeconfig) === scripts.kubeconfig;
}

export interface Outcome {
  readonly code: number;
  /** Both streams. */
  readonly output: string;
}

export class Cluster implements AsyncDisposable {
  readonly kubeconfig: string;
  readonly images: Images;
  readonly client: KubeClient;
  readonly signal: AbortSignal = new AbortController().signal;
  readonly #down: () => Promise<void>;

  private constructor(kubeconfig: string, images: Images, client: KubeClient, down: () => Promise<void>) {
    this.kubeconfig = kubeconfig;
    this.images = images;
    this.client = client;
    this.#down = down;
  }

  static async open(): Promise<Cluster> {
    const scripts = runsHere() ? clusterScripts() : null;
    const images = await buildImages(scripts);
    const kubeconfig = scripts?.kubeconfig ?? (process.env["KUBECONFIG"] as string);
    let down = async (): Promise<void> => {};
    if (scripts !== null) {
      // Another control plane may have the port that the scripts take by themselves.
      const env = { ...process.env, API_PORT: process.env["API_PORT"] ?? String(await freePort()) };
      const script = (name: string, ...args: readonly string[]) => run(join(scripts.folder, name), [...args], { cwd: scripts.folder, env });
      if (existsSync(kubeconfig)) await script("load.sh", ...images.archives);
      else {
        await script("up.sh", ...images.archives);
        down = async () => void (await script("down.sh"));
      }
    }
    const client = createKubeClient(await loadKubeConfig(kubeconfig, process.env));
    return new Cluster(kubeconfig, images, client, process.env["E2E_KEEP"] === "1" ? async () => {} : down);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.#down();
  }

  helm(...args: readonly string[]): Promise<Outcome> {
    return this.#program(findTool("helm") as string, args);
  }

  /** The CLI under test. */
  outrigger(...args: readonly string[]): Promise<Outcome> {
    return this.#program(process.env["E2E_CLI"] ?? join(root, "bin/outrigger"), args);
  }

  /** Values for the chart that name the image under test. */
  get imageValues(): readonly string[] {
    const { outrigger } = this.images;
    const [slash, colon] = [outrigger.lastIndexOf("/"), outrigger.lastIndexOf(":")];
    const name = outrigger.slice(slash + 1, colon);
    return [
      ...["--set", `global.registry=${outrigger.slice(0, slash)}`, "--set-string", `global.tag=${outrigger.slice(colon + 1)}`],
      ...["dapr_sentry.image", "dapr_operator.image", "dapr_sidecar_injector.image", "dapr_sidecar_injector.injectorImage"].flatMap(
        (at) => ["--set", `${at}.name=${name}`],
      ),
    ];
  }

  async #program(file: string, args: readonly string[]): Promise<Outcome> {
    const env = { ...process.env, KUBECONFIG: this.kubeconfig, HELM: findTool("helm") ?? "" };
    try {
      const { stdout, stderr } = await run(file, [...args], { env, maxBuffer: 16 * 1024 * 1024 });
      return { code: 0, output: stdout + stderr };
    } catch (error) {
      const { code, stdout = "", stderr = "" } = error as { code?: number; stdout?: string; stderr?: string };
      if (typeof code !== "number") throw error;
      return { code, output: stdout + stderr };
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const pollMs = 250;

/** Tries until `attempt` answers something other than null; rejects after `withinMs` with what it last threw or was told. */
export async function until<T>(what: string, withinMs: number, attempt: () => Promise<T | null>): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    let why: unknown = null;
    try {
      const result = await attempt();
      if (result !== null) return result;
    } catch (error) {
      why = error;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${withinMs} ms`, { cause: why });
    await delay(pollMs);
  }
}
