// Run templates (`dapr.yaml`, version 1) as Dapr's CLI reads them: `common` gives what an app leaves out; paths in `common` are
// relative to the template, paths of an app to its appDirPath; an app's `.dapr/resources` and `.dapr/config.yaml` come before
// those of `common`. All problems are reported together. https://docs.dapr.io/developing-applications/local-development/multi-app-dapr-run
import { basename, dirname, resolve } from "node:path";
import { load } from "js-yaml";
import { type AppPlan, type LogDestination, logDestinations, type PortName, portNames } from "./plan.ts";
import { settings } from "./settings.ts";

export interface Template {
  /** Shown by `list`; the folder's name when the template has none. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  readonly plans: readonly AppPlan[];
  readonly warnings: readonly string[];
}

/** The template cannot be used; `problems` names each field. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  readonly problems: readonly string[];

  constructor(path: string, problems: readonly string[]) {
    super(`${path} cannot be run:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

type Yaml = Readonly<Record<string, unknown>>;
/** Answers whether a file or folder is there: the only thing reading a template needs of the disk. */
export type Exists = (path: string) => boolean;

const portFields: Readonly<Record<PortName, string>> = {
  http: "daprHTTPPort",
  grpc: "daprGRPCPort",
  internalGrpc: "daprInternalGRPCPort",
  metrics: "metricsPort",
  profile: "profilePort",
};
const ownFields = [
  "appID",
  "appDirPath",
  "appPort",
  "command",
  "env",
  "resourcesPath",
  "resourcesPaths",
  "componentsPath",
  "configFilePath",
];
const kubernetesFields = ["containerImage", "containerImagePullPolicy", "createService", "runtimePath"];
const knownFields = new Set([
  ...ownFields,
  ...kubernetesFields,
  ...Object.values(portFields),
  ...settings.flatMap((setting) => setting.fields),
  "appLogDestination",
  "daprdLogDestination",
]);

/** Reads the text of the template at `path`. Throws TemplateError with everything that is wrong. */
export function parseTemplate(path: string, text: string, exists: Exists): Template {
  const reader = new Reader(resolve(path), exists);
  const root = reader.parse(text);
  if (root !== null && root.version !== 1) reader.problem(`version is ${JSON.stringify(root.version ?? null)}: this CLI reads version: 1`);
  const common = reader.object(root?.common ?? {}, "common");
  const apps = Array.isArray(root?.apps) ? root.apps : [];
  if (apps.length === 0) reader.problem("apps is empty: list at least one app with its appDirPath");
  reader.warnUnknown(common, "common");
  const plans = apps.map((app, index) => reader.app(reader.object(app, `apps[${index}]`), common, `apps[${index}]`));
  if (reader.problems.length > 0) throw new TemplateError(path, reader.problems);
  const name = typeof root?.name === "string" && root.name !== "" ? root.name : basename(dirname(resolve(path)));
  return { name, path: resolve(path), plans, warnings: reader.warnings };
}

class Reader {
  readonly problems: string[] = [];
  readonly warnings: string[] = [];
  readonly #path: string;
  readonly #base: string;
  readonly #exists: Exists;

  constructor(path: string, exists: Exists) {
    this.#path = path;
    this.#base = dirname(path);
    this.#exists = exists;
  }

  problem(text: string): void {
    this.problems.push(text);
  }

  parse(text: string): Yaml | null {
    try {
      return this.object(load(text), "the file");
    } catch (error) {
      throw new TemplateError(this.#path, [`not YAML: ${(error as Error).message}`]);
    }
  }

  object(value: unknown, where: string): Yaml {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Yaml;
    this.problem(`${where} must be a mapping of fields`);
    return {};
  }

  warnUnknown(fields: Yaml, where: string): void {
    for (const field of Object.keys(fields))
      if (!knownFields.has(field)) this.warnings.push(`${where}.${field} is not known and was ignored`);
  }

  app(app: Yaml, common: Yaml, where: string): AppPlan {
    this.warnUnknown(app, where);
    const workDir = this.#workDir(app, where);
    const appId = this.#text(app.appID, `${where}.appID`) || basename(workDir);
    return {
      appId,
      workDir,
      command: this.#command(app.command, `${where}.command`),
      env: { ...this.#env(common.env, "common.env"), ...this.#env(app.env, `${where}.env`) },
      appPort: this.#port(app.appPort ?? common.appPort, `${where}.appPort`),
      ports: Object.fromEntries(
        portNames.map((name) => [name, this.#port(app[portFields[name]], `${where}.${portFields[name]}`)]),
      ) as AppPlan["ports"],
      resourcesPaths: this.#resources(app, common, workDir, where),
      configFiles: this.#config(app, common, workDir, where),
      settings: this.#settings(app, common, where),
      appLog: this.#destination(app.appLogDestination ?? common.appLogDestination, "fileAndConsole", `${where}.appLogDestination`),
      sidecarLog: this.#destination(app.daprdLogDestination ?? common.daprdLogDestination, "file", `${where}.daprdLogDestination`),
    };
  }

  #workDir(app: Yaml, where: string): string {
    const given = this.#text(app.appDirPath, `${where}.appDirPath`);
    if (given === "") this.problem(`${where}.appDirPath is missing: name the app's folder`);
    return this.#existing(this.#base, given || ".", `${where}.appDirPath`);
  }

  #existing(base: string, path: string, where: string): string {
    const full = resolve(base, path);
    if (!this.#exists(full)) this.problem(`${where}: ${full} does not exist`);
    return full;
  }

  #resources(app: Yaml, common: Yaml, workDir: string, where: string): string[] | null {
    const own = this.#paths(app, workDir, where);
    if (own.length > 0) return own;
    const beside = resolve(workDir, ".dapr/resources");
    if (this.#exists(beside)) return [beside];
    const shared = this.#paths(common, this.#base, "common");
    return shared.length > 0 ? shared : null;
  }

  #paths(fields: Yaml, base: string, where: string): string[] {
    const one = fields.resourcesPath ?? fields.componentsPath;
    const many = Array.isArray(fields.resourcesPaths) ? fields.resourcesPaths : [];
    const all = many.length > 0 ? many : one === undefined || one === null || one === "" ? [] : [one];
    return all.map((path, index) => this.#existing(base, this.#text(path, `${where}.resourcesPaths[${index}]`), `${where}.resourcesPaths`));
  }

  #config(app: Yaml, common: Yaml, workDir: string, where: string): string[] {
    const own = this.#text(app.configFilePath, `${where}.configFilePath`);
    if (own !== "") return [this.#existing(workDir, own, `${where}.configFilePath`)];
    const beside = resolve(workDir, ".dapr/config.yaml");
    if (this.#exists(beside)) return [beside];
    const shared = this.#text(common.configFilePath, "common.configFilePath");
    return shared === "" ? [] : [this.#existing(this.#base, shared, "common.configFilePath")];
  }

  #settings(app: Yaml, common: Yaml, where: string): Record<string, string> {
    const values: Record<string, string> = Object.create(null);
    for (const setting of settings) {
      const field = setting.fields.find((name) => isSet(app[name])) ?? setting.fields.find((name) => isSet(common[name]));
      if (field === undefined) continue;
      const value = isSet(app[field]) ? app[field] : common[field];
      values[setting.name] = this.#scalar(value, `${where}.${field}`);
    }
    return values;
  }

  #command(value: unknown, where: string): string[] {
    if (!isSet(value)) return [];
    if (Array.isArray(value)) return value.map((word, index) => this.#scalar(word, `${where}[${index}]`));
    this.problem(`${where} must be a list of words, e.g. ["node", "app.js"]`);
    return [];
  }

  #env(value: unknown, where: string): Record<string, string> {
    if (!isSet(value)) return {};
    const env = this.object(value, where);
    return Object.fromEntries(
      Object.entries(env).map(([name, text]) => [name, text === null ? "" : this.#scalar(text, `${where}.${name}`)]),
    );
  }

  #port(value: unknown, where: string): number | null {
    if (!isSet(value) || value === -1 || value === 0) return null;
    if (typeof value === "number" && Number.isInteger(value)) return value;
    this.problem(`${where} must be a port number`);
    return null;
  }

  #destination(value: unknown, fallback: LogDestination, where: string): LogDestination {
    if (!isSet(value)) return fallback;
    const found = logDestinations.find((name) => name === value);
    if (found === undefined) this.problem(`${where} must be one of ${logDestinations.join(", ")}`);
    return found ?? fallback;
  }

  #text(value: unknown, where: string): string {
    return isSet(value) ? this.#scalar(value, where) : "";
  }

  #scalar(value: unknown, where: string): string {
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
    this.problem(`${where} must be text`);
    return "";
  }
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== "";
}
