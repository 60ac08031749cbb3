// The subjects: processes that are measured, each on a core that nothing else of the bench uses. On a machine with two cores or more, load
// generator and app share the first core and the subject has the last one, so rps is what one core carries and
// neither starves the other; `cpuMicros` does not depend on it.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Child } from "../cli/process/child.ts";
import { Guard } from "../cli/process/guard.ts";
import { freePorts } from "../cli/process/ports.ts";
import { LineSplitter } from "../cli/run/logs.ts";
import { systemClock } from "../lib/kit/clock.ts";
import { nginxArgs } from "./nginx.ts";
import type { Ids } from "./works.ts";

export interface Subject {
  readonly name: string;
  /** Processes whose CPU and memory count. */
  readonly pids: readonly number[];
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly stop: () => Promise<void>;
}

export interface Pair {
  readonly near: Subject;
  readonly both: Subject;
}

/** The app beside a sidecar. */
export interface AppAddress {
  readonly port: number;
  readonly protocol: "http" | "grpc";
}

/** A sentry, as a subject and as what a sidecar must know of it. */
export interface Authority {
  readonly subject: Subject;
  readonly anchorsPem: string;
}

export interface SidecarOptions {
  readonly app: AppAddress | null;
  /** Null is plain text. */
  readonly authority: Authority | null;
}

const stopGraceMs = 5000;
const readyWithinMs = 30_000;
const readyPollMs = 5;

/** Everything that is started for the bench, and the folder of its files. */
export class Workshop {
  readonly folder: string;
  readonly #guard = new Guard();
  readonly #children: Child[] = [];
  readonly #deferred: (() => Promise<void>)[] = [];

  readonly #resources: string;
  readonly #config: string | null;

  /** `resolver` names a name resolution to use instead of the sidecar's default; null keeps mDNS. */
  constructor(folder: string, resolver: string | null) {
    this.folder = folder;
    this.#resources = join(folder, "resources");
    mkdirSync(this.#resources);
    writeFileSync(join(this.#resources, "components.yaml"), ["state.in-memory", "pubsub.in-memory"].map(component).join("---\n"));
    this.#config = resolver === null ? null : join(folder, "config.yaml");
    if (this.#config !== null) writeFileSync(this.#config, configuration(resolver as string, join(folder, "names.sqlite")));
  }

  /** Starts a program on a core: the load's (`near`) or the subject's (`far`). */
  async start(
    core: "near" | "far",
    command: string,
    args: readonly string[],
    extraEnv: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly child: Child; readonly log: string[] }> {
    const cores = availableParallelism();
    const pin = cores < 2 ? [command] : ["taskset", "-c", String(core === "near" ? 0 : cores - 1), command];
    const env = { ...process.env, DAPR_HOST_IP: "127.0.0.1", ...extraEnv };
    const [first, ...rest] = [...pin, ...args] as [string, ...string[]];
    const child = await Child.start({ command: first, args: rest, cwd: this.folder, env, inheritStdin: false }, this.#guard, systemClock);
    const log: string[] = [];
    for (const output of [child.stdout, child.stderr]) {
      const splitter = new LineSplitter((line) => {
        log.push(line);
        if (log.length > 40) log.shift();
      });
      output.on("data", (chunk: Buffer) => splitter.write(chunk));
    }
    this.#children.push(child);
    return { child, log };
  }

  async startApp(): Promise<AppAddress> {
    const [port] = (await freePorts(1)) as [number];
    await this.start("near", "nginx", nginxArgs(this.folder, "app", port, { kind: "app" }));
    await untilOk(`http://127.0.0.1:${port}/`, 200, []);
    return { port, protocol: "http" };
  }

  /** It speaks HTTP/2 alone, so the sidecar that waits for it is what sees it ready. */
  async startGrpcApp(name: string): Promise<AppAddress> {
    const [port] = (await freePorts(1)) as [number];
    await this.start("near", "nginx", nginxArgs(this.folder, `grpc-app-${name}`, port, { kind: "grpc-app" }));
    return { port, protocol: "grpc" };
  }

  async startNginx(appPort: number): Promise<Subject> {
    const [port] = (await freePorts(1)) as [number];
    const { child, log } = await this.start("far", "nginx", nginxArgs(this.folder, "proxy", port, { kind: "proxy", appPort }));
    await untilOk(`http://127.0.0.1:${port}/`, 200, log);
    return { name: "nginx", pids: [child.pid], httpPort: port, grpcPort: 0, stop: async () => void (await child.stop(stopGraceMs)) };
  }

  /** A certificate authority with credentials of its own; resolves when it is healthy. */
  async startAuthority(binary: string, name: string): Promise<Authority> {
    const [port, health, metrics] = (await freePorts(3)) as [number, number, number];
    const credentials = join(this.folder, `sentry-${name}`);
    mkdirSync(credentials);
    const config = join(this.folder, `sentry-${name}.yaml`);
    writeFileSync(config, "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: bench}\n");
    const local = ["--listen-address", "--healthz-listen-address", "--metrics-listen-address"].flatMap((flag) => [flag, "127.0.0.1"]);
    const ports = ["--port", String(port), "--healthz-port", String(health), "--metrics-port", String(metrics)];
    const rest = ["--issuer-credentials", credentials, "--config", config, "--log-level", "error"];
    const { child, log } = await this.start("far", binary, [...ports, ...local, ...rest]);
    await untilOk(`http://127.0.0.1:${health}/healthz`, 200, log);
    const stop = async () => void (await child.stop(stopGraceMs));
    const subject = { name, pids: [child.pid], httpPort: health, grpcPort: port, stop };
    return { subject, anchorsPem: readFileSync(join(credentials, "ca.crt"), "utf8") };
  }

  /** One sidecar; resolves when `/v1.0/healthz` answers 204. */
  async startSidecar(binary: string, appId: string, { app, authority }: SidecarOptions): Promise<Subject> {
    const [http, grpc, internal, metrics] = (await freePorts(4)) as [number, number, number, number];
    const ports = { "dapr-http-port": http, "dapr-grpc-port": grpc, "dapr-internal-grpc-port": internal, "metrics-port": metrics };
    const args = Object.entries(ports).flatMap(([flag, port]) => [`--${flag}`, String(port)]);
    args.push("--app-id", appId, "--resources-path", this.#resources, "--log-level", "error", "--dapr-listen-addresses", "127.0.0.1");
    if (this.#config !== null) args.push("--config", this.#config);
    if (app !== null) args.push("--app-port", String(app.port), "--app-protocol", app.protocol);
    if (authority !== null) args.push("--enable-mtls", "--sentry-address", `127.0.0.1:${authority.subject.grpcPort}`);
    const env: Record<string, string> = authority === null ? {} : { DAPR_TRUST_ANCHORS: authority.anchorsPem };
    const { child, log } = await this.start("far", binary, args, env);
    await untilOk(`http://127.0.0.1:${http}/v1.0/healthz`, 204, log);
    return { name: appId, pids: [child.pid], httpPort: http, grpcPort: grpc, stop: async () => void (await child.stop(stopGraceMs)) };
  }

  /** Two sidecars of one binary: `near`, which is asked, and both as one subject with the ports of `near`. */
  async startPair(name: string, binary: string, ids: Ids, options: SidecarOptions): Promise<Pair> {
    const far = await this.startSidecar(binary, ids.far, options);
    const near = await this.startSidecar(binary, ids.near, options);
    return { near: { ...near, name }, both: { ...near, name, pids: [...near.pids, ...far.pids] } };
  }

  /** Has something else ended with the workshop, after its processes. */
  defer(end: () => Promise<void>): void {
    this.#deferred.push(end);
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop(stopGraceMs)));
    for (const end of this.#deferred) await end();
  }
}

async function untilOk(url: string, status: number, log: readonly string[]): Promise<void> {
  const until = performance.now() + readyWithinMs;
  for (;;) {
    const response = await fetch(url, { headers: { connection: "close" } }).catch(() => null);
    await response?.arrayBuffer().catch(() => null);
    if (response?.status === status) return;
    if (performance.now() > until) throw new Error(`${url} did not answer ${status} within ${readyWithinMs} ms:\n${log.join("\n")}`);
    await new Promise((resolve) => setTimeout(resolve, readyPollMs));
  }
}

function component(type: string): string {
  const name = type.startsWith("state") ? "statestore" : "pubsub";
  return `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: ${name}}\nspec: {type: ${type}, version: v1, metadata: []}\n`;
}

function configuration(resolver: string, file: string): string {
  const spec = `{nameResolution: {component: ${resolver}, configuration: {connectionString: ${JSON.stringify(file)}}}}`;
  return `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: bench}\nspec: ${spec}\n`;
}
