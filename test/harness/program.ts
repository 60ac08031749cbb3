// A real process under test: its own group (ended with us whatever happens, by the CLI's guard), all output kept, and helpers to
// wait for a line or for its end. Disposing kills the group and removes what the test put on disk for it.
import type { Readable } from "node:stream";
import { Child, type Exit } from "../../cli/process/child.ts";
import { Guard } from "../../cli/process/guard.ts";
import { LineSplitter } from "../../cli/run/logs.ts";
import { systemClock } from "../../lib/kit/clock.ts";
import { remember } from "./failure-logs.ts";

export interface ProgramOptions {
  /** How logs of a failed test call it. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** On top of ours; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

const defaultWaitMs = 20_000;
let guard: Guard | null = null;

/** Variables of the machine that would change what a sidecar does. */
const scrubbed = ["DAPR_API_TOKEN", "APP_API_TOKEN", "NAMESPACE", "NO_COLOR", "FORCE_COLOR", "NODE_OPTIONS", "NODE_TEST_CONTEXT"];

export class Program implements AsyncDisposable {
  readonly name: string;
  readonly child: Child;
  readonly lines: string[] = [];
  #watchers = new Set<() => void>();
  #exit: Exit | null = null;

  private constructor(name: string, child: Child) {
    this.name = name;
    this.child = child;
    const outputs = [child.stdout, child.stderr].map((output) => this.#follow(output));
    void Promise.all([child.exited, ...outputs]).then(([exit]) => {
      this.#exit = exit;
      for (const watcher of this.#watchers) watcher();
    });
    remember(name, this.lines);
  }

  static async start(options: ProgramOptions): Promise<Program> {
    guard ??= new Guard();
    const env: Record<string, string | undefined> = { ...process.env };
    for (const name of scrubbed) delete env[name];
    Object.assign(env, options.env);
    const { command, args, cwd = process.cwd() } = options;
    return new Program(options.name, await Child.start({ command, args, cwd, env, inheritStdin: false }, guard, systemClock));
  }

  get pid(): number {
    return this.child.pid;
  }

  /** Null while it runs. */
  get exit(): Exit | null {
    return this.#exit;
  }

  get output(): string {
    return this.lines.join("\n");
  }

  /** Resolves when the program has ended; rejects after `withinMs`. */
  async exited(withinMs = defaultWaitMs): Promise<Exit> {
    await this.until(() => this.#exit !== null, `end of ${this.name}`, withinMs);
    return this.#exit as Exit;
  }

  /** The first line that matches, past or to come. Rejects when the program ends or `withinMs` passes without it. */
  async line(pattern: RegExp, withinMs = defaultWaitMs): Promise<string> {
    await this.until(() => this.lines.some((line) => pattern.test(line)), `line ${pattern} of ${this.name}`, withinMs, true);
    return this.lines.find((line) => pattern.test(line)) as string;
  }

  /** Resolves when `condition` holds; looked at after every line and at the end of the program. */
  until(condition: () => boolean, what: string, withinMs = defaultWaitMs, endsWithProgram = false): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const finish = (error: Error | null) => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
        if (error === null) resolve();
        else reject(error);
      };
      const watch = () => {
        if (condition()) finish(null);
        else if (endsWithProgram && this.#exit !== null) finish(this.failure(`${what} did not come before the program ended`));
      };
      const timer = setTimeout(() => finish(this.failure(`${what} did not come within ${withinMs} ms`)), withinMs);
      this.#watchers.add(watch);
    });
  }

  /** An error that carries the log. */
  failure(message: string): Error {
    const state = this.#exit === null ? "running" : `ended (${JSON.stringify(this.#exit)})`;
    return new Error(`${message}\n--- ${this.name}, ${state} ---\n${this.lines.slice(-60).join("\n")}`);
  }

  /** To the program itself; `true` when it was there. */
  signal(name: NodeJS.Signals): boolean {
    if (this.#exit !== null) return false;
    try {
      return process.kill(this.pid, name);
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.signal("SIGKILL");
    await this.child.exited;
  }

  #follow(output: Readable): Promise<void> {
    const splitter = new LineSplitter((line) => this.#line(line));
    output.on("data", (chunk: Buffer) => splitter.write(chunk));
    return new Promise((resolve) => {
      output.once("close", () => {
        splitter.end();
        resolve();
      });
    });
  }

  #line(line: string): void {
    this.lines.push(line);
    for (const watcher of this.#watchers) watcher();
  }
}
