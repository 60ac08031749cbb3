// The output of sidecars and apps on its way to the terminal and to files: whole lines, each with the prefix that says
// whose it is, so that lines of several programs never mix.
import { createWriteStream, mkdirSync, type WriteStream } from "node:fs";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { LogDestination } from "./plan.ts";

/** A line longer than this is cut into several, so that a program without newlines cannot fill our memory. */
export const lineMaxChars = 64 * 1024;

const colours = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94] as const;

/** Colours on a terminal, by FORCE_COLOR, never with NO_COLOR (https://no-color.org). */
export function wantsColour(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): boolean {
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== "0" && env.FORCE_COLOR !== "") return true;
  return isTerminal && (env.NO_COLOR === undefined || env.NO_COLOR === "");
}

/** The text before each line of a program; `index` picks the app's colour, sidecars are the dim one of the pair. */
export function linePrefix(kind: "APP" | "DAPRD", appId: string | null, index: number, colour: boolean): string {
  const text = appId === null ? `== ${kind} ==` : `== ${kind} - ${appId} ==`;
  if (!colour) return `${text} `;
  return `\u001b[${kind === "DAPRD" ? "2;" : ""}${colours[index % colours.length]}m${text}\u001b[0m `;
}

/** Cuts chunks of bytes into lines without their newline. Call `end` when the source is over. */
export class LineSplitter {
  readonly #decoder = new StringDecoder("utf8");
  readonly #onLine: (line: string) => void;
  #rest = "";

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  write(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(chunk)).split("\n");
    this.#rest = lines.pop() as string;
    for (const line of lines) this.#emit(line.endsWith("\r") ? line.slice(0, -1) : line);
    if (this.#rest.length <= lineMaxChars) return;
    this.#emit(this.#rest);
    this.#rest = "";
  }

  end(): void {
    this.#rest += this.#decoder.end();
    if (this.#rest !== "") this.#emit(this.#rest);
    this.#rest = "";
  }

  #emit(line: string): void {
    for (let at = 0; at === 0 || at < line.length; at += lineMaxChars) this.#onLine(line.slice(at, at + lineMaxChars));
  }
}

/** `<workDir>/.dapr/logs/<appId>_<app|daprd>_<YYYYMMDDhhmmss>.log`, as Dapr's CLI names them. */
export function logFilePath(workDir: string, appId: string, kind: "app" | "daprd", now: Date): string {
  const stamp = now.toISOString().replace(/\D/g, "").slice(0, 14);
  return join(workDir, ".dapr", "logs", `${appId}_${kind}_${stamp}.log`);
}

export interface LogTargets {
  readonly destination: LogDestination;
  /** Null when the destination is the console only. */
  readonly file: string | null;
  readonly prefix: string;
  readonly console: (text: string) => void;
}

/** Follows both outputs of one program and keeps its last lines. */
export class ProgramLog {
  readonly #targets: LogTargets;
  readonly #file: WriteStream | null;
  readonly #last: string[] = [];
  readonly #ended: Promise<void>[] = [];
  static readonly keptLines = 20;

  constructor(targets: LogTargets) {
    this.#targets = targets;
    if (targets.file !== null) mkdirSync(dirname(targets.file), { recursive: true });
    this.#file = targets.file === null ? null : createWriteStream(targets.file, { flags: "a" });
    // A full disk costs the log file, not the run.
    this.#file?.on("error", (error) => targets.console(`log file ${targets.file} cannot be written: ${error.message}\n`));
  }

  follow(source: Readable): void {
    const splitter = new LineSplitter((line) => this.#line(line));
    source.on("data", (chunk: Buffer) => splitter.write(chunk));
    this.#ended.push(
      new Promise((resolve) => {
        source.once("close", () => {
          splitter.end();
          resolve();
        });
      }),
    );
  }

  /** The last lines, oldest first. */
  get tail(): readonly string[] {
    return this.#last;
  }

  /** Resolves when both outputs are over and the file is written. */
  async close(): Promise<void> {
    await Promise.all(this.#ended);
    const file = this.#file;
    if (file !== null && !file.destroyed) await new Promise<void>((resolve) => file.end(resolve));
  }

  #line(line: string): void {
    this.#last.push(line);
    if (this.#last.length > ProgramLog.keptLines) this.#last.shift();
    this.#file?.write(`${line}\n`);
    if (this.#targets.destination !== "file") this.#targets.console(`${this.#targets.prefix}${line}\n`);
  }
}
