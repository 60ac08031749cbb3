// What commands know of the terminal and the process around them; main.ts makes the real one, tests may make others.

export interface Terminal {
  /** Writes text as it is, newline included. */
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
  readonly isTerminal: boolean;
}

export interface Surroundings extends Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly pid: number;
  /** The sidecar's launcher. */
  readonly daprd: string;
  /** The certificate authority's launcher. */
  readonly sentry: string;
  /** The Helm chart's folder. */
  readonly chart: string;
  readonly version: string;
  /** Calls back on every request to stop: Ctrl-C, SIGTERM, a closed terminal. */
  readonly onStop: (listener: (reason: string) => void) => void;
}

export interface Command {
  readonly name: string;
  /** One line for `outrigger --help`. */
  readonly summary: string;
  readonly help: string;
  /** Answers the exit code. Throws UsageError for a wrong command line. */
  readonly run: (args: readonly string[], around: Surroundings) => Promise<number>;
}

export type Mark = "info" | "done" | "warn" | "fail";

const symbols: Readonly<Record<Mark, readonly [string, number]>> = {
  info: ["ℹ️ ", 34],
  done: ["✅", 32],
  warn: ["⚠️ ", 33],
  fail: ["❌", 31],
};

/** A line of our own, marked as Dapr's CLI marks them. */
export function statusLine(symbol: Mark, text: string, colour: boolean): string {
  const [mark, code] = symbols[symbol];
  const line = `${mark} ${text}`;
  return colour ? `\u001b[${code}m${line}\u001b[0m\n` : `${line}\n`;
}
