// Copies crds/ into the chart: helm installs what lies in its own crds folder the first time, and follows no links. The webhook
// of Subscriptions gets the namespace that most installations have: Helm 4 applies CRDs that are there already, and would be in
// conflict with the operator, which writes the true one.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");

/** What the chart has for a definition of crds/. */
export function chartCrd(text: string): string {
  return text.replace(/namespace: replaceme$/m, "namespace: dapr-system");
}

function copy(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  const names = readdirSync(from).filter((name) => name.endsWith(".yaml"));
  for (const old of readdirSync(to)) if (!names.includes(old)) rmSync(join(to, old));
  for (const name of names) writeFileSync(join(to, name), chartCrd(readFileSync(join(from, name), "utf8")));
  process.stdout.write(`${names.length} CRDs are in ${to}\n`);
}

if (import.meta.main) copy(join(root, "crds"), join(root, "charts/outrigger/crds"));
