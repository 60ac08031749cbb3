// The operator's process: the only reader of process.* here. It parses, builds, and turns signals into an exit code: 0 after a
// graceful stop, 1 after a fatal error or a second signal, 2 for wrong usage.
import { hostname } from "node:os";
import { systemClock } from "../lib/kit/clock.ts";
import { messageOf } from "../lib/kit/errors.ts";
import { daprVersion, outriggerVersion } from "../lib/kit/version.ts";
import { createLogger, type Logger } from "../lib/telemetry/log.ts";
import { type LogConfig, type OperatorConfig, parseArguments } from "./config.ts";
import { Operator } from "./operator.ts";

/** Timers of our clock let a process end; this one ends by its own decision only. */
setInterval(() => {}, 2 ** 31 - 1);

const parsed = parseArguments(process.argv.slice(2), process.env, instanceName());
switch (parsed.kind) {
  case "version":
    process.stdout.write(`${daprVersion}\n`);
    process.exit(0);
    break;
  case "usage":
    process.stderr.write(parsed.text);
    process.exit(parsed.exitCode);
    break;
  case "fatal":
    fatal(loggerOf(parsed.log), parsed.message);
    break;
  case "run":
    await run(parsed.config);
}

/** A pod's host name is its own; elsewhere several operators may share one. */
function instanceName(): string {
  return process.env["KUBERNETES_SERVICE_HOST"] ? hostname() : `${hostname()}-${process.pid}`;
}

function loggerOf(log: LogConfig): Logger {
  return createLogger({ ...log, appId: "", instance: hostname(), version: daprVersion }).scope("dapr.operator");
}

async function run(config: OperatorConfig): Promise<void> {
  const log = loggerOf(config.log);
  log.info(`Starting Dapr Operator -- version ${daprVersion} -- commit outrigger-${outriggerVersion}`);
  log.info(`Log level set to: ${config.log.level}`);
  // A request that fails in an unforeseen way must not end the others': it is a bug, logged as one.
  process.on("unhandledRejection", (reason) => log.error(`unhandled rejection (a bug, please report it): ${stackOf(reason)}`));
  process.on("uncaughtException", (error) => fatal(log, `uncaught exception: ${stackOf(error)}`));
  const stopped = untilSignal(log);
  const operator = new Operator(config, { log, clock: systemClock, env: process.env });
  try {
    await Promise.race([operator.start(), stopped]);
  } catch (error) {
    fatal(log, messageOf(error));
  }
  await stopped;
  await operator.stop();
  log.info("operator shut down gracefully");
  process.exit(0);
}

function untilSignal(log: Logger): Promise<void> {
  const signalLog = log.scope("dapr.signals");
  return new Promise((resolve) => {
    let stopping = false;
    const onSignal = (name: string) => () => {
      if (stopping) fatal(signalLog, `Received signal '${name}' during shutdown; exiting immediately`);
      stopping = true;
      signalLog.info(`Received signal '${name}'; beginning shutdown`);
      resolve();
    };
    process.on("SIGTERM", onSignal("terminated"));
    process.on("SIGINT", onSignal("interrupt"));
  });
}

function fatal(log: Logger, message: string): never {
  log.fatal(message);
  process.exit(1);
}

function stackOf(reason: unknown): string {
  return reason instanceof Error ? (reason.stack ?? reason.message) : messageOf(reason);
}
