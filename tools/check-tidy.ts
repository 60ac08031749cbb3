// The size ratchet (design rule 1): a file has at most 400 lines, a function at most 70. Run by `make check`.
import { readFileSync } from "node:fs";
import { parseSync } from "@swc/core";
import { sourceFiles } from "./source-files.ts";

const fileMaxLines = 400;
const functionMaxLines = 70;
/** Bodies of describe() and test() are lists of cases, not functions to hold in one's head. */
const isTest = (file: string) => file.endsWith(".test.ts") || file.startsWith("test/") || file.includes("conformance");

export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly problem: string;
}

export function inspect(file: string, source: string): Finding[] {
  const findings: Finding[] = [];
  const lines = source.split("\n").length;
  if (lines > fileMaxLines + 1) findings.push({ file, line: 1, problem: `${lines} lines, at most ${fileMaxLines}: split it by idea` });
  if (isTest(file)) return findings;
  // swc's spans are byte offsets that go on counting from file to file.
  const program = parseSync(source, { syntax: "typescript", target: "esnext" });
  const bytes = Buffer.from(source);
  const start = program.span.start - leadingBytes(source);
  const lineAt = (offset: number) => {
    let line = 1;
    for (let index = 0; index < Math.min(offset - start, bytes.length); index++) if (bytes[index] === 10) line++;
    return line;
  };
  visit(program, (span) => {
    const first = lineAt(span.start);
    const length = lineAt(span.end) - first + 1;
    if (length > functionMaxLines)
      findings.push({ file, line: first, problem: `a function of ${length} lines, at most ${functionMaxLines}` });
  });
  return findings;
}

/** swc's program span begins at the first token. */
function leadingBytes(source: string): number {
  const code = source.replace(/^(\s|\/\/[^\n]*\n|\/\*[\s\S]*?\*\/)*/, "");
  return Buffer.byteLength(source) - Buffer.byteLength(code);
}

const functions = new Set([
  "FunctionDeclaration",
  "FunctionExpression",
  "ArrowFunctionExpression",
  "ClassMethod",
  "PrivateMethod",
  "Constructor",
]);

function visit(node: unknown, report: (span: { readonly start: number; readonly end: number }) => void): void {
  if (Array.isArray(node)) {
    for (const child of node) visit(child, report);
    return;
  }
  if (typeof node !== "object" || node === null) return;
  const { type, span } = node as { type?: string; span?: { start: number; end: number } };
  if (type !== undefined && functions.has(type)) {
    const bodySpan = span ?? (node as { function?: { span?: { start: number; end: number } } }).function?.span;
    if (bodySpan) report(bodySpan);
  }
  for (const child of Object.values(node)) visit(child, report);
}

if (import.meta.main) {
  const findings = sourceFiles().flatMap((file) => inspect(file, readFileSync(file, "utf8")));
  for (const { file, line, problem } of findings) process.stderr.write(`${file}:${line}: ${problem}\n`);
  process.exit(findings.length > 0 ? 1 : 0);
}
