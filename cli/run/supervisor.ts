// Several apps as one run: they start together, and stop in order: first all apps (so that each can still use its sidecar and call
// the others while it shuts down), then all sidecars. First stop request: gracefully, exit code 0. Second: SIGKILL to everyone.
import { removeRunState, writeRunState } from "../instances/registry.ts";
import { freePorts } from "../process/ports.ts";
import { startToken } from "../process/proc.ts";
import { AppRun, type RunContext } from "./app-run.ts";
import { type AppPlan, type Ports, portNames } from "./plan.ts";

/** The exit code after a second Ctrl-C, as shells report a death by SIGINT. */
const killedCode = 130;

export class Supervisor {
  readonly #runs: readonly AppRun[];
  readonly #context: RunContext;
  #stops = 0;

  private constructor(runs: readonly AppRun[], context: RunContext) {
    this.#runs = runs;
    this.#context = context;
  }

  /** Finds ports for the plans; nothing is started yet. State files go to `stateFolder`. */
  static async prepare(plans: readonly AppPlan[], context: Omit<RunContext, "onChange">, stateFolder: string): Promise<Supervisor> {
    const missing = plans.flatMap((plan) => portNames.filter((name) => plan.ports[name] === null));
    const taken = new Set(plans.flatMap((plan) => [plan.appPort, ...Object.values(plan.ports)]));
    // A few more than needed, so that a free port which is also somebody's fixed port can be skipped.
    const free = (await freePorts(missing.length + taken.size)).filter((port) => !taken.has(port));
    const onChange = () => supervisor.#writeState(stateFolder);
    const runs = plans.map((plan, index) => new AppRun(plan, assignPorts(plan, free), index, { ...context, onChange }));
    const supervisor = new Supervisor(runs, { ...context, onChange });
    return supervisor;
  }

  /** Runs everything to its end and answers our exit code. */
  async run(stateFolder: string): Promise<number> {
    try {
      const codes = await Promise.all(this.#runs.map((run) => this.#follow(run)));
      if (this.#stops > 1) return killedCode;
      if (this.#runs.some((run) => run.failedToStart)) return 1;
      return this.#stops > 0 ? 0 : (codes.find((code) => code !== 0) ?? 0);
    } finally {
      removeRunState(stateFolder, this.#context.cliPid);
    }
  }

  /** Ctrl-C, SIGTERM or `outrigger stop`. The second call kills. */
  stop(reason: string): void {
    this.#stops++;
    if (this.#stops > 1) {
      this.#context.say("warn", `${reason} again: killing everything`);
      for (const run of this.#runs) run.kill();
      return;
    }
    this.#context.say("info", `${reason}: stopping apps, then sidecars (once more to kill them)`);
    void this.#stopInOrder();
  }

  /** A run with an app that cannot start is not the run that was asked for: it ends as a whole, as Dapr's does. */
  async #follow(run: AppRun): Promise<number> {
    const code = await run.run();
    if (run.failedToStart && this.#stops === 0 && this.#runs.length > 1) {
      this.#context.say("info", `${run.plan.appId} could not be started: stopping the other apps`);
      void this.#stopInOrder();
    }
    return code;
  }

  async #stopInOrder(): Promise<void> {
    await Promise.all(this.#runs.map((run) => run.stopApp()));
    await Promise.all(this.#runs.map((run) => run.stopSidecar()));
  }

  #writeState(folder: string): void {
    const apps = this.#runs.map((run) => run.state).filter((state) => state !== null);
    writeRunState(folder, { cliPid: this.#context.cliPid, cliStart: startToken(this.#context.cliPid), apps });
  }
}

function assignPorts(plan: AppPlan, free: number[]): Ports {
  return Object.fromEntries(portNames.map((name) => [name, plan.ports[name] ?? (free.pop() as number)])) as Ports;
}
