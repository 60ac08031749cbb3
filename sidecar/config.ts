// From the command line and the environment to one frozen object, or to the text to print. Pure: nothing here reads
// the process. The checks, their order, their words and their exit codes are daprd's: a bad flag is a usage error
// (stderr, 2), a bad value of a good flag a fatal log line (1).
import { parseFlags, usageText } from "../lib/kit/flags.ts";
import type { Read } from "../lib/kit/go-text.ts";
import { daprdFlags } from "./flags.ts";
import { ConfigError, type Environment, type LogConfig, readConfig, readLog, readSizes, type SidecarConfig } from "./sidecar-config.ts";

export type { SidecarConfig } from "./sidecar-config.ts";

export interface BuildInfo {
  /** The Dapr version we are compatible with, as SDKs and the CLI compare it. */
  readonly version: string;
  readonly commit: string;
  readonly gitVersion: string;
}

export type Arguments = (
  | { readonly kind: "run"; readonly config: SidecarConfig }
  /** `stream` says where the text goes. */
  | { readonly kind: "print"; readonly text: string; readonly stream: "stdout" | "stderr"; readonly exitCode: 0 }
  /** Poll `url` until it answers 204; exit code 0 either way. */
  | {
      readonly kind: "wait";
      readonly url: string;
      readonly timeoutMs: number;
      readonly requestTimeoutMs: number;
      readonly periodMs: number;
      readonly exitCode: 0;
    }
  /** Exit code 2: print `usage` and then `message` on stderr. Exit code 1: log `message` as fatal with `log` and `appId`. */
  | {
      readonly kind: "error";
      readonly message: string;
      readonly exitCode: 1 | 2;
      readonly usage: string | null;
      readonly log: LogConfig;
      readonly appId: string;
    }
) & {
  /** Lines for stderr before anything else: deprecated flags that were used. */
  readonly notes: readonly string[];
};

export const defaultBuild: BuildInfo = Object.freeze({ version: "1.18.3", commit: "", gitVersion: "" });

const defaultLog: LogConfig = Object.freeze({ level: "info", json: false, file: null });
/** Reads everything daprd can be told. Never throws. */
export function parseArguments(argv: readonly string[], env: Environment, build: BuildInfo = defaultBuild): Arguments {
  const parsed = parseFlags(daprdFlags, argv);
  const { notes } = parsed;
  if (parsed.kind === "help") return { kind: "print", text: usageText("daprd", daprdFlags), stream: "stderr", exitCode: 0, notes };
  if (parsed.kind === "error") {
    const usage = usageText("daprd", daprdFlags);
    return { kind: "error", message: parsed.message, exitCode: 2, usage, log: defaultLog, appId: "", notes };
  }
  const flags = parsed.values;
  const fatal = (message: string, log: LogConfig, appId: string): Arguments => {
    return { kind: "error", message, exitCode: 1, usage: null, log, appId, notes };
  };

  const sizes = attempt(() => readSizes(flags));
  if (!sizes.ok) return fatal(`Failed to parse flags: ${sizes.reason}`, defaultLog, "");
  if (flags.bool("version")) return { kind: "print", text: `${build.version}\n`, stream: "stdout", exitCode: 0, notes };
  if (flags.bool("build-info")) {
    const text = `Version: ${build.version}\nGit Commit: ${build.commit}\nGit Version: ${build.gitVersion}\n`;
    return { kind: "print", text, stream: "stdout", exitCode: 0, notes };
  }
  if (flags.bool("wait")) {
    const url = `http://localhost:${flags.string("dapr-http-port")}/v1.0/healthz/outbound`;
    return { kind: "wait", url, timeoutMs: 60_000, requestTimeoutMs: 500, periodMs: 100, exitCode: 0, notes };
  }
  const log = attempt(() => readLog(flags));
  if (!log.ok) return fatal(log.reason, { ...defaultLog, json: flags.bool("log-as-json") }, flags.string("app-id"));
  const config = attempt(() => readConfig(flags, env, sizes.value, log.value));
  if (!config.ok) return fatal(`Fatal error from runtime: ${config.reason}`, log.value, flags.string("app-id"));
  return { kind: "run", config: config.value, notes };
}

function attempt<T>(read: () => T): Read<T> {
  try {
    return { ok: true, value: read() };
  } catch (error) {
    if (error instanceof ConfigError) return { ok: false, reason: error.message };
    throw error;
  }
}
