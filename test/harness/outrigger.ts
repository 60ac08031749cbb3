// The CLI as a real process, in a home of its own so that tests never see the user's runs or each other's.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Folder } from "./folder.ts";
import { Program } from "./program.ts";

export interface OutriggerOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Shared by commands that shall see the same runs. */
  readonly home: Folder;
}

const launcher = fileURLToPath(new URL("../../bin/outrigger", import.meta.url));
const bundle = fileURLToPath(new URL("../../dist/outrigger.mjs", import.meta.url));
const source = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** Starts `outrigger <args>` from the bundle, or from the source where nothing is built or OUTRIGGER_FROM_SOURCE=1; does not wait. */
export function outrigger(args: readonly string[], options: OutriggerOptions): Promise<Program> {
  const built = process.env.OUTRIGGER_FROM_SOURCE !== "1" && existsSync(launcher) && existsSync(bundle);
  const env = { OUTRIGGER_HOME: options.home.file("home"), ...options.env };
  const command = built ? launcher : process.execPath;
  const all = built ? [...args] : [source, ...args];
  return Program.start({ name: `outrigger ${args[0] ?? ""}`, command, args: all, env, cwd: options.cwd ?? options.home.path });
}

/** Runs a command to its end: its exit code and output. */
export async function outriggerDone(
  args: readonly string[],
  options: OutriggerOptions,
): Promise<{ readonly code: number | null; readonly output: string }> {
  await using program = await outrigger(args, options);
  const exit = await program.exited();
  return { code: exit.code, output: program.output };
}
