// What this folder says about itself goes here. The loggers of lib/telemetry fit.

export interface WireLog {
  debug(message: string): void;
  error(message: string): void;
}

export const silentLog: WireLog = { debug: ignore, error: ignore };

function ignore(): void {}
