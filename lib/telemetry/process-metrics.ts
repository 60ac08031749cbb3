// The process's own metrics, under the names that every Prometheus client library uses, and what of Node one alarms on. The library's
// default set reads more of /proc, walks all handles and keeps a 10 ms timer running, for twice the time of a scrape.
import { readdirSync, readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { Registry } from "prom-client";

/** The part of prom-client that is used; the package is loaded with the first scrape. */
type Library = Pick<typeof import("prom-client"), "Gauge" | "Counter">;

const microsPerSecond = 1e6;
const pageBytes = 4096;

export function registerProcessMetrics(registry: Registry, library: Library): void {
  const gauge = (name: string, help: string, read: () => number | null) => {
    new library.Gauge({ name, help, registers: [registry], collect: setTo(read) });
  };
  new library.Counter({
    name: "process_cpu_seconds_total",
    help: "Total user and system CPU time spent in seconds.",
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / microsPerSecond);
    },
  });
  const startedAt = Math.round((performance.timeOrigin / 1000) * 100) / 100;
  gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", () => startedAt);
  gauge("process_resident_memory_bytes", "Resident memory size in bytes.", () => process.memoryUsage.rss());
  gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", () => fromProc(virtualBytes));
  gauge("process_open_fds", "Number of open file descriptors.", () => fromProc(openDescriptors));
  const maxDescriptors = fromProc(descriptorLimit);
  gauge("process_max_fds", "Maximum number of open file descriptors.", () => maxDescriptors);
  gauge("nodejs_heap_size_total_bytes", "Process heap size from Node.js in bytes.", () => getHeapStatistics().total_heap_size);
  gauge("nodejs_heap_size_used_bytes", "Process heap size used from Node.js in bytes.", () => getHeapStatistics().used_heap_size);
  gauge("nodejs_external_memory_bytes", "Node.js external memory size in bytes.", () => getHeapStatistics().external_memory);
  gauge(
    "nodejs_eventloop_utilization_ratio",
    "Share of time that the event loop was busy since the process started, 0 to 1.",
    () => performance.eventLoopUtilization().utilization,
  );
}

function setTo(read: () => number | null): (this: { set(value: number): void }) => void {
  return function () {
    const value = read();
    if (value !== null) this.set(value);
  };
}

/** Null where there is no /proc. */
function fromProc(read: () => number): number | null {
  try {
    return read();
  } catch {
    return null;
  }
}

function virtualBytes(): number {
  return Number(readFileSync("/proc/self/statm", "latin1").split(" ", 1)[0]) * pageBytes;
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

function descriptorLimit(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1]);
}
