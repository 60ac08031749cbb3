// The certificate authority of a run with --enable-mtls: bin/sentry on free loopback ports, over a directory of the home folder,
// so that all runs of one user are one mesh. Every run has a sentry of its own; what they share is the directory.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../lib/kit/clock.ts";
import { Child, describeExit } from "../process/child.ts";
import type { Guard } from "../process/guard.ts";
import { freePorts } from "../process/ports.ts";
import { ProgramLog } from "./logs.ts";
import type { MeshIdentity } from "./plan.ts";

export interface LocalSentryOptions {
  /** The launcher. */
  readonly sentry: string;
  /** Keys and certificates; made when missing. */
  readonly directory: string;
  /** Its `spec.mtls` says how long certificates live. */
  readonly configFile: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly guard: Guard;
  readonly clock: Clock;
  /** Lines of sentry, newline included. */
  readonly print: (text: string) => void;
  readonly say: (symbol: "warn", text: string) => void;
}

const readyTimeoutMs = 30_000;
const pollMs = 50;
const graceMs = 5_000;
/** Two runs may share the directory, and only one sentry may rotate a root: this one lives as long as a machine. */
const rootLife = ["--root-rotation", "off", "--root-ttl", "87600h"];

export class LocalSentry {
  readonly identity: MeshIdentity;
  readonly #child: Child;
  readonly #log: ProgramLog;
  #stopping = false;

  private constructor(child: Child, log: ProgramLog, identity: MeshIdentity, options: LocalSentryOptions) {
    this.#child = child;
    this.#log = log;
    this.identity = identity;
    void child.exited.then((exit) => {
      if (this.#stopping) return;
      options.say("warn", `The certificate authority ended (${describeExit(exit)}); sidecars go on until their certificates expire.`);
    });
  }

  /** Resolves when it issues certificates. Rejects when it ends before, or is not ready within 30 s. */
  static async start(options: LocalSentryOptions): Promise<LocalSentry> {
    const { sentry: command, directory, configFile, env, guard, clock, print } = options;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const [port, health] = (await freePorts(2)) as [number, number];
    const listen = ["--port", `${port}`, "--listen-address", "127.0.0.1"];
    const probe = ["--healthz-port", `${health}`, "--healthz-listen-address", "127.0.0.1", "--enable-metrics=false"];
    const args = [...listen, ...probe, "--issuer-credentials", directory, "--config", configFile, "--log-level", "warn", ...rootLife];
    const child = await Child.start({ command, args, cwd: directory, env, inheritStdin: false }, guard, clock);
    const log = new ProgramLog({ destination: "console", file: null, prefix: "== SENTRY == ", console: print });
    log.follow(child.stdout);
    log.follow(child.stderr);
    await untilHealthy(`http://127.0.0.1:${health}/healthz`, child, log);
    const trustAnchorsPem = readFileSync(join(directory, "ca.crt"), "utf8");
    return new LocalSentry(child, log, { sentryAddress: `127.0.0.1:${port}`, trustAnchorsPem }, options);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#child.stop(graceMs);
    await this.#log.close();
  }
}

async function untilHealthy(url: string, child: Child, log: ProgramLog): Promise<void> {
  const until = performance.now() + readyTimeoutMs;
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  while (!(await answers200(url))) {
    if (ended || performance.now() > until) {
      await child.stop(graceMs);
      throw new Error(`the certificate authority ${ended ? "ended" : "is not ready after 30 s"}: ${log.tail.at(-1) ?? "it said nothing"}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

async function answers200(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(1_000) }).catch(() => null);
  await response?.body?.cancel();
  return response?.status === 200;
}
