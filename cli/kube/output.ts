// How lists of a cluster's objects are shown: a table as Dapr's CLI prints it, JSON or YAML.
import { dump } from "js-yaml";
import type { KubeObject } from "../../lib/kube/object.ts";
import { type FlagSpec, type Flags, UsageError } from "../flags.ts";
import { ageText, createdText } from "../instances/instance.ts";

export const outputFlag: FlagSpec = { name: "output", short: "o", kind: "string", help: "list, json or yaml (default list)" };

export type OutputFormat = "list" | "json" | "yaml";

export function outputFormat(given: Flags): OutputFormat {
  const format = given.string("output") ?? "list";
  if (format === "table") return "list";
  if (format !== "list" && format !== "json" && format !== "yaml") {
    throw new UsageError(`an invalid output format "${format}": use list, json or yaml`);
  }
  return format;
}

export type Row = Readonly<Record<string, string>>;

/** Columns in the order of `titles`; header first. */
export function table(titles: readonly string[], rows: readonly Row[]): string {
  const all = [titles, ...rows.map((row) => titles.map((title) => row[title] ?? ""))];
  const widths = titles.map((_, column) => Math.max(...all.map((row) => (row[column] as string).length)));
  const line = (row: readonly string[]) => row.map((text, column) => text.padEnd(widths[column] as number)).join("  ");
  return `${all.map((row) => line(row).trimEnd()).join("\n")}\n`;
}

/** `value` is what json and yaml print. */
export function formatted(format: "json" | "yaml", value: unknown): string {
  return format === "json" ? `${JSON.stringify(value, null, 2)}\n` : dump(value, { lineWidth: -1 });
}

/** AGE and CREATED of an object. */
export function times(object: KubeObject, now: number): { readonly age: string; readonly created: string } {
  const created = Date.parse(object.metadata.creationTimestamp ?? "");
  if (Number.isNaN(created)) return { age: "", created: "" };
  return { age: ageText(now - created), created: createdText(new Date(created)) };
}
