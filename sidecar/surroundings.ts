// What the process gives the sidecar: nothing below main.ts reads process.*.
import type { Clock } from "../lib/kit/clock.ts";
import type { Logger } from "../lib/telemetry/log.ts";

export interface Surroundings {
  readonly log: Logger;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  readonly userId: number;
  readonly hostName: string;
  /** Ends the process with exit code 1. */
  readonly forceExit: () => void;
}
