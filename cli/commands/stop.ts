// `outrigger stop`: ends running apps with their sidecars. A whole run is ended by telling its CLI process, which knows the right order; one
// app out of several, and sidecars that are not ours, by the sidecar's own shutdown API, on which its supervisor ends the app.
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Command, type Surroundings, statusLine } from "../console.ts";
import { type FlagSpec, flagsHelp, parseFlags, UsageError } from "../flags.ts";
import { type FoundInstance, findInstances } from "../instances/find.ts";
import { startToken } from "../process/proc.ts";
import { homeAt } from "../run/home.ts";
import { wantsColour } from "../run/logs.ts";
import { callSidecar } from "../run/sidecar-client.ts";

/** Longer than apps and sidecars get to stop in order. */
const stopTimeoutMs = 60_000;
const pollMs = 50;

const flags: readonly FlagSpec[] = [
  { name: "app-id", short: "a", kind: "list", help: "Id of the app to stop; may be repeated" },
  { name: "run-file", short: "f", kind: "string", help: "Stop all apps of this run template (or folder)" },
  { name: "runtime-path", kind: "string", help: "Folder that holds .outrigger instead of the home folder" },
  { name: "help", short: "h", kind: "boolean", help: "Show this help" },
];

export const stopCommand: Command = {
  name: "stop",
  summary: "Stop running apps and their sidecars",
  help: `Stop running apps and their sidecars.

Usage:
  outrigger stop -a APP_ID [-a APP_ID…]
  outrigger stop -f dapr.yaml

Flags:
${flagsHelp(flags)}
`,
  run,
};

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(stopCommand.help);
    return 0;
  }
  const ids = [...(given.list("app-id") ?? []), ...given.rest];
  const file = given.string("run-file");
  if (ids.length === 0 && file === undefined) throw new UsageError("nothing to stop: give --app-id or --run-file");
  const home = homeAt(around.env, given.string("runtime-path"));
  const all = await findInstances(home.instances, new Date(), around.env.DAPR_API_TOKEN ?? null);
  const template = file === undefined ? null : templatePath(resolve(around.cwd, file));
  const chosen = all.filter((instance) => ids.includes(instance.appId) || (template !== null && instance.runTemplatePath === template));
  const colour = wantsColour(around.isTerminal, around.env);
  let code = 0;
  for (const id of ids.filter((wanted) => !chosen.some((instance) => instance.appId === wanted))) {
    around.error(statusLine("fail", `failed to stop app id ${id}: couldn't find app id ${id}`, colour));
    code = 1;
  }
  if (template !== null && chosen.length === 0) {
    around.error(statusLine("fail", `no running app of ${template} was found`, colour));
    code = 1;
  }
  const stopped = await Promise.all(chosen.map((instance) => stopOne(instance, all, chosen, around)));
  chosen.forEach((instance, index) => {
    const done = stopped[index] === true;
    const text = done
      ? `app stopped successfully: ${instance.appId}`
      : `app ${instance.appId} is still running after ${stopTimeoutMs / 1000} s`;
    around.out(statusLine(done ? "done" : "fail", text, colour));
    if (!done) code = 1;
  });
  return code;
}

function templatePath(path: string): string {
  if (!existsSync(path) || !statSync(path).isDirectory()) return path;
  return ["dapr.yaml", "dapr.yml"].map((name) => join(path, name)).find((name) => existsSync(name)) ?? path;
}

async function stopOne(
  instance: FoundInstance,
  all: readonly FoundInstance[],
  chosen: readonly FoundInstance[],
  around: Surroundings,
): Promise<boolean> {
  const siblings = all.filter((other) => other.ours && other.cliPid === instance.cliPid);
  const whole = instance.ours && siblings.every((sibling) => chosen.includes(sibling));
  const watched = [instance.daprdPid, ...(instance.appPid > 0 ? [instance.appPid] : []), ...(whole ? [instance.cliPid] : [])];
  const tokens = watched.map((pid) => [pid, startToken(pid)] as const);
  // One signal per CLI process: a second would kill. The first of its apps sends it.
  if (whole && siblings[0] === instance) signal(instance.cliPid);
  if (!whole) await shutDown(instance, around);
  return untilGone(tokens);
}

async function shutDown(instance: FoundInstance, around: Surroundings): Promise<void> {
  const address = { socketPath: null, host: "127.0.0.1", port: instance.httpPort, token: around.env.DAPR_API_TOKEN ?? null };
  const reply = await callSidecar(address, "POST", "/v1.0/shutdown", "").catch(() => null);
  if (reply?.status !== 204) signal(instance.daprdPid);
}

function signal(pid: number): void {
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    // It ended on its own in the meantime.
  }
}

async function untilGone(tokens: readonly (readonly [number, string | null])[]): Promise<boolean> {
  const until = performance.now() + stopTimeoutMs;
  while (tokens.some(([pid, token]) => token !== null && startToken(pid) === token)) {
    if (performance.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return true;
}
