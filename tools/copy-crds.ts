// Copies crds/ into the chart: helm installs what lies in its own crds folder the first time, and follows no links.
import { copyFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const from = join(root, "crds");
const to = join(root, "charts/outrigger/crds");

mkdirSync(to, { recursive: true });
const names = readdirSync(from).filter((name) => name.endsWith(".yaml"));
for (const old of readdirSync(to)) if (!names.includes(old)) rmSync(join(to, old));
for (const name of names) copyFileSync(join(from, name), join(to, name));
process.stdout.write(`${names.length} CRDs are in ${to}\n`);
