// daprd as a command that ends by itself: its exit code and what it wrote where.
import { execFile } from "node:child_process";
import { daprdPath } from "../../harness/daprd.ts";
import { reservePorts } from "../../harness/ports.ts";

export interface Ended {
  /** Null when it had to be killed. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const withinMs = 15_000;

export function runDaprd(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env["PATH"], ...env }, timeout: withinMs, killSignal: "SIGKILL" as const };
    const child = execFile(daprdPath, args, options, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
  });
}

/** With an app id and free ports, so that only `args` can be what is wrong. Later flags win over earlier ones. */
export async function runSidecar(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const [http, grpc, internal, metrics] = await reservePorts(4);
  const own = [
    `--dapr-http-port=${http}`,
    `--dapr-grpc-port=${grpc}`,
    `--dapr-internal-grpc-port=${internal}`,
    `--metrics-port=${metrics}`,
  ];
  return runDaprd(["--app-id=flags", "--dapr-listen-addresses=127.0.0.1", ...own, ...args], env);
}
