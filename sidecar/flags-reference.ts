// Writes docs/reference/flags.md from the tables in flags.ts; tools/write-flags-reference.ts prints it.
import { formatDuration } from "../lib/kit/duration.ts";
import { type DaprdFlag, daprdEnvironment, daprdFlags, type Effect } from "./flags.ts";

/** The whole page, Markdown. */
export function flagsReference(): string {
  const flags = daprdFlags.filter((flag) => flag.deprecated === undefined);
  const deprecated = daprdFlags.filter((flag) => flag.deprecated !== undefined);
  return `${[
    "# Flags and environment of daprd",
    "",
    "Written from `sidecar/flags.ts`; do not edit. Flags take one dash or two, `--flag=value` or `--flag value`; lists take commas and repetition.",
    "A flag that is not here ends the process with exit code 2, a bad value with 2 (wrong kind) or 1 (wrong meaning).",
    "",
    "| flag | kind | default | meaning | effect |",
    "|---|---|---|---|---|",
    ...flags.map((flag) => `| \`--${flag.name}\` | ${flag.kind} | ${defaultOf(flag)} | ${cell(flag.help)} | ${effectText(flag.effect)} |`),
    "",
    "## Deprecated flags",
    "",
    "| flag | kind | instead | effect |",
    "|---|---|---|---|",
    ...deprecated.map((flag) => `| \`--${flag.name}\` | ${flag.kind} | ${cell(flag.deprecated ?? "")} | ${effectText(flag.effect)} |`),
    "",
    "## Environment variables",
    "",
    "| variable | meaning | effect |",
    "|---|---|---|",
    ...daprdEnvironment.map((row) => `| \`${row.name}\` | ${cell(row.help)} | ${effectText(row.effect)} |`),
  ].join("\n")}\n`;
}

function defaultOf(flag: DaprdFlag): string {
  if (flag.kind === "duration") return `\`${formatDuration(flag.default)}\``;
  const text = String(flag.default);
  return text === "" ? "" : `\`${text}\``;
}

function effectText(effect: Effect): string {
  if (effect === "now") return "now";
  return effect === "never" ? "none, as in Dapr" : `accepted, effect with ${effect}`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
