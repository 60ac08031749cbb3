// Sidecars that somebody else started (Dapr's CLI, a script, a debugger): found by the flags in their command line, as `dapr list`
// does, with the rest asked of their metadata API.
import { basename } from "node:path";
import type { ProcessInfo } from "../process/proc.ts";

export interface FoundSidecar {
  readonly pid: number;
  readonly appId: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly appPort: number;
  readonly metricsEnabled: boolean;
}

const programNames = new Set(["daprd", "daprd.exe", "daprd.mjs"]);

/** The sidecars among `processes`; null fields of the command line take daprd's defaults. */
export function findSidecars(processes: readonly ProcessInfo[]): FoundSidecar[] {
  return processes.flatMap((process) => {
    const flags = sidecarFlags(process.argv);
    const appId = flags?.get("app-id");
    if (flags === null || appId === undefined || appId === "") return [];
    const number = (name: string, fallback: number) => Number(flags.get(name) || fallback);
    return [
      {
        pid: process.pid,
        appId,
        httpPort: number("dapr-http-port", 3500),
        grpcPort: number("dapr-grpc-port", 50001),
        appPort: number("app-port", 0),
        metricsEnabled: flags.get("enable-metrics") !== "false",
      },
    ];
  });
}

/** daprd's flags, or null when this is some other program. The program is the first word, or an interpreter's script. */
function sidecarFlags(argv: readonly string[]): Map<string, string> | null {
  const at = argv.findIndex((word, index) => programNames.has(basename(word)) && (index === 0 || basename(word) === "daprd.mjs"));
  if (at < 0) return null;
  const flags = new Map<string, string>();
  for (let index = at + 1; index < argv.length; index++) {
    const match = /^--?([a-z][\w-]*)(?:=(.*))?$/s.exec(argv[index] as string);
    if (match === null) continue;
    const next = argv[index + 1];
    const value = match[2] ?? (next === undefined || next.startsWith("-") ? "true" : next);
    flags.set(match[1] as string, value);
  }
  return flags;
}
