// The user's folder, `~/.outrigger` unless OUTRIGGER_HOME, --runtime-path or DAPR_RUNTIME_PATH says otherwise: the embedded defaults
// that every run without its own resources gets, and the list of running instances. One folder per user and not one per project,
// because the name registry in it is how several runs on one machine find each other. Files that exist are never overwritten: they are the
// user's to edit, and deleting one brings its default back.
import { linkSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { dump } from "js-yaml";
import type { Defaults } from "./plan.ts";

export interface Home extends Defaults {
  readonly root: string;
  /** State files of running instances. */
  readonly instances: string;
  /** The certificate authority of runs with --enable-mtls; made by the first. */
  readonly certificates: string;
}

/** Where the home is; nothing is created. */
export function homeAt(env: Readonly<Record<string, string | undefined>>, runtimePath: string | undefined): Home {
  const parent = runtimePath ?? env.DAPR_RUNTIME_PATH;
  const root = env.OUTRIGGER_HOME || join(parent || homedir(), ".outrigger");
  return {
    root,
    resourcesPath: join(root, "resources"),
    configFile: join(root, "config.yaml"),
    instances: join(root, "run"),
    certificates: join(root, "certs"),
  };
}

/** Creates what is missing; safe when several runs do it at once. */
export function prepareHome(home: Home): void {
  for (const folder of [home.root, home.resourcesPath, home.instances]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const data = (file: string) => join(home.root, file);
  create(data("secrets.json"), "{}\n");
  create(join(home.resourcesPath, "statestore.yaml"), statestore(data("state.sqlite")));
  create(join(home.resourcesPath, "pubsub.yaml"), component("pubsub", "pubsub.sqlite", { connectionString: data("pubsub.sqlite") }));
  create(
    join(home.resourcesPath, "secretstore.yaml"),
    component("secretstore", "secretstores.local.file", { secretsFile: data("secrets.json") }),
  );
  create(home.configFile, configuration(data("names.sqlite")));
}

const statestore = (path: string) => component("statestore", "state.sqlite", { connectionString: path, actorStateStore: "true" });

function component(name: string, type: string, metadata: Readonly<Record<string, string>>): string {
  const entries = Object.entries(metadata).map(([key, value]) => ({ name: key, value }));
  return dump({ apiVersion: "dapr.io/v1alpha1", kind: "Component", metadata: { name }, spec: { type, version: "v1", metadata: entries } });
}

function configuration(registry: string): string {
  const nameResolution = { component: "sqlite", version: "v1", configuration: { connectionString: registry } };
  return dump({ apiVersion: "dapr.io/v1alpha1", kind: "Configuration", metadata: { name: "outrigger" }, spec: { nameResolution } });
}

/** Writes a file that does not exist yet, whole or not at all. */
function create(path: string, text: string): void {
  const draft = `${path}.${process.pid}.tmp`;
  writeFileSync(draft, text, { mode: 0o600 });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}
