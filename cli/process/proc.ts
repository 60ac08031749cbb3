// What the operating system knows of a process: its start time, which together with the pid names it for good, and its
// command line. Linux reads /proc; elsewhere `ps` answers, as the Dapr CLI does.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessInfo {
  readonly pid: number;
  readonly argv: readonly string[];
}

/** The fields of /proc/<pid>/stat after the command name, which may itself hold spaces and brackets. */
export function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** An opaque text that differs for two processes which had the same pid one after the other; null when there is none. */
export function startToken(pid: number): string | null {
  try {
    const fields = statFields(readFileSync(`/proc/${pid}/stat`, "utf8"));
    // Field 3 is the state: a zombie is gone but for its parent. Field 22 is the start time in ticks since boot.
    return fields[0] === "Z" ? null : (fields[19] ?? null);
  } catch {
    return process.platform === "linux" ? null : startTokenFromPs(pid);
  }
}

function startTokenFromPs(pid: number): string | null {
  try {
    return (
      execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim() || null
    );
  } catch {
    return null;
  }
}

/** Every process of which we may read the command line. */
export function processes(): ProcessInfo[] {
  if (process.platform !== "linux") return processesFromPs();
  const found: ProcessInfo[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const argv = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0").slice(0, -1);
      if (argv.length > 0) found.push({ pid: Number(entry), argv });
    } catch {
      // It ended while we were looking.
    }
  }
  return found;
}

function processesFromPs(): ProcessInfo[] {
  const text = execFileSync("ps", ["-axww", "-o", "pid=,args="], { encoding: "utf8", maxBuffer: 16 * 1024 * 1024 });
  return text
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words.length > 1)
    .map(([pid, ...argv]) => ({ pid: Number(pid), argv }));
}
