// Programs that tests of Kubernetes need and that no npm package brings: helm, kubectl. They come from HELM and KUBECTL, from
// PATH, or from a folder of cluster scripts that OUTRIGGER_CLUSTER names.
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

export type Tool = "helm" | "kubectl";

/** Folders whose scripts start a cluster on this machine, and what they have built; null without OUTRIGGER_CLUSTER. */
export interface ClusterScripts {
  /** up.sh, down.sh, load.sh, mkimage.py. */
  readonly folder: string;
  /** Of helm and kubectl. */
  readonly programs: string;
  /** There while the cluster runs. */
  readonly kubeconfig: string;
}

let scripts: ClusterScripts | null | undefined;

export function clusterScripts(): ClusterScripts | null {
  scripts ??= readScripts(process.env["OUTRIGGER_CLUSTER"] ?? "");
  return scripts;
}

/** Their own settings say where things are. */
function readScripts(folder: string): ClusterScripts | null {
  if (folder === "" || !existsSync(join(folder, "lib.sh"))) return null;
  const told = execFileSync("bash", ["-c", '. "$0/lib.sh"; printf "%s\\n" "$BIN" "$RUN"', folder], { encoding: "utf8" });
  const [programs = "", run = ""] = told.split("\n");
  return { folder, programs, kubeconfig: join(run, "kubeconfig") };
}

/** Absolute path, or null: it is not here. */
export function findTool(tool: Tool): string | null {
  const given = process.env[tool.toUpperCase()];
  if (given) return given;
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const more = clusterScripts();
  const candidates = [...folders, ...(more === null ? [] : [more.programs])].map((folder) => join(folder, tool));
  return candidates.find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * For `describe` and `test`: runs when `reason` is null, and otherwise says that and why it did not. REQUIRE_KUBERNETES=1
 * makes that a failure.
 */
export function runOnlyIf(what: string, reason: string | null): { readonly skip: string | false } {
  if (reason === null) return { skip: false };
  const line = `NOT RUN: ${what} (${reason})`;
  if (process.env["REQUIRE_KUBERNETES"] === "1") throw new Error(`${line}, and REQUIRE_KUBERNETES=1 asks for it`);
  return { skip: line };
}
