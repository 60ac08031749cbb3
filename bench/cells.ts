// The cells of the table: one work on one subject, with the way to run it once.
import { loadClient } from "./load/client.ts";
import { openLoop } from "./load/open-loop.ts";
import { saturate } from "./load/saturate.ts";
import { Ticker } from "./load/ticker.ts";
import type { Sample } from "./result.ts";
import { percentile, untilSteady } from "./stats.ts";
import type { Subject, Workshop } from "./subjects.ts";
import { cpuMicros, residentMb } from "./usage.ts";
import type { Work } from "./works.ts";

/** How long each part of a run takes, in whole seconds. */
export interface Durations {
  /** One slice of the warm-up before the first run. */
  readonly warm: number;
  readonly warmSlicesMax: number;
  /** One slice of the full load before each measured run. */
  readonly settle: number;
  readonly settleSlicesMax: number;
  readonly saturated: number;
  readonly open: number;
  readonly idle: number;
}

export interface Cell {
  readonly work: string;
  readonly subject: string;
  /** Makes sure the work succeeds and warms the subject up; once, before the first run. */
  readonly prepare: () => Promise<void>;
  readonly run: () => Promise<Sample>;
}

const alone = { app: null, authority: null } as const;
const firstAnswerWithinMs = 30_000;
const retryMs = 100;
/** Below this share of its core a subject was not what limited rps: the load's core was, or the machine was busy. */
const saturatedShare = 0.85;

/** A request work. Saturated first, for CPU and rps; then the open loop, for latency. */
export function requestCell(work: Work, subject: Subject, durations: Durations, folder: string): Cell {
  const port = portOf(work, subject);
  return {
    work: work.name,
    subject: subject.name,
    async prepare() {
      await untilAnswered(work, port);
      await untilSteady(async () => {
        const { used, requests } = await costOf(work, subject, durations.warm, folder);
        return used / requests;
      }, durations.warmSlicesMax);
    },
    async run() {
      // While the others ran, the subject was idle, and a collection may have taken its optimised code: that it makes it anew is not its cost.
      await untilSteady(async () => {
        const { used, requests } = await costOf(work, subject, durations.settle, folder);
        return used / requests;
      }, durations.settleSlicesMax);
      const { used, requests, seconds } = await costOf(work, subject, durations.saturated, folder);
      const memory = residentMb(subject.pids);
      if (used / 1e6 / seconds < saturatedShare)
        note(`${work.name} of ${subject.name}: only ${Math.round(used / 1e4 / seconds)} % of its core used`);
      const client = loadClient(work, port);
      try {
        using ticker = new Ticker();
        // The first fifth opens connections and is thrown away.
        await openLoop(client.send, work.rate, durations.open / 5, ticker);
        const latencies = await openLoop(client.send, work.rate, durations.open, ticker);
        const [p50Ms, p99Ms] = [percentile(latencies, 0.5), percentile(latencies, 0.99)];
        return { rps: requests / seconds, p50Ms, p99Ms, cpuMicros: used / requests, residentMb: memory };
      } finally {
        client.close();
      }
    },
  };
}

/** Microseconds of CPU that the subject used for how many requests at full load, in how long. */
async function costOf(work: Work, subject: Subject, seconds: number, folder: string) {
  const port = portOf(work, subject);
  const before = cpuMicros(subject.pids);
  const load = await saturate(work, port, seconds, folder);
  return { ...load, used: cpuMicros(subject.pids) - before };
}

function portOf(work: Work, subject: Subject): number {
  return work.kind === "http" ? subject.httpPort : subject.grpcPort;
}

/** From exec to healthy, without an app. */
export function startCell(name: string, binary: string, workshop: Workshop): Cell {
  return {
    work: "start",
    subject: name,
    prepare: () => Promise.resolve(),
    async run() {
      const begin = performance.now();
      const sidecar = await workshop.startSidecar(binary, `bench-start-${name}`, alone);
      const elapsed = performance.now() - begin;
      const sample = {
        rps: null,
        p50Ms: elapsed,
        p99Ms: elapsed,
        cpuMicros: cpuMicros(sidecar.pids),
        residentMb: residentMb(sidecar.pids),
      };
      await sidecar.stop();
      return sample;
    },
  };
}

/** Doing nothing, without an app: memory, and CPU time for one second. */
export function idleCell(name: string, binary: string, workshop: Workshop, durations: Durations): Cell {
  return {
    work: "idle",
    subject: name,
    prepare: () => Promise.resolve(),
    async run() {
      const sidecar = await workshop.startSidecar(binary, `bench-idle-${name}`, alone);
      await pause(durations.idle * 1000);
      const before = cpuMicros(sidecar.pids);
      await pause(durations.idle * 1000);
      const used = cpuMicros(sidecar.pids) - before;
      const sample = { rps: null, p50Ms: null, p99Ms: null, cpuMicros: used / durations.idle, residentMb: residentMb(sidecar.pids) };
      await sidecar.stop();
      return sample;
    },
  };
}

/** Name resolution may take a moment to know a new sidecar: the first right answer is waited for. */
async function untilAnswered(work: Work, port: number): Promise<void> {
  const client = loadClient(work, port);
  const until = performance.now() + firstAnswerWithinMs;
  try {
    for (;;) {
      const failure = await client.send().then(
        () => null,
        (error: unknown) => error,
      );
      if (failure === null) return;
      if (performance.now() > until) throw failure;
      await pause(retryMs);
    }
  } finally {
    client.close();
  }
}

function note(text: string): void {
  process.stderr.write(`note: ${text}\n`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
