// A child in its own process group and session, so that Ctrl-C on the terminal reaches only us and we decide who is told
// what, and when. Invariant: no child runs that the guard does not know. It is kept by a gate: the child starts as sh, waits for a
// line on fd 3, and only then execs the program (same pid); if we die before the line, the read fails and nothing ever ran.
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import type { Clock } from "../../lib/kit/clock.ts";
import type { Guard } from "./guard.ts";

export interface Exit {
  /** Exit code, or null when a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** True hands our standard input to the child; otherwise it reads end of file. */
  readonly inheritStdin: boolean;
}

const gate = 'read -r go <&3 || exit 125; exec 3<&-; exec "$@"';
/** How long what a finished program left behind in its group gets between SIGTERM and SIGKILL. */
const leftoverGraceMs = 2000;
const groupPollMs = 20;

/** The code a shell would report: the exit code, or 128 plus the number of the signal. */
export function shellCode(exit: Exit): number {
  return exit.code ?? 128 + (exit.signal === null ? 0 : constants.signals[exit.signal]);
}

/** `exit status 3` or `signal: killed`-like text for people. */
export function describeExit(exit: Exit): string {
  return exit.signal === null ? `exit status ${exit.code ?? "unknown"}` : `signal ${exit.signal}`;
}

export class Child {
  readonly pid: number;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the program has ended and everything it left in its group is gone too. Never rejects. */
  readonly exited: Promise<Exit>;
  readonly #clock: Clock;
  #gone = false;
  #asked = false;

  private constructor(process: ChildProcess, guard: Guard, clock: Clock) {
    this.pid = process.pid as number;
    this.stdout = process.stdout as Readable;
    this.stderr = process.stderr as Readable;
    this.#clock = clock;
    this.exited = new Promise<Exit>((resolve) => process.once("exit", (code, signal) => resolve({ code, signal }))).then(async (exit) => {
      await this.#sweep();
      this.#gone = true;
      guard.forget(this.pid);
      return exit;
    });
  }

  /** Starts the program. Rejects when not even sh can be started; a program that does not exist exits with 127. */
  static async start(options: ChildOptions, guard: Guard, clock: Clock): Promise<Child> {
    const stdio: StdioOptions = [options.inheritStdin ? "inherit" : "ignore", "pipe", "pipe", "pipe"];
    const args = ["-c", gate, "sh", options.command, ...options.args];
    const process = spawn("/bin/sh", args, { cwd: options.cwd, env: { ...options.env }, detached: true, stdio });
    await new Promise<void>((resolve, reject) => {
      process.once("spawn", resolve);
      process.once("error", reject);
    });
    const child = new Child(process, guard, clock);
    await guard.watch(child.pid);
    const opener = process.stdio[3] as Writable;
    opener.on("error", () => {});
    opener.end("go\n");
    return child;
  }

  /** Sends a signal to the whole group; false when it is gone. */
  signal(name: NodeJS.Signals | 0): boolean {
    if (this.#gone) return false;
    try {
      return globalThis.process.kill(-this.pid, name);
    } catch {
      return false;
    }
  }

  /** SIGTERM once (a second one means "at once" to a sidecar), and SIGKILL when the program is still there after `graceMs`. */
  async stop(graceMs: number): Promise<Exit> {
    if (!this.#asked) this.signal("SIGTERM");
    this.#asked = true;
    const timer = this.#clock.after(graceMs, () => this.signal("SIGKILL"));
    const exit = await this.exited;
    timer.cancel();
    return exit;
  }

  async #sweep(): Promise<void> {
    if (!this.signal("SIGTERM")) return;
    const until = this.#clock.monotonic() + leftoverGraceMs;
    while (this.signal(0)) {
      if (this.#clock.monotonic() > until) {
        this.signal("SIGKILL");
        return;
      }
      // Not sleep(): this wait must keep the process alive until the group is gone.
      await new Promise((resolve) => setTimeout(resolve, groupPollMs));
    }
  }
}
