// One row of the bench: the contract of build/bench.json, which CI and the closing notes of issues read.
import { median } from "./stats.ts";
import { injectorPatch } from "./works.ts";

export interface Row {
  readonly work: string;
  readonly subject: string;
  /** Requests a second at saturation of the subject's core; null where the work is not a request. */
  readonly rps: number | null;
  /** At a fixed rate below saturation, from the moment a request was due. `start`: time to healthy. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** User and system time of the subject's processes for one request. `start`: until healthy. `idle`: for one second. */
  readonly cpuMicros: number | null;
  /** cpuMicros in units of what nginx takes to proxy one request to the same app in the same bench. */
  readonly nginxRatio: number | null;
  /** Resident set of the subject's processes, after the work. */
  readonly residentMb: number | null;
}

/** What one run of one cell measured. */
export type Sample = Omit<Row, "work" | "subject" | "nginxRatio">;

/** The medians of a cell's runs, number by number. */
export function mergeSamples(samples: readonly Sample[]): Sample {
  const middle = (pick: (sample: Sample) => number | null, digits: number) => {
    const values = samples.map(pick).filter((value): value is number => value !== null && !Number.isNaN(value));
    return values.length === 0 ? null : Number(median(values).toFixed(digits));
  };
  return {
    rps: middle((sample) => sample.rps, 0),
    p50Ms: middle((sample) => sample.p50Ms, 3),
    p99Ms: middle((sample) => sample.p99Ms, 3),
    cpuMicros: middle((sample) => sample.cpuMicros, 1),
    residentMb: middle((sample) => sample.residentMb, 1),
  };
}

/** Adds nginxRatio to request rows; `unit` is nginx's CPU time per request, null when it was not measured. */
export function withRatio(work: string, subject: string, sample: Sample, unit: number | null): Row {
  const ratio = sample.rps === null || sample.cpuMicros === null || unit === null ? null : Number((sample.cpuMicros / unit).toFixed(2));
  const { rps, p50Ms, p99Ms, cpuMicros, residentMb } = sample;
  return { work, subject, rps, p50Ms, p99Ms, cpuMicros, nginxRatio: ratio, residentMb };
}

const columns: readonly (keyof Row)[] = ["work", "subject", "rps", "p50Ms", "p99Ms", "cpuMicros", "nginxRatio", "residentMb"];

/** The table for people: columns aligned, numbers to the right, `-` for what does not apply. */
export function resultTable(rows: readonly Row[]): string {
  const cells = [columns.map(String), ...rows.map((row) => columns.map((column) => String(row[column] ?? "-")))];
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => (row[index] as string).length)));
  const pad = (text: string, index: number) => (index < 2 ? text.padEnd(widths[index] as number) : text.padStart(widths[index] as number));
  return cells.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}

/** Below the table: what the mesh costs beside plain text, and what a sentry must sign a second, each with its budget. */
export function budgetLines(rows: readonly Row[]): string[] {
  return rows.flatMap(({ work, subject, rps, p99Ms, cpuMicros }) => {
    if (work === injectorPatch.name && p99Ms !== null) {
      const { rate, p99BudgetMs } = injectorPatch;
      return [`${work} of ${subject}: p99 ${p99Ms} ms at ${rate} reviews a second (budget: at most ${p99BudgetMs})\n`];
    }
    if (work === "sentry-sign" && rps !== null) return [`${work} of ${subject}: ${rps} a second on one core (budget: at least 500)\n`];
    const plain = rows.find((row) => row.work === "http-invoke-2" && row.subject === subject)?.cpuMicros ?? null;
    if (work !== "mtls-invoke-2" || cpuMicros === null || plain === null) return [];
    return [`${work} of ${subject}: ${(cpuMicros / plain).toFixed(2)} x http-invoke-2 (budget: at most 1.25)\n`];
  });
}
