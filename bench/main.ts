// `make bench`: runs every cell several times, interleaved (work by work, subject by subject, then all again), so that a slow moment of the
// machine meets all subjects alike, and prints the medians; the same goes to build/bench.json. Settings by environment:
//   BENCH_AGAINST=PATH   another daprd as subject `against`
//   BENCH_AGAINST_SENTRY=PATH  the sentry of its mesh, and a subject too; without, ours signs for it
//   BENCH_QUICK=1        one short run for each cell
//   BENCH_ONLY=a,b       only these works
//   BENCH_RESOLVER=NAME  name resolution of both daprd subjects instead of their default (mdns), e.g. sqlite
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Cell, type Durations, requestCell } from "./cells.ts";
import { budgetLines, mergeSamples, type Row, resultTable, type Sample, withRatio } from "./result.ts";
import { type Contender, cellsOf } from "./stands.ts";
import { Workshop } from "./subjects.ts";
import { nginxWork } from "./works.ts";

const env = process.env;
const quick = env.BENCH_QUICK === "1";
const rounds = quick ? 1 : 5;
const durations: Durations = quick
  ? { warm: 1, warmSlicesMax: 1, settle: 1, settleSlicesMax: 1, saturated: 1, open: 1, idle: 1 }
  : { warm: 3, warmSlicesMax: 10, settle: 2, settleSlicesMax: 4, saturated: 3, open: 3, idle: 3 };
const only = (env.BENCH_ONLY ?? "").split(",").filter((name) => name !== "");
const root = fileURLToPath(new URL("..", import.meta.url));
const ourSentry = env.OUTRIGGER_SENTRY || join(root, "bin/sentry");
const contenders: readonly Contender[] = [
  {
    name: "outrigger",
    daprd: env.OUTRIGGER_DAPRD || join(root, "bin/daprd"),
    sentry: ourSentry,
    ownSentry: true,
    injector: join(root, "bin/injector"),
  },
  ...(env.BENCH_AGAINST ? [againstOf(env.BENCH_AGAINST, env.BENCH_AGAINST_SENTRY || null)] : []),
];

function againstOf(daprd: string, sentry: string | null): Contender {
  return { name: "against", daprd, sentry: sentry ?? ourSentry, ownSentry: sentry !== null, injector: null };
}

/** All cells, ordered by work and then by subject. nginx's own is the unit of the others, so it always runs. */
async function allCells(workshop: Workshop): Promise<Cell[]> {
  const httpApp = await workshop.startApp();
  const cells = [requestCell(nginxWork, await workshop.startNginx(httpApp.port), durations, workshop.folder)];
  const isWanted = (work: string) => only.length === 0 || only.includes(work);
  for (const contender of contenders) cells.push(...(await cellsOf(contender, { workshop, durations, isWanted, httpApp })));
  const works = [...new Set(cells.map(({ work }) => work))];
  return cells.toSorted((a, b) => works.indexOf(a.work) - works.indexOf(b.work));
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
    const { rows, failed } = await measure(await allCells(workshop));
    mkdirSync(join(root, "build"), { recursive: true });
    writeFileSync(join(root, "build/bench.json"), `${JSON.stringify(rows, null, 2)}\n`);
    process.stdout.write(`${resultTable(rows)}\n${budgetLines(rows).join("")}`);
    if (failed) process.exitCode = 1;
  } finally {
    await workshop.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
