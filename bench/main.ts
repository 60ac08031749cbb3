// `make bench`: runs every cell several times, interleaved (work by work, subject by subject, then all again), so that a slow moment of the
// machine meets all subjects alike, and prints the medians; the same goes to build/bench.json. Settings by environment:
//   BENCH_AGAINST=PATH   another daprd as subject `against`
//   BENCH_QUICK=1        one short run for each cell
//   BENCH_ONLY=a,b       only these works
//   BENCH_RESOLVER=NAME  name resolution of both daprd subjects instead of their default (mdns), e.g. sqlite
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Cell, type Durations, idleCell, requestCell, startCell } from "./cells.ts";
import { mergeSamples, type Row, resultTable, type Sample, withRatio } from "./result.ts";
import { type Pair, Workshop } from "./subjects.ts";
import { nginxWork, savedState, worksFor } from "./works.ts";

const env = process.env;
const quick = env.BENCH_QUICK === "1";
const rounds = quick ? 1 : 5;
const durations: Durations = quick ? { warm: 1, saturated: 1, open: 1, idle: 1 } : { warm: 3, saturated: 3, open: 3, idle: 3 };
const only = (env.BENCH_ONLY ?? "").split(",").filter((name) => name !== "");
const root = fileURLToPath(new URL("..", import.meta.url));
const binaries: readonly (readonly [string, string])[] = [
  ["outrigger", env.OUTRIGGER_DAPRD || join(root, "bin/daprd")],
  ...(env.BENCH_AGAINST ? [["against", env.BENCH_AGAINST] as const] : []),
];

/** All cells, ordered by work and then by subject. */
async function cellsOf(workshop: Workshop): Promise<Cell[]> {
  const appPort = await workshop.startApp();
  const cells = [requestCell(nginxWork, await workshop.startNginx(appPort), durations, workshop.folder)];
  for (const [name, binary] of binaries) {
    const pair = await workshop.startPair(name, binary, appPort);
    await saveState(pair);
    for (const work of worksFor(pair.ids)) {
      cells.push(requestCell(work, work.name.endsWith("-2") ? pair.both : pair.near, durations, workshop.folder));
    }
    cells.push(startCell(name, binary, workshop), idleCell(name, binary, workshop, durations));
  }
  const works = [...new Set(cells.map((cell) => cell.work))];
  return cells.filter((cell) => isWanted(cell)).toSorted((a, b) => works.indexOf(a.work) - works.indexOf(b.work));
}

/** nginx's own cell is the unit of the others, so it always runs. */
function isWanted(cell: Cell): boolean {
  return only.length === 0 || only.includes(cell.work) || cell.subject === "nginx";
}

async function saveState(pair: Pair): Promise<void> {
  const url = `http://127.0.0.1:${pair.near.httpPort}/v1.0/state/statestore`;
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(savedState) });
  if (response.status !== 204) throw new Error(`saving state for the bench: ${response.status} ${await response.text()}`);
}

async function measure(cells: readonly Cell[]): Promise<{ readonly rows: readonly Row[]; readonly failed: boolean }> {
  const samples = new Map<Cell, Sample[]>(cells.map((cell) => [cell, []]));
  const broken = new Set<Cell>();
  const attempt = async (cell: Cell, step: () => Promise<void>) => {
    if (broken.has(cell)) return;
    await step().catch((error: unknown) => {
      broken.add(cell);
      process.stderr.write(`${cell.work} of ${cell.subject} failed: ${(error as Error).message}\n`);
    });
  };
  for (const cell of cells) await attempt(cell, cell.prepare);
  for (let round = 1; round <= rounds; round++) {
    if (process.stderr.isTTY) process.stderr.write(`round ${round} of ${rounds}\n`);
    for (const cell of cells) await attempt(cell, async () => void samples.get(cell)?.push(await cell.run()));
  }
  const merged = new Map(cells.map((cell) => [cell, mergeSamples(broken.has(cell) ? [] : (samples.get(cell) as Sample[]))]));
  const unit = [...merged].find(([cell]) => cell.subject === "nginx")?.[1].cpuMicros ?? null;
  return { rows: cells.map((cell) => withRatio(cell.work, cell.subject, merged.get(cell) as Sample, unit)), failed: broken.size > 0 };
}

async function main(): Promise<void> {
  // With us go the load generators, which inherit the core.
  if (availableParallelism() > 1) execFileSync("taskset", ["-acp", "0", String(process.pid)], { stdio: "ignore" });
  const folder = mkdtempSync(join(tmpdir(), "outrigger-bench-"));
  const workshop = new Workshop(folder, env.BENCH_RESOLVER || null);
  try {
    const { rows, failed } = await measure(await cellsOf(workshop));
    mkdirSync(join(root, "build"), { recursive: true });
    writeFileSync(join(root, "build/bench.json"), `${JSON.stringify(rows, null, 2)}\n`);
    process.stdout.write(`${resultTable(rows)}\n`);
    if (failed) process.exitCode = 1;
  } finally {
    await workshop.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
