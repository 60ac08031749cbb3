// Closed-loop load at saturation by what costs less than any subject: wrk for HTTP/1.1, grpc-load.ts for gRPC. Latencies are not taken:
// under saturation they say how long the queue is.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { HttpWork, Work } from "../works.ts";
import { grpcLoad } from "./grpc-load.ts";

export interface Saturation {
  readonly requests: number;
  readonly seconds: number;
}

const run = promisify(execFile);
const httpConnections = 32;
const grpcShape = { connections: 4, streams: 8 } as const;

/** Loads `port` for `seconds`. Throws when a request failed: a fast error is no result. */
export async function saturate(work: Work, port: number, seconds: number, folder: string): Promise<Saturation> {
  return work.kind === "http" ? saturateHttp(work, port, seconds, folder) : grpcLoad(work, port, seconds, grpcShape);
}

async function saturateHttp(work: HttpWork, port: number, seconds: number, folder: string): Promise<Saturation> {
  const args = ["-t1", `-c${httpConnections}`, `-d${seconds}s`, `http://127.0.0.1:${port}${work.path}`];
  if (work.method === "POST") {
    const script = join(folder, `${work.name}.lua`);
    writeFileSync(
      script,
      `wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = ${JSON.stringify(work.body)}\n`,
    );
    args.unshift("-s", script);
  }
  return parseWrk((await run("wrk", args)).stdout);
}

/** `123456 requests in 5.00s, …`; throws when wrk counted errors. */
export function parseWrk(output: string): Saturation {
  const match = /(\d+) requests in ([\d.]+)(ms|s|m)/.exec(output);
  if (match === null) throw new Error(`wrk said nothing of requests:\n${output}`);
  if (/Non-2xx or 3xx responses|Socket errors/.test(output)) throw new Error(`wrk met errors:\n${output}`);
  const unit = { ms: 0.001, s: 1, m: 60 }[match[3] as "ms" | "s" | "m"];
  return { requests: Number(match[1]), seconds: Number(match[2]) * unit };
}
