// All running instances of this machine that we can see: our own runs from their state files, everyone else's sidecars from the
// process list. A sidecar that both name is listed once.
import { processes, startToken } from "../process/proc.ts";
import { callSidecar, type SidecarAddress } from "../run/sidecar-client.ts";
import { ageText, createdText, type Instance } from "./instance.ts";
import { type RunApp, readRunStates } from "./registry.ts";
import { type FoundSidecar, findSidecars } from "./scan.ts";

export interface FoundInstance extends Instance {
  /** True when one of our own CLI processes supervises it. */
  readonly ours: boolean;
}

/** Sorted by app id. `token` is the API token that foreign sidecars may ask for. */
export async function findInstances(folder: string, now: Date, token: string | null): Promise<FoundInstance[]> {
  const own = readRunStates(folder).flatMap((run) => run.apps.map((app) => fromState(app, run.cliPid, now)));
  const known = new Set(own.map((instance) => instance.daprdPid));
  const others = findSidecars(processes()).filter((sidecar) => !known.has(sidecar.pid));
  const foreign = await Promise.all(others.map((sidecar) => fromProcess(sidecar, now, token)));
  return [...own, ...foreign].sort((a, b) => (a.appId < b.appId ? -1 : a.appId > b.appId ? 1 : a.daprdPid - b.daprdPid));
}

function fromState(app: RunApp, cliPid: number, now: Date): FoundInstance {
  const { createdAt, daprdStart: _, ...rest } = app;
  return { ...rest, age: ageText(now.getTime() - createdAt), created: createdText(new Date(createdAt)), cliPid, ours: true };
}

async function fromProcess(sidecar: FoundSidecar, now: Date, token: string | null): Promise<FoundInstance> {
  const { pid, ...ports } = sidecar;
  const extended = await extendedMetadata({ socketPath: null, host: "127.0.0.1", port: sidecar.httpPort, token });
  const text = (key: string) => (typeof extended[key] === "string" ? (extended[key] as string) : "");
  const createdAt = startedAt(pid) ?? now.getTime();
  return {
    ...ports,
    command: text("appCommand"),
    age: ageText(now.getTime() - createdAt),
    created: createdText(new Date(createdAt)),
    daprdPid: pid,
    cliPid: Number(text("cliPID")) || 0,
    appPid: Number(text("appPID")) || 0,
    runTemplatePath: text("runTemplatePath"),
    appLogPath: text("appLogPath"),
    daprdLogPath: text("daprdLogPath"),
    runTemplateName: text("runTemplateName"),
    ours: false,
  };
}

/** Start time from the ticks since boot in /proc; null where there is no /proc. Linux counts 100 ticks a second for user space. */
function startedAt(pid: number): number | null {
  const ticks = process.platform === "linux" ? startToken(pid) : null;
  if (ticks === null) return null;
  const bootedAt = Date.now() - performanceSinceBoot();
  return bootedAt + Number(ticks) * 10;
}

function performanceSinceBoot(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

async function extendedMetadata(address: SidecarAddress): Promise<Record<string, unknown>> {
  const reply = await callSidecar(address, "GET", "/v1.0/metadata", null).catch(() => null);
  if (reply?.status !== 200) return {};
  try {
    const metadata = JSON.parse(reply.body) as { extended?: unknown };
    return typeof metadata.extended === "object" && metadata.extended !== null ? (metadata.extended as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
