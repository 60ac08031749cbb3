// Resource files on the disk.
import { readdir, readFile, stat } from "node:fs/promises";
import type { ResourceFiles } from "./ports.ts";

export const diskFiles: ResourceFiles = {
  async list(directory) {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.map((entry) => ({ name: entry.name, directory: entry.isDirectory() }));
  },
  async read(path, maxBytes) {
    const { size } = await stat(path);
    if (size > maxBytes) throw new Error(`the file has ${size} bytes, the limit is ${maxBytes}; split it`);
    return await readFile(path, "utf8");
  },
};

/** Node's error in Go's words for the common cases, e.g. `open /x: no such file or directory`. */
export function fileErrorText(operation: string, path: string, error: unknown): string {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? "";
  return `${operation} ${path}: ${words.get(code) ?? (error instanceof Error ? error.message : String(error))}`;
}

const words: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "no such file or directory"],
  ["EACCES", "permission denied"],
  ["ENOTDIR", "not a directory"],
  ["EISDIR", "is a directory"],
]);
