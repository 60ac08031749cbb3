// One app with its sidecar while it runs: sidecar first, then, when its outbound API is ready, the app. Either one's end ends
// the other. Decides nothing about other apps; run/supervisor.ts does.
import type { Clock } from "../../lib/kit/clock.ts";
import type { RunApp } from "../instances/registry.ts";
import { Child, describeExit, type Exit, shellCode } from "../process/child.ts";
import type { Guard } from "../process/guard.ts";
import { startToken } from "../process/proc.ts";
import { linePrefix, logFilePath, ProgramLog } from "./logs.ts";
import {
  type AppPlan,
  appEnv,
  type Defaults,
  type LogDestination,
  type MeshIdentity,
  type Ports,
  sidecarArgs,
  sidecarEnv,
} from "./plan.ts";
import { putMetadata, type SidecarAddress, sidecarAddress, untilOutboundReady } from "./sidecar-client.ts";

/** How long the sidecar may take to be ready. Dapr's CLI waits as long. */
const readyTimeoutMs = 60_000;
/** How long an app gets between SIGTERM and SIGKILL. */
const appGraceMs = 10_000;
/** The same for a sidecar: its own grace time (5 s) and its pub/sub drain come before. */
const sidecarGraceMs = 45_000;
const tailLines = 10;

export interface RunContext {
  readonly daprd: string;
  readonly defaults: Defaults;
  /** Null without mTLS. */
  readonly mesh: MeshIdentity | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly guard: Guard;
  readonly cliPid: number;
  readonly template: { readonly name: string; readonly path: string } | null;
  readonly colour: boolean;
  /** Lines of programs and our own, newline included. */
  readonly print: (text: string) => void;
  /** Our own words, symbol included: `ℹ️`, `✅`, `❌`. */
  readonly say: (symbol: "info" | "done" | "warn" | "fail", text: string) => void;
  readonly onChange: () => void;
}

export class AppRun {
  readonly plan: AppPlan;
  readonly ports: Ports;
  /** True when sidecar or app could not even be started, or the sidecar ended before it was ready. */
  failedToStart = false;
  readonly #context: RunContext;
  readonly #index: number;
  readonly #address: SidecarAddress;
  readonly #logs: ProgramLog[] = [];
  readonly #paths: Record<"app" | "daprd", string | null>;
  #sidecar: Child | null = null;
  #app: Child | null = null;
  #stopping = false;
  #sidecarTurn = false;
  #createdAt = 0;
  #daprdStart: string | null = null;

  constructor(plan: AppPlan, ports: Ports, index: number, context: RunContext) {
    this.plan = plan;
    this.ports = ports;
    this.#index = index;
    this.#context = context;
    this.#address = sidecarAddress(plan, ports, plan.env.DAPR_API_TOKEN ?? context.env.DAPR_API_TOKEN ?? null);
    this.#paths = { app: this.#logPath("app", plan.appLog), daprd: this.#logPath("daprd", plan.sidecarLog) };
  }

  /** Runs until app and sidecar are both gone; answers this app's part of our exit code. Never rejects. */
  async run(): Promise<number> {
    try {
      return await this.#run();
    } catch (error) {
      this.failedToStart = true;
      this.#context.say("fail", `${this.plan.appId}: ${(error as Error).message}`);
      return 1;
    } finally {
      await this.#app?.stop(appGraceMs);
      // While a whole run stops, sidecars wait for every app: the supervisor says when it is their turn.
      await (this.#stopping && !this.#sidecarTurn ? this.#sidecar?.exited : this.#sidecar?.stop(sidecarGraceMs));
      await Promise.all(this.#logs.map((log) => log.close()));
      this.#context.onChange();
    }
  }

  async stopApp(): Promise<void> {
    this.#stopping = true;
    await this.#app?.stop(appGraceMs);
  }

  async stopSidecar(): Promise<void> {
    this.#stopping = true;
    this.#sidecarTurn = true;
    await this.#sidecar?.stop(sidecarGraceMs);
  }

  kill(): void {
    this.#stopping = true;
    this.#app?.signal("SIGKILL");
    this.#sidecar?.signal("SIGKILL");
  }

  /** The entry of the state file; null while there is no sidecar. */
  get state(): RunApp | null {
    if (this.#sidecar === null) return null;
    return {
      appId: this.plan.appId,
      httpPort: this.ports.http,
      grpcPort: this.ports.grpc,
      appPort: this.plan.appPort ?? 0,
      metricsEnabled: true,
      command: this.plan.command.join(" "),
      createdAt: this.#createdAt,
      daprdPid: this.#sidecar.pid,
      daprdStart: this.#daprdStart,
      appPid: this.#app?.pid ?? 0,
      runTemplatePath: this.#context.template?.path ?? "",
      appLogPath: this.#paths.app ?? "",
      daprdLogPath: this.#paths.daprd ?? "",
      runTemplateName: this.#context.template?.name ?? "",
    };
  }

  async #run(): Promise<number> {
    const { plan, ports } = this;
    const { say } = this.#context;
    say("info", `Starting Dapr with id ${plan.appId}. HTTP Port: ${ports.http}. gRPC Port: ${ports.grpc}`);
    const sidecarLog = this.#log("DAPRD");
    const sidecar = await this.#startSidecar(sidecarLog);
    if (this.#stopping) return 0;
    const early = await this.#untilReady(sidecar);
    if (this.#stopping) return 0;
    if (early !== null) {
      this.failedToStart = true;
      return this.#sidecarEnded(early, sidecarLog);
    }
    if (plan.command.length === 0) {
      say("done", `Dapr sidecar of ${plan.appId} is up and running; it has no app command.`);
      await this.#note(0);
      return this.#stopping ? 0 : this.#sidecarEnded(await sidecar.exited, sidecarLog);
    }
    const app = await this.#startApp();
    if (this.#stopping) return 0;
    await this.#note(app.pid);
    say("done", `You're up and running! ${plan.appId}: ${plan.command.join(" ")}`);
    const first = await Promise.race([app.exited.then((exit) => ({ app: exit })), sidecar.exited.then((exit) => ({ sidecar: exit }))]);
    if (this.#stopping) return 0;
    return "app" in first ? this.#appEnded(first.app) : this.#sidecarEnded(first.sidecar, sidecarLog);
  }

  async #startSidecar(log: ProgramLog): Promise<Child> {
    const { daprd, defaults, mesh, env, guard, clock } = this.#context;
    const args = sidecarArgs(this.plan, this.ports, defaults, mesh);
    const child = await Child.start(
      { command: daprd, args, cwd: this.plan.workDir, env: { ...env, ...sidecarEnv(this.plan, env, mesh) }, inheritStdin: false },
      guard,
      clock,
    );
    this.#sidecar = child;
    this.#createdAt = clock.now();
    this.#daprdStart = startToken(child.pid);
    log.follow(child.stdout);
    log.follow(child.stderr);
    this.#context.onChange();
    return child;
  }

  /** Null when the sidecar is ready (or not ready in time, which is said and survived), its exit when it ended before. */
  async #untilReady(sidecar: Child): Promise<Exit | null> {
    const over = new AbortController();
    const timer = this.#context.clock.after(readyTimeoutMs, () => over.abort(new Error("timeout")));
    const ready = untilOutboundReady(this.#address, over.signal).then(
      () => null,
      () => null,
    );
    const first = await Promise.race([ready, sidecar.exited]);
    timer.cancel();
    const late = over.signal.aborted;
    over.abort();
    if (late) this.#context.say("warn", `The sidecar of ${this.plan.appId} is not ready after 60 s; starting the app all the same.`);
    return first;
  }

  async #startApp(): Promise<Child> {
    const { plan } = this;
    const { env, guard, clock, template } = this.#context;
    const log = this.#log("APP");
    const [command, ...args] = plan.command as readonly [string, ...string[]];
    const child = await Child.start(
      { command, args, cwd: plan.workDir, env: { ...env, ...appEnv(plan, this.ports) }, inheritStdin: template === null },
      guard,
      clock,
    );
    this.#app = child;
    log.follow(child.stdout);
    log.follow(child.stderr);
    this.#context.onChange();
    return child;
  }

  async #note(appPid: number): Promise<void> {
    const { template, cliPid } = this.#context;
    const values: Record<string, string> = { cliPID: String(cliPid) };
    if (appPid !== 0) Object.assign(values, { appPID: String(appPid), appCommand: this.plan.command.join(" ") });
    if (template !== null) Object.assign(values, { runTemplatePath: template.path, runTemplateName: template.name });
    if (this.#paths.app !== null) values.appLogPath = this.#paths.app;
    if (this.#paths.daprd !== null) values.daprdLogPath = this.#paths.daprd;
    const failed = await putMetadata(this.#address, values);
    if (failed.length > 0 && !this.#stopping)
      this.#context.say("warn", `Could not update the sidecar metadata of ${this.plan.appId}: ${failed.join(", ")}`);
  }

  #appEnded(exit: Exit): number {
    const { appId } = this.plan;
    if (exit.code === 0) this.#context.say("done", `App ${appId} exited with exit status 0; stopping its sidecar.`);
    else this.#context.say("fail", `The App process of ${appId} exited with error code: ${describeExit(exit)}; stopping its sidecar.`);
    return shellCode(exit);
  }

  #sidecarEnded(exit: Exit, log: ProgramLog): number {
    const { appId } = this.plan;
    if (exit.code === 0) {
      this.#context.say("info", `The sidecar of ${appId} was shut down; stopping the app.`);
      return 0;
    }
    const where = this.#paths.daprd === null ? "" : `\nIts whole log: ${this.#paths.daprd}`;
    const last = log.tail.slice(-tailLines).map((line) => `    ${line}\n`);
    const words = last.length === 0 ? "It said nothing." : `Its last words:\n${last.join("").trimEnd()}`;
    this.#context.say("fail", `The daprd process of ${appId} exited with error code: ${describeExit(exit)}. ${words}${where}`);
    return 1;
  }

  #log(kind: "APP" | "DAPRD"): ProgramLog {
    const { template, colour, print } = this.#context;
    const file = kind === "APP" ? this.#paths.app : this.#paths.daprd;
    const destination = kind === "APP" ? this.plan.appLog : this.plan.sidecarLog;
    const prefix = linePrefix(kind, template === null ? null : this.plan.appId, this.#index, colour);
    const log = new ProgramLog({ destination, file, prefix, console: print });
    this.#logs.push(log);
    return log;
  }

  #logPath(kind: "app" | "daprd", destination: LogDestination): string | null {
    if (destination === "console") return null;
    return logFilePath(this.plan.workDir, this.plan.appId, kind, new Date(this.#context.clock.now()));
  }
}
