// Logs in Dapr's two forms: logrus text (default) and JSON (--log-as-json). People and Dapr's tests grep both, so field
// names, their order and the level names are Dapr's. Writing is synchronous: a line is out before the process can die.
import { openSync, writeSync } from "node:fs";

export const logLevels = ["debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof logLevels)[number];

export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** A logger of one scope, e.g. `dapr.runtime`. Never pass a secret: what goes in comes out. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Logs only; ending the process is main's business. */
  fatal(message: string, fields?: LogFields): void;
  readonly level: LogLevel;
  /** A logger of another scope with the same settings. */
  scope(name: string): Logger;
}

export interface LogSettings {
  readonly level: LogLevel;
  readonly json: boolean;
  /** Path of the log file; null writes to stdout. */
  readonly file: string | null;
  /** Empty: the service is no app's, and its lines have no app_id. */
  readonly appId: string;
  /** Host name. */
  readonly instance: string;
  readonly version: string;
  readonly now?: () => number;
}

export type LogSink = (line: string) => void;

/** Logrus writes "warning" where the flag says "warn". */
const levelText: Readonly<Record<LogLevel, string>> = { debug: "debug", info: "info", warn: "warning", error: "error", fatal: "fatal" };

export function createLogger(settings: LogSettings, sink: LogSink = fileSink(settings.file)): Logger {
  const threshold = logLevels.indexOf(settings.level);
  const render = settings.json ? jsonLine : textLine;
  const now = settings.now ?? Date.now;
  const who = { ...(settings.appId === "" ? {} : { app_id: settings.appId }), instance: settings.instance };

  const make = (scope: string): Logger => {
    const at = (level: LogLevel) =>
      logLevels.indexOf(level) < threshold
        ? ignore
        : (message: string, fields?: LogFields) =>
            sink(
              render({
                time: new Date(now()).toISOString(),
                level: levelText[level],
                msg: message,
                ...sortedByName({ ...who, scope, type: "log", ver: settings.version, ...fields }, fields),
              }),
            );
    return {
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      fatal: at("fatal"),
      level: settings.level,
      scope: make,
    };
  };
  return make("dapr.runtime");
}

/** A logger that drops everything, for code that is used without one. */
export const silentLogger: Logger = {
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
  fatal: ignore,
  level: "fatal",
  scope: () => silentLogger,
};

function ignore(): void {}

type LineFields = Readonly<Record<string, string | number | boolean>>;

/** Logrus sorts what follows the message; without fields of the line's own it stands sorted already. */
function sortedByName(line: LineFields, own: LogFields | undefined): LineFields {
  if (own === undefined) return line;
  return Object.fromEntries(Object.entries(line).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function jsonLine(fields: LineFields): string {
  const sorted: Record<string, string | number | boolean> = {};
  for (const key of Object.keys(fields).sort()) sorted[key] = fields[key] as string;
  return `${JSON.stringify(sorted)}\n`;
}

const bare = /^[A-Za-z0-9\-._/@^+]+$/;

function textLine(fields: LineFields): string {
  let line = "";
  for (const key in fields) {
    const value = String(fields[key]);
    line += `${line === "" ? "" : " "}${key}=${key !== "time" && bare.test(value) ? value : JSON.stringify(value)}`;
  }
  return `${line}\n`;
}

function fileSink(path: string | null): LogSink {
  const descriptor = path === null ? 1 : openSync(path, "a", 0o640);
  return (line) => {
    const bytes = Buffer.from(line);
    let written = 0;
    // A pipe whose reader is slow answers EAGAIN; a pipe whose reader is gone answers EPIPE, and logs are then lost by design.
    while (written < bytes.length) {
      try {
        written += writeSync(descriptor, bytes, written);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
      }
    }
  };
}
