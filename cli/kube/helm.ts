// The user's helm, which installs and uninstalls the bundled chart (docs/adr/0007-init-by-helm.md).
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { Surroundings } from "../console.ts";
import { type FlagSpec, type Flags, UsageError } from "../flags.ts";

export const releaseFlag: FlagSpec = { name: "release", kind: "string", help: "Name of the Helm release (default outrigger)" };
export const defaultRelease = "outrigger";

/** Path of helm: HELM, or the first on PATH. Throws UsageError that names the way without it. */
export function findHelm(env: Surroundings["env"]): string {
  const given = env["HELM"];
  if (given) return given;
  for (const folder of (env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, "helm");
    if (folder !== "" && isExecutable(path)) return path;
  }
  throw new UsageError("there is no helm on PATH: install Helm 3.14 or later (https://helm.sh/docs/intro/install), or name it in HELM");
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Where helm finds the cluster. */
export function helmEnvironment(given: Flags, env: Surroundings["env"]): Readonly<Record<string, string | undefined>> {
  const kubeconfig = given.string("kubeconfig");
  return kubeconfig === undefined ? env : { ...env, KUBECONFIG: kubeconfig };
}

/** Runs helm on our terminal. Resolves to its exit code. */
export function runHelm(helm: string, args: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(helm, [...args], { env, stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", (error) => reject(new UsageError(`${helm} does not start: ${error.message}`)));
    child.on("exit", (code) => resolve(code ?? 1));
  });
}
