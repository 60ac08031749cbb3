// daprd's process: the only reader of process.* in the sidecar. It parses, builds the runtime, and turns signals and the
// runtime's end into an exit code: 0 after a graceful stop, 1 after a fatal error, a second signal or an expired grace.
import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { systemClock } from "../lib/kit/clock.ts";
import { messageOf } from "../lib/kit/errors.ts";
import { daprVersion, outriggerVersion } from "../lib/kit/version.ts";
import { createLogger, type Logger } from "../lib/telemetry/log.ts";
import { parseArguments } from "./config.ts";
import { startMemoryTrim } from "./memory-trim.ts";
import { createRuntime, type End, GraceExpiredError } from "./runtime.ts";
import type { LogConfig, SidecarConfig } from "./sidecar-config.ts";
import { pollUntilReady } from "./wait-command.ts";

/** Timers of our clock let a process end; this one ends by its own decision only, also while it waits for nothing else. */
setInterval(() => {}, 2 ** 31 - 1);

const parsed = parseArguments(process.argv.slice(2), process.env, { version: daprVersion, commit: "", gitVersion: "" });
for (const note of parsed.notes) process.stderr.write(`${note}\n`);
switch (parsed.kind) {
  case "print":
    process[parsed.stream].write(parsed.text);
    process.exit(parsed.exitCode);
    break;
  case "wait":
    await pollUntilReady(parsed, systemClock);
    process.exit(parsed.exitCode);
    break;
  case "error":
    if (parsed.usage === null) loggerOf(parsed.log, parsed.appId).fatal(parsed.message);
    else process.stderr.write(`${parsed.usage}${parsed.message}\n`);
    process.exit(parsed.exitCode);
    break;
  case "run":
    await run(parsed.config);
}

function loggerOf(log: LogConfig, appId: string): Logger {
  return createLogger({ ...log, appId, instance: hostname(), version: daprVersion });
}

async function run(config: SidecarConfig): Promise<void> {
  nameProcess();
  const log = loggerOf(config.log, config.appId);
  log.info(`Starting Dapr Runtime -- version ${daprVersion} -- commit outrigger-${outriggerVersion}`);
  log.info(`Log level set to: ${config.log.level}`);
  for (const warning of config.warnings) log.warn(warning);
  // A message that fails in an unforeseen way must not end the others' delivery: it is a bug, logged as one.
  process.on("unhandledRejection", (reason) => log.error(`unhandled rejection (a bug, please report it): ${stackOf(reason)}`));
  process.on("uncaughtException", (error) => fatal(log, `uncaught exception: ${stackOf(error)}`));
  startMemoryTrim({ clock: systemClock, residentBytes: process.memoryUsage.rss, busy: coreShare(), collect: collector() });
  try {
    await untilStopped(config, log);
  } catch (error) {
    if (error instanceof GraceExpiredError) fatal(log, "Graceful shutdown timeout exceeded, forcing shutdown");
    fatal(log, `Fatal error from runtime: ${messageOf(error)}`);
  }
  log.info("Daprd shutdown gracefully");
  process.exit(0);
}

/** Dapr's own CLI finds sidecars by the process name; unlike process.title this leaves the arguments alone. */
function nameProcess(): void {
  try {
    writeFileSync("/proc/self/comm", "daprd");
  } catch {
    // Not Linux, or no /proc: nobody looks there then.
  }
}

/** Runs the runtime until a signal or the shutdown API stops it; SIGHUP, or a change that calls for it, builds it anew. */
async function untilStopped(config: SidecarConfig, log: Logger): Promise<void> {
  const signalLog = log.scope("dapr.signals");
  let onEnd: (end: End) => void = () => {};
  let stopping = false;
  const onSignal = (name: string) => () => {
    if (stopping) fatal(signalLog, `Received signal '${name}' during shutdown; exiting immediately`);
    stopping = true;
    signalLog.info(`Received signal '${name}'; beginning shutdown`);
    onEnd("stop");
  };
  process.on("SIGTERM", onSignal("terminated"));
  process.on("SIGINT", onSignal("interrupt"));
  process.on("SIGHUP", () => {
    signalLog.info("Received signal 'hangup'; restarting");
    onEnd("reload");
  });
  for (;;) {
    const end = await runOnce(config, log, (listener) => {
      onEnd = listener;
    });
    // A signal to stop that came while a reload was winding down had nobody to hear it.
    if (end === "stop" || stopping) return;
  }
}

async function runOnce(config: SidecarConfig, log: Logger, listen: (onEnd: (end: End) => void) => void): Promise<End> {
  const runtime = createRuntime(config, {
    log,
    clock: systemClock,
    env: process.env,
    workingDirectory: process.cwd(),
    userId: process.getuid?.() ?? 0,
    hostName: hostname(),
    forceExit: () => process.exit(1),
  });
  const stop = new AbortController();
  const ended = Promise.race([new Promise<End>(listen), runtime.ended]).finally(() =>
    stop.abort(new Error("the sidecar was told to stop")),
  );
  // Looked at below; a failure meanwhile is not unhandled.
  ended.catch(() => {});
  try {
    await runtime.start(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
  try {
    return await ended;
  } finally {
    await runtime.stop();
  }
}

function coreShare(): () => number {
  let last = process.cpuUsage();
  let lastAtMs = performance.now();
  return () => {
    const { user, system } = process.cpuUsage(last);
    const elapsedMs = performance.now() - lastAtMs;
    last = process.cpuUsage();
    lastAtMs += elapsedMs;
    return (user + system) / 1000 / elapsedMs;
  };
}

/** V8 shows its collector only when asked; it is looked up once, on the first use. */
function collector(): () => Promise<void> {
  let collect: ((options: object) => Promise<void>) | null = null;
  return async () => {
    if (collect === null) {
      setFlagsFromString("--expose-gc");
      collect = runInNewContext("gc") as (options: object) => Promise<void>;
    }
    // Not "last-resort", which would throw compiled code away as well: the next burst would begin cold.
    await collect({ type: "major", execution: "async" });
  };
}

function fatal(log: Logger, message: string): never {
  log.fatal(message);
  process.exit(1);
}

function stackOf(reason: unknown): string {
  return reason instanceof Error ? (reason.stack ?? reason.message) : messageOf(reason);
}
