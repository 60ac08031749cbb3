// What a subject has used, from /proc: CPU time and resident memory of a process with its children and all their threads.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { statFields } from "../cli/process/proc.ts";

let ticksPerSecond: number | null = null;

/** User and system time of `pids` and their descendants, in microseconds. The kernel counts in ticks (10 ms on Linux). */
export function cpuMicros(pids: readonly number[]): number {
  ticksPerSecond ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  let ticks = 0;
  for (const pid of family(pids)) {
    const fields = statFields(readFileSync(`/proc/${pid}/stat`, "utf8"));
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return (ticks / ticksPerSecond) * 1e6;
}

/** Resident set of `pids` and their descendants, in MiB. */
export function residentMb(pids: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of family(pids)) kilobytes += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  return kilobytes / 1024;
}

function family(pids: readonly number[]): number[] {
  return pids.flatMap((pid) => {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
    return [pid, ...family(children)];
  });
}
