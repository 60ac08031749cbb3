// A real sidecar: `await using sidecar = await daprd({ resources: [component(…)] })` starts the launcher on reserved ports, waits for
// it, and kills it at the end of the test. OUTRIGGER_DAPRD runs another daprd under the same tests.
import { fileURLToPath } from "node:url";
import { type Resource, yaml } from "../build/resource.ts";
import type { App } from "./app.ts";
import { Folder } from "./folder.ts";
import { reservePorts } from "./ports.ts";
import { Program } from "./program.ts";

/** The binary under test. */
export const daprdPath = process.env.OUTRIGGER_DAPRD || fileURLToPath(new URL("../../bin/daprd", import.meta.url));
/** True when the tests run against someone else's daprd: what only ours has is skipped. */
export const foreignDaprd = Boolean(process.env.OUTRIGGER_DAPRD);

export type FlagValue = string | number | boolean | readonly string[] | null;

export interface DaprdOptions {
  readonly appId?: string;
  /** One file each; text is written as it is. */
  readonly resources?: readonly (Resource | string)[];
  /** An existing folder of resources instead of (or besides) `resources`. */
  readonly resourcesPath?: string;
  readonly config?: Resource | string | readonly (Resource | string)[];
  /** By name without dashes; `true` is the bare flag, a list repeats it, null leaves a default of ours out. */
  readonly flags?: Readonly<Record<string, FlagValue>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The app beside it. A number is a port that somebody else listens on, or nobody yet. */
  readonly app?: App | number;
  /** What to wait for: the outbound API (default), the whole sidecar with its app, or nothing. */
  readonly ready?: "outbound" | "all" | "none";
  readonly cwd?: string;
  readonly binary?: string;
  readonly withinMs?: number;
}

const pollMs = 20;

export class Daprd implements AsyncDisposable {
  readonly appId: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly internalGrpcPort: number;
  readonly metricsPort: number;
  readonly program: Program;
  /** The resources it reads; write more into it to see hot reload. */
  readonly folder: Folder;

  private constructor(appId: string, ports: readonly number[], program: Program, folder: Folder) {
    this.appId = appId;
    [this.httpPort, this.grpcPort, this.internalGrpcPort, this.metricsPort] = ports as [number, number, number, number];
    this.program = program;
    this.folder = folder;
  }

  static async start(options: DaprdOptions): Promise<Daprd> {
    const folder = new Folder("daprd");
    const ports = await reservePorts(4);
    const appId = options.appId ?? `app-${ports[0]}`;
    const args = daprdArgs(options, appId, ports, folder);
    const env = { DAPR_HOST_IP: "127.0.0.1", ...options.env };
    const command = options.binary ?? daprdPath;
    const program = await Program.start({
      name: `daprd ${appId}`,
      command,
      args,
      env,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const daprd = new Daprd(appId, ports, program, folder);
    try {
      await daprd.#untilReady(options.ready ?? "outbound", options.withinMs ?? 30_000);
      return daprd;
    } catch (error) {
      await daprd[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Base address of the HTTP API, without trailing slash. */
  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`;
  }

  get grpcAddress(): string {
    return `127.0.0.1:${this.grpcPort}`;
  }

  get pid(): number {
    return this.program.pid;
  }

  get lines(): readonly string[] {
    return this.program.lines;
  }

  /** fetch() against the HTTP API: `sidecar.fetch("/v1.0/metadata")`. */
  fetch(path: string, init?: RequestInit): Promise<Response> {
    return fetch(`${this.url}${path}`, init);
  }

  /** Sends JSON with POST; answers the response. */
  post(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return this.fetch(path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  }

  /** Polls `check` until it answers true. */
  async eventually(what: string, check: () => Promise<boolean> | boolean, withinMs = 20_000): Promise<void> {
    const until = performance.now() + withinMs;
    while (!(await check())) {
      if (this.program.exit !== null) throw this.program.failure(`the sidecar ended before ${what}`);
      if (performance.now() > until) throw this.program.failure(`${what} did not happen within ${withinMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }

  async #untilReady(ready: "outbound" | "all" | "none", withinMs: number): Promise<void> {
    if (ready === "none") return;
    const path = ready === "all" ? "/v1.0/healthz" : "/v1.0/healthz/outbound";
    await this.eventually(`${path} answered 204`, () => this.#answers204(path), withinMs);
  }

  async #answers204(path: string): Promise<boolean> {
    const response = await this.fetch(path, { signal: AbortSignal.timeout(1000) }).catch(() => null);
    await response?.arrayBuffer().catch(() => null);
    return response?.status === 204;
  }
}

function daprdArgs(options: DaprdOptions, appId: string, ports: readonly number[], folder: Folder): string[] {
  const [http, grpc, internalGrpc, metrics] = ports;
  const flags: Record<string, FlagValue> = {
    "app-id": appId,
    "dapr-http-port": http as number,
    "dapr-grpc-port": grpc as number,
    "dapr-internal-grpc-port": internalGrpc as number,
    "metrics-port": metrics as number,
    "dapr-listen-addresses": "127.0.0.1",
    "log-level": "debug",
  };
  if (options.app !== undefined) flags["app-port"] = typeof options.app === "number" ? options.app : options.app.port;
  const resources = options.resources ?? [];
  for (const [index, resource] of resources.entries()) folder.write(`resources/${String(index).padStart(2, "0")}.yaml`, yaml(resource));
  const paths = [
    ...(resources.length > 0 ? [folder.file("resources")] : []),
    ...(options.resourcesPath === undefined ? [] : [options.resourcesPath]),
  ];
  if (paths.length > 0) flags["resources-path"] = paths;
  const configs = options.config === undefined ? [] : Array.isArray(options.config) ? options.config : [options.config];
  if (configs.length > 0)
    flags.config = configs.map((config: Resource | string, index) => folder.write(`config-${index}.yaml`, yaml(config)));
  return Object.entries({ ...flags, ...options.flags }).flatMap(([name, value]) => flagWords(name, value));
}

function flagWords(name: string, value: FlagValue): string[] {
  if (value === null) return [];
  if (value === true) return [`--${name}`];
  const values = typeof value === "object" ? value : [String(value)];
  return values.map((item) => `--${name}=${item}`);
}

/** Starts a sidecar and waits until its outbound API is up. */
export function daprd(options: DaprdOptions = {}): Promise<Daprd> {
  return Daprd.start(options);
}
