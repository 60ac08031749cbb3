// The shared libraries that a program links, the loader among them, as this machine's own loader finds them. Each keeps its
// path, which is where the loader in the image will look for it.
import { execFileSync } from "node:child_process";
import { realpathSync } from "node:fs";

export interface SharedLibrary {
  /** Where the loader looks. */
  readonly path: string;
  /** The file behind it. */
  readonly file: string;
}

/** Throws when one is missing, or the program is not linked like that. */
export function sharedLibraries(program: string): readonly SharedLibrary[] {
  const found = parseLdd(execFileSync("ldd", [program], { encoding: "utf8" }));
  if (found.missing.length > 0) throw new Error(`${program} links ${found.missing.join(", ")}, which this machine does not have`);
  return found.paths.map((path) => ({ path, file: realpathSync(path) }));
}

/** What `ldd` prints, but for the part of the kernel that has no file. */
export function parseLdd(text: string): { readonly paths: readonly string[]; readonly missing: readonly string[] } {
  const paths: string[] = [];
  const missing: string[] = [];
  for (const line of text.split("\n")) {
    const [, name = "", path = ""] = /^\s*(\S+)(?: => (.*?))?(?: \(0x[0-9a-f]+\))?$/.exec(line) ?? [];
    if (path === "not found") missing.push(name);
    else if (path.startsWith("/")) paths.push(path);
    else if (name.startsWith("/")) paths.push(name);
  }
  return { paths: [...new Set(paths)].sort(), missing };
}
