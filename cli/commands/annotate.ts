// `outrigger annotate -k`: adds annotations to a manifest and prints it, for `| kubectl apply -f -`. A flag for each
// annotation by its own name, and the names that `dapr annotate` gives some of them.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join, resolve } from "node:path";
import { messageOf } from "../../lib/kit/errors.ts";
import { annotationRows } from "../../lib/resources/annotation-rows.ts";
import { type Command, type Surroundings, statusLine } from "../console.ts";
import { type FlagSpec, type Flags, flagsHelp, parseFlags, UsageError } from "../flags.ts";
import { type AnnotateRequest, annotateManifest } from "../kube/annotate-manifest.ts";
import { helpFlag, kubernetesFlag, needKubernetes } from "../kube/cluster.ts";

/** What `dapr annotate` calls annotations, where it does not use their own names. */
const daprNames: Readonly<Record<string, string>> = {
  "enable-profile": "enable-profiling",
  "cpu-limit": "sidecar-cpu-limit",
  "cpu-request": "sidecar-cpu-request",
  "memory-limit": "sidecar-memory-limit",
  "memory-request": "sidecar-memory-request",
  "listen-addresses": "sidecar-listen-addresses",
  "liveness-probe-delay": "sidecar-liveness-probe-delay-seconds",
  "liveness-probe-timeout": "sidecar-liveness-probe-timeout-seconds",
  "liveness-probe-period": "sidecar-liveness-probe-period-seconds",
  "liveness-probe-threshold": "sidecar-liveness-probe-threshold",
  "readiness-probe-delay": "sidecar-readiness-probe-delay-seconds",
  "readiness-probe-timeout": "sidecar-readiness-probe-timeout-seconds",
  "readiness-probe-period": "sidecar-readiness-probe-period-seconds",
  "readiness-probe-threshold": "sidecar-readiness-probe-threshold",
  "max-request-body-size": "http-max-request-size",
};
const shorts: Readonly<Record<string, string>> = { "app-id": "a", "app-port": "p", config: "c" };
const names = Object.keys(annotationRows).filter((name) => name !== "enabled" && name !== "component-container");

const flags: readonly FlagSpec[] = [
  kubernetesFlag,
  { name: "resource", short: "r", kind: "string", help: "Only the object of this name" },
  { name: "namespace", short: "n", kind: "string", help: "Namespace of that object; needs --resource" },
  ...names.map((name): FlagSpec => {
    const { help } = annotationRows[name as keyof typeof annotationRows];
    return { name, kind: isBoolean(name) ? "boolean" : "string", help, ...(shorts[name] === undefined ? {} : { short: shorts[name] }) };
  }),
  ...Object.entries(daprNames).map(
    ([name, annotation]): FlagSpec => ({ name, kind: isBoolean(annotation) ? "boolean" : "string", help: annotation, hidden: true }),
  ),
  helpFlag,
];

export const annotateCommand: Command = {
  name: "annotate",
  summary: "Add annotations to a Kubernetes manifest",
  help: `Add annotations to a Kubernetes manifest (a file, a folder, a URL, or - for standard input) and print it.

Usage:
  outrigger annotate -k [flags] FILE | kubectl apply -f -

Flags:
${flagsHelp(flags)}
`,
  run,
};

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(annotateCommand.help);
    return 0;
  }
  needKubernetes(given, "annotate");
  const [source, ...more] = given.rest;
  if (source === undefined || more.length > 0) throw new UsageError("name one manifest: a file, a folder, a URL, or - for standard input");
  const texts = await readSource(source, around.cwd);
  const results = texts.map(({ name, text }) => annotateText(name, text, requestOf(given)));
  const annotated = results.flatMap((result) => result.names);
  if (annotated.length === 0)
    throw new UsageError(`nothing in ${source} makes pods${given.string("resource") ? ", or has that name" : ""}`);
  for (const warning of results.flatMap((result) => result.warnings)) around.error(statusLine("warn", warning, false));
  around.out(results.map(({ text }) => text).join("---\n"));
  return 0;
}

function annotateText(name: string, text: string, request: AnnotateRequest): ReturnType<typeof annotateManifest> {
  try {
    return annotateManifest(text, request);
  } catch (error) {
    throw new UsageError(`${name} is no YAML: ${messageOf(error)}`);
  }
}

function requestOf(given: Flags): AnnotateRequest {
  const resource = given.string("resource") ?? null;
  const namespace = given.string("namespace") ?? null;
  if (namespace !== null && resource === null) throw new UsageError("--namespace needs --resource");
  const values = [...names.map((name) => [name, name] as const), ...Object.entries(daprNames)].flatMap(([flag, annotation]) => {
    const value = isBoolean(annotation) ? given.boolean(flag) : given.string(flag);
    return value === undefined ? [] : [[annotation, String(value)] as const];
  });
  return { annotations: Object.fromEntries(values), resource, namespace };
}

/** Annotations that are true or false are flags that need no value. */
function isBoolean(name: string): boolean {
  const row = annotationRows[name as keyof typeof annotationRows];
  return typeof row.default === "boolean" || name === "enable-api-logging" || name === "enable-native-sidecar";
}

interface Source {
  readonly name: string;
  readonly text: string;
}

async function readSource(source: string, cwd: string): Promise<readonly Source[]> {
  try {
    if (source === "-") return [{ name: "standard input", text: readFileSync(0, "utf8") }];
    if (/^https?:\/\//.test(source)) return [{ name: source, text: await download(source) }];
    const path = resolve(cwd, source);
    const files = statSync(path).isDirectory() ? manifestsOf(path) : [path];
    return files.map((file) => ({ name: file, text: readFileSync(file, "utf8") }));
  } catch (error) {
    throw new UsageError(`cannot read ${source}: ${messageOf(error)}`);
  }
}

function manifestsOf(folder: string): readonly string[] {
  const found = readdirSync(folder).filter((name) => [".yaml", ".yml", ".json"].includes(extname(name)));
  return found.toSorted().map((name) => join(folder, name));
}

const downloadMaxMs = 30_000;

async function download(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(downloadMaxMs) });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.text();
}
