// Holds the layers: every import of our own files goes to a strictly smaller layer or stays in its room. A canary violation
// must be found first, since a checker that parses nothing passes everything. Run by `make check`.
import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, normalize } from "node:path";
import { parseSync } from "@swc/core";
import { layers, roomOf } from "./layers.ts";
import { sourceFiles } from "./source-files.ts";

export interface Violation {
  readonly from: string;
  readonly to: string;
  readonly why: string;
}

/** What `file` with this source may not import. */
export function violationsOf(file: string, source: string): Violation[] {
  const room = roomOf(file);
  if (room === null) return [{ from: file, to: "", why: "is in no room of tools/layers.ts: give its folder a layer" }];
  const found: Violation[] = [];
  for (const specifier of importsOf(source)) {
    if (room === "lib/kit" && isBuiltin(specifier) && !file.endsWith(".test.ts")) {
      found.push({ from: file, to: specifier, why: "lib/kit is pure: no node: import" });
    }
    if (!specifier.startsWith(".")) continue;
    const to = normalize(join(file, "..", specifier));
    const target = roomOf(to);
    // package.json and data files belong to nobody.
    if (target === null || target === room) continue;
    const [own, other] = [layers[room] as number, layers[target] as number];
    if (other >= own) found.push({ from: file, to, why: `layer ${own} (${room}) may not import layer ${other} (${target})` });
  }
  return found;
}

/** Specifiers of static imports, re-exports and import() calls, types included. */
function importsOf(source: string): string[] {
  const specifiers: string[] = [];
  collect(parseSync(source, { syntax: "typescript", target: "esnext" }), specifiers);
  return specifiers;
}

const importing = new Set(["ImportDeclaration", "ExportNamedDeclaration", "ExportAllDeclaration"]);

function collect(node: unknown, into: string[]): void {
  if (Array.isArray(node)) {
    for (const child of node) collect(child, into);
    return;
  }
  if (typeof node !== "object" || node === null) return;
  const {
    type,
    source,
    callee,
    arguments: args,
  } = node as {
    type?: string;
    source?: { value?: unknown } | null;
    callee?: { type?: string };
    arguments?: { expression?: { value?: unknown } }[];
  };
  if (type !== undefined && importing.has(type) && typeof source?.value === "string") into.push(source.value);
  const argument = callee?.type === "Import" ? args?.[0]?.expression?.value : undefined;
  if (typeof argument === "string") into.push(argument);
  for (const child of Object.values(node)) collect(child, into);
}

const canary = 'const seen = await import("../../tools/layers.ts");\nimport type { Layer } from "../../cli/main.ts";\n';

if (import.meta.main) {
  if (violationsOf("lib/kit/canary.ts", canary).length !== 2) {
    process.stderr.write("check-layers: the canary violations were not seen; the parser finds no imports\n");
    process.exit(1);
  }
  const found = sourceFiles().flatMap((file) => violationsOf(file, readFileSync(file, "utf8")));
  for (const { from, to, why } of found) process.stderr.write(`${from} → ${to}: ${why}\n`);
  process.exit(found.length > 0 ? 1 : 0);
}
