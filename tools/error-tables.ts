// Finds every error table of the sources: each exported constant that satisfies Record<string, ErrorRow>. Its section in
// docs/reference/errors.md is its name without `Errors`.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ErrorRow } from "../lib/kit/errors.ts";
import { sourceFiles } from "./source-files.ts";

const root = join(import.meta.dirname, "..");

export interface ErrorTable {
  readonly section: string;
  /** Path from the root of the project. */
  readonly file: string;
  readonly rows: Readonly<Record<string, ErrorRow>>;
}

const declaration = /^export const (\w+)Errors = \{/gm;

export async function errorTables(): Promise<readonly ErrorTable[]> {
  const tables: ErrorTable[] = [];
  for (const file of sourceFiles()) {
    const text = readFileSync(join(root, file), "utf8");
    if (file.endsWith(".test.ts") || !text.includes("satisfies Record<string, ErrorRow>")) continue;
    const module = (await import(join(root, file))) as Record<string, Readonly<Record<string, ErrorRow>>>;
    for (const [, section] of text.matchAll(declaration))
      tables.push({ section: `${section}`, file, rows: module[`${section}Errors`] ?? {} });
  }
  return tables;
}
