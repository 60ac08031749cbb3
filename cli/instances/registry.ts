// State files of this user's runs, one per CLI process. A pid alone says little (the kernel gives it out again), so each pid
// stands with its start time, and an entry whose process is gone is removed by whoever sees it: no stale entries.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startToken } from "../process/proc.ts";
import type { Instance } from "./instance.ts";

export interface RunApp extends Omit<Instance, "age" | "created" | "cliPid"> {
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly daprdStart: string | null;
}

export interface RunState {
  readonly cliPid: number;
  readonly cliStart: string | null;
  readonly apps: readonly RunApp[];
}

/** Writes the state of one run, whole or not at all. */
export function writeRunState(folder: string, state: RunState): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = statePath(folder, state.cliPid);
  writeFileSync(`${path}.tmp`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

export function removeRunState(folder: string, cliPid: number): void {
  rmSync(statePath(folder, cliPid), { force: true });
}

/** The runs that are alive, with those of their apps whose sidecar is alive; files of dead runs are removed. */
export function readRunStates(folder: string, tokenOf: (pid: number) => string | null = startToken): RunState[] {
  const alive: RunState[] = [];
  for (const file of listFolder(folder)) {
    const state = readState(join(folder, file));
    if (state === null || tokenOf(state.cliPid) === null || tokenOf(state.cliPid) !== state.cliStart) {
      rmSync(join(folder, file), { force: true });
      continue;
    }
    alive.push({ ...state, apps: state.apps.filter((app) => tokenOf(app.daprdPid) !== null && tokenOf(app.daprdPid) === app.daprdStart) });
  }
  return alive;
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder).filter((file) => /^\d+\.json$/.test(file));
  } catch {
    return [];
  }
}

function readState(path: string): RunState | null {
  try {
    const state = JSON.parse(readFileSync(path, "utf8")) as RunState;
    return Number.isInteger(state.cliPid) && Array.isArray(state.apps) ? state : null;
  } catch {
    return null;
  }
}

function statePath(folder: string, cliPid: number): string {
  return join(folder, `${cliPid}.json`);
}
