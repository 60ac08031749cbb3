// `outrigger run`: one app from flags, or several from a run template, each with its sidecar.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { systemClock } from "../../lib/kit/clock.ts";
import { type Command, type Mark, type Surroundings, statusLine } from "../console.ts";
import { type FlagSpec, type Flags, flagsHelp, parseFlags, UsageError } from "../flags.ts";
import { Guard } from "../process/guard.ts";
import { type Home, homeAt, prepareHome } from "../run/home.ts";
import { LocalSentry, type LocalSentryOptions } from "../run/local-sentry.ts";
import { wantsColour } from "../run/logs.ts";
import { type AppPlan, planProblems } from "../run/plan.ts";
import { settings } from "../run/settings.ts";
import { Supervisor } from "../run/supervisor.ts";
import { parseTemplate, type Template } from "../run/template.ts";

const flags: readonly FlagSpec[] = [
  { name: "app-id", short: "a", kind: "string", help: "Id of the app; a made-up one without" },
  { name: "app-port", short: "p", kind: "number", help: "Port the app listens on" },
  { name: "run-file", short: "f", kind: "string", help: "Run template (or its folder) with several apps" },
  { name: "resources-path", kind: "list", help: "Folder of resources; may be repeated (default: ~/.outrigger/resources)" },
  { name: "components-path", short: "d", kind: "list", hidden: true, help: "Deprecated: use --resources-path" },
  { name: "config", short: "c", kind: "list", help: "Configuration file, merged over ~/.outrigger/config.yaml; may be repeated" },
  { name: "dapr-http-port", short: "H", kind: "number", help: "Port of the sidecar's HTTP API (default: a free one)" },
  { name: "dapr-grpc-port", short: "G", kind: "number", help: "Port of the sidecar's gRPC API (default: a free one)" },
  { name: "dapr-internal-grpc-port", short: "I", kind: "number", help: "Port between sidecars (default: a free one)" },
  { name: "metrics-port", short: "M", kind: "number", help: "Port of the sidecar's metrics (default: a free one)" },
  { name: "profile-port", kind: "number", help: "Port of the profiler (default: a free one)" },
  {
    name: "enable-mtls",
    kind: "boolean",
    help: "Mutual TLS between sidecars, with a certificate authority of this run over ~/.outrigger/certs",
  },
  ...settings,
  { name: "runtime-path", kind: "string", help: "Folder that holds .outrigger instead of the home folder" },
  { name: "kubernetes", short: "k", kind: "boolean", hidden: true, help: "Run the template on Kubernetes" },
  { name: "help", short: "h", kind: "boolean", help: "Show this help" },
];

export const runCommand: Command = {
  name: "run",
  summary: "Run an app with a sidecar, or several from a run template",
  help: `Run an app with a sidecar beside it, or all apps of a run template.

Usage:
  outrigger run [flags] -- COMMAND [ARGS…]
  outrigger run -f dapr.yaml

Without --resources-path an app gets the embedded defaults of ~/.outrigger/resources: statestore, pubsub and secretstore, all in
files of that folder. Ctrl-C stops apps, then sidecars; a second Ctrl-C kills them.

Examples:
  outrigger run --app-id orders --app-port 6001 -- node orders.js
  outrigger run --app-id tools --dapr-http-port 3500

Flags:
${flagsHelp(flags)}

Environment:
  OUTRIGGER_HOME   the folder of defaults and running instances, instead of ~/.outrigger
  OUTRIGGER_DAPRD  another sidecar binary to run, e.g. Dapr's own daprd
  NO_COLOR, FORCE_COLOR
`,
  run,
};

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, false);
  if (given.boolean("help") === true) {
    around.out(runCommand.help);
    return 0;
  }
  if (given.boolean("kubernetes") === true) throw new UsageError("--kubernetes is not supported yet: apply your manifests with kubectl");
  const template = given.string("run-file") === undefined ? null : readTemplate(resolve(around.cwd, given.string("run-file") as string));
  const plans = template?.plans ?? [planFromFlags(given, around)];
  const problems = planProblems(plans);
  if (problems.length > 0) throw new UsageError(problems.join("\n"));
  return supervise(plans, template, given, around);
}

async function supervise(plans: readonly AppPlan[], template: Template | null, given: Flags, around: Surroundings): Promise<number> {
  const colour = wantsColour(around.isTerminal, around.env);
  const say = (symbol: Mark, text: string) => around.out(statusLine(symbol, text, colour));
  for (const warning of template?.warnings ?? []) say("warn", warning);
  if (!existsSync(around.daprd)) throw new UsageError(`no sidecar at ${around.daprd}: run "make build", or set OUTRIGGER_DAPRD`);
  const home = homeAt(around.env, given.string("runtime-path"));
  prepareHome(home);
  const guard = new Guard();
  const shared = { env: around.env, clock: systemClock, guard, print: around.out, say };
  const sentry = given.boolean("enable-mtls") === true ? await startSentry(around, home, shared) : null;
  try {
    const mesh = sentry?.identity ?? null;
    const context = { ...shared, mesh, daprd: around.daprd, defaults: home, cliPid: around.pid, template, colour };
    const supervisor = await Supervisor.prepare(plans, context, home.instances);
    around.onStop((reason) => supervisor.stop(reason));
    const code = await supervisor.run(home.instances);
    say(code === 0 ? "done" : "fail", code === 0 ? "Everything stopped." : `Everything stopped; exit code ${code}.`);
    return code;
  } finally {
    // After the sidecars, which may renew while they drain.
    await sentry?.stop();
  }
}

function startSentry(
  around: Surroundings,
  home: Home,
  shared: Omit<LocalSentryOptions, "sentry" | "directory" | "configFile">,
): Promise<LocalSentry> {
  if (!existsSync(around.sentry)) throw new UsageError(`no certificate authority at ${around.sentry}: run "make build"`);
  return LocalSentry.start({ ...shared, sentry: around.sentry, directory: home.certificates, configFile: home.configFile });
}

function readTemplate(path: string): Template {
  if (!existsSync(path)) throw new UsageError(`${path} does not exist`);
  const file = statSync(path).isDirectory()
    ? ["dapr.yaml", "dapr.yml"].map((name) => join(path, name)).find((name) => existsSync(name))
    : path;
  if (file === undefined) throw new UsageError(`${path} holds no dapr.yaml`);
  return parseTemplate(file, readFileSync(file, "utf8"), existsSync);
}

function planFromFlags(given: Flags, around: Surroundings): AppPlan {
  const port = (name: string) => {
    const value = given.number(name);
    return value === undefined || value === 0 || value === -1 ? null : value;
  };
  const paths = (name: string) => given.list(name)?.map((path) => existing(resolve(around.cwd, path), name));
  return {
    appId: given.string("app-id") || madeUpId(around.cwd),
    workDir: around.cwd,
    command: given.rest,
    env: {},
    appPort: port("app-port"),
    ports: {
      http: port("dapr-http-port"),
      grpc: port("dapr-grpc-port"),
      internalGrpc: port("dapr-internal-grpc-port"),
      metrics: port("metrics-port"),
      profile: port("profile-port"),
    },
    resourcesPaths: paths("resources-path") ?? paths("components-path") ?? null,
    configFiles: paths("config") ?? [],
    settings: settingsFromFlags(given),
    appLog: "console",
    sidecarLog: "console",
  };
}

function settingsFromFlags(given: Flags): Record<string, string> {
  const values: Record<string, string> = Object.create(null);
  for (const setting of settings) {
    const value = setting.kind === "boolean" ? given.boolean(setting.name)?.toString() : given.string(setting.name);
    if (value !== undefined) values[setting.name] = value;
  }
  return values;
}

function existing(path: string, flag: string): string {
  if (!existsSync(path)) throw new UsageError(`--${flag}: ${path} does not exist`);
  return path;
}

function madeUpId(cwd: string): string {
  const folder = basename(cwd)
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return `${folder || "app"}-${randomBytes(3).toString("hex")}`;
}
