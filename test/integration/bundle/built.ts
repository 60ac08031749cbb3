// What was built, as esbuild tells it in dist/meta.json, and copies of it elsewhere.
import { chmodSync, constants, copyFileSync, cpSync, mkdirSync, readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { daprdPath } from "../../harness/daprd.ts";
import type { Folder } from "../../harness/folder.ts";

/** The checkout whose launchers the tests start. */
export const root = dirname(dirname(realpathSync(daprdPath)));

interface Output {
  readonly entryPoint?: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}

/** File name in dist/ to what esbuild knows of it. */
export function outputs(): ReadonlyMap<string, Output> {
  const meta = JSON.parse(readFileSync(join(root, "dist/meta.json"), "utf8")) as { outputs: Record<string, Output> };
  return new Map(Object.entries(meta.outputs).map(([path, output]) => [basename(path), output]));
}

/** Drivers by file name: the chunks whose entry is a file of components/<kind>/. */
export function driverChunks(): ReadonlyMap<string, string> {
  const drivers = new Map<string, string>();
  for (const [name, { entryPoint }] of outputs()) {
    if (entryPoint !== undefined && /^components\/(?!shared\/)[^/]+\//.test(entryPoint)) drivers.set(name, entryPoint);
  }
  return drivers;
}

/** dist/ alone, so nothing that was not bundled can be found. Answers its path. */
export function copyDist(folder: Folder): string {
  cpSync(join(root, "dist"), folder.file("dist"), { recursive: true, filter: (path) => !path.includes(".compile-cache") });
  return folder.file("dist");
}

/** A checkout as far as launchers need one, readable by everybody and writable by nobody. Answers its path. */
export function copyCheckout(folder: Folder): string {
  const checkout = folder.file("checkout");
  cpSync(join(root, "bin"), join(checkout, "bin"), { recursive: true, verbatimSymlinks: true });
  cpSync(join(root, "dist"), join(checkout, "dist"), { recursive: true });
  const node = join(checkout, "node_modules", `node-${process.platform}-${process.arch}`, "bin/node");
  mkdirSync(dirname(node), { recursive: true });
  copyFileSync(process.execPath, node, constants.COPYFILE_FICLONE);
  chmodSync(node, 0o755);
  chmodSync(folder.path, 0o755);
  return checkout;
}
