// The `outrigger` command: picks the verb and is the only reader of process.* in the CLI.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { messageOf } from "../lib/kit/errors.ts";
import { outriggerVersion } from "../lib/kit/version.ts";
import { annotateCommand } from "./commands/annotate.ts";
import { checkCommand } from "./commands/check.ts";
import { componentsCommand } from "./commands/components.ts";
import { configurationsCommand } from "./commands/configurations.ts";
import { initCommand } from "./commands/init.ts";
import { listCommand } from "./commands/list.ts";
import { logsCommand } from "./commands/logs.ts";
import { mtlsCommand } from "./commands/mtls.ts";
import { runCommand } from "./commands/run.ts";
import { statusCommand } from "./commands/status.ts";
import { stopCommand } from "./commands/stop.ts";
import { uninstallCommand } from "./commands/uninstall.ts";
import type { Command, Surroundings } from "./console.ts";
import { UsageError } from "./flags.ts";
import { TemplateError } from "./run/template.ts";

const commands: readonly Command[] = [
  runCommand,
  stopCommand,
  listCommand,
  mtlsCommand,
  initCommand,
  checkCommand,
  statusCommand,
  uninstallCommand,
  annotateCommand,
  componentsCommand,
  configurationsCommand,
  logsCommand,
];

const help = `Outrigger runs apps with a Dapr-compatible sidecar beside each.

Usage:
  outrigger COMMAND [flags]

Commands:
${commands.map((command) => `  ${command.name.padEnd(14)} ${command.summary}`).join("\n")}

Flags:
  -h, --help      Show this help; with a command, the command's
  -v, --version   Show the version
`;

/** Both cli/main.ts and dist/outrigger.mjs stand one folder below the package. */
function packagePath(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}

/** A bundle knows its own, and may stand anywhere. */
function packageVersion(): string {
  if (outriggerVersion !== "dev") return outriggerVersion;
  return (JSON.parse(readFileSync(packagePath("package.json"), "utf8")) as { version: string }).version;
}

/** Our environment without what our launcher added: an app on Node must not compile into our cache. */
function appEnvironment(): Record<string, string | undefined> {
  const { NODE_COMPILE_CACHE: cache, ...env } = process.env;
  return cache === undefined || cache === packagePath("dist/.compile-cache") ? env : { ...env, NODE_COMPILE_CACHE: cache };
}

function surroundings(): Surroundings {
  return {
    out: (text) => void process.stdout.write(text),
    error: (text) => void process.stderr.write(text),
    isTerminal: process.stdout.isTTY === true,
    env: appEnvironment(),
    cwd: process.cwd(),
    pid: process.pid,
    daprd: process.env.OUTRIGGER_DAPRD || packagePath("bin/daprd"),
    sentry: packagePath("bin/sentry"),
    chart: packagePath("charts/outrigger"),
    version: packageVersion(),
    onStop(listener) {
      for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => listener(`received ${name}`));
      // Whoever read our output is gone (`| head`): nobody watches the run any more.
      let open = true;
      process.stdout.on("error", () => {
        if (open) listener("output closed");
        open = false;
      });
    },
  };
}

async function main(args: readonly string[], around: Surroundings): Promise<number> {
  const [verb, ...rest] = args;
  if (verb === undefined || verb === "-h" || verb === "--help" || verb === "help") {
    const asked = verb === "help" ? commands.find((command) => command.name === rest[0]) : undefined;
    around.out(asked?.help ?? help);
    return 0;
  }
  if (["-v", "--version", "-version", "version"].includes(verb)) {
    around.out(`Outrigger version: ${around.version}\n`);
    return 0;
  }
  const command = commands.find((candidate) => candidate.name === verb);
  if (command === undefined) throw new UsageError(`unknown command "${verb}": see outrigger --help`);
  return command.run(rest, around);
}

const around = surroundings();
main(process.argv.slice(2), around).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const expected = error instanceof UsageError || error instanceof TemplateError;
    around.error(`❌ ${expected || !(error instanceof Error) ? messageOf(error) : (error.stack ?? error.message)}\n`);
    process.exitCode = 1;
  },
);
