// Closed-loop load at saturation by tools that cost less than any subject: wrk for HTTP/1.1, h2load for gRPC. Their own latencies
// are not used: under saturation they say how long the queue is.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { GrpcWork, HttpWork, Work } from "../works.ts";

export interface Saturation {
  readonly requests: number;
  readonly seconds: number;
}

const run = promisify(execFile);
const httpConnections = 32;
const grpcConnections = 4;
const grpcStreams = 8;

/** Loads `port` for `seconds`. Throws when a request failed: a fast error is no result. */
export async function saturate(work: Work, port: number, seconds: number, folder: string): Promise<Saturation> {
  return work.kind === "http" ? saturateHttp(work, port, seconds, folder) : saturateGrpc(work, port, seconds, folder);
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

async function saturateGrpc(work: GrpcWork, port: number, seconds: number, folder: string): Promise<Saturation> {
  const body = join(folder, `${work.name}.bin`);
  writeFileSync(body, work.body);
  const sent = { "content-type": "application/grpc", te: "trailers", ...work.metadata };
  const headers = Object.entries(sent).flatMap(([name, text]) => ["-H", `${name}: ${text}`]);
  const shape = ["-t1", "-c", String(grpcConnections), "-m", String(grpcStreams), "-D", String(seconds)];
  return parseH2load(
    (await run("h2load", [...shape, ...headers, "-d", body, `${work.tls ? "https" : "http"}://127.0.0.1:${port}${work.path}`])).stdout,
  );
}

/** `123456 requests in 5.00s, …`; throws when wrk counted errors. */
export function parseWrk(output: string): Saturation {
  const match = /(\d+) requests in ([\d.]+)(ms|s|m)/.exec(output);
  if (match === null) throw new Error(`wrk said nothing of requests:\n${output}`);
  if (/Non-2xx or 3xx responses|Socket errors/.test(output)) throw new Error(`wrk met errors:\n${output}`);
  const unit = { ms: 0.001, s: 1, m: 60 }[match[3] as "ms" | "s" | "m"];
  return { requests: Number(match[1]), seconds: Number(match[2]) * unit };
}

/**
 * `finished in 5.00s, 1234.5 req/s …`, `requests: … N succeeded, M failed, K errored` and `traffic: … (B) data`. Throws when there were
 * failures; gRPC's own have status 200 but no message, which would have five bytes at least.
 */
export function parseH2load(output: string): Saturation {
  const time = /finished in ([\d.]+)(us|ms|s|m),/.exec(output);
  const counts = /requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored/.exec(output);
  const data = /traffic: .*\((\d+)\) data/.exec(output);
  if (time === null || counts === null || data === null) throw new Error(`h2load said nothing of requests:\n${output}`);
  if (counts[2] !== "0" || counts[3] !== "0" || counts[1] === "0") throw new Error(`h2load met errors:\n${output}`);
  if (Number(data[1]) < Number(counts[1]) * 5) throw new Error(`not every call was answered with a message:\n${output}`);
  const unit = { us: 1e-6, ms: 0.001, s: 1, m: 60 }[time[2] as "us" | "ms" | "s" | "m"];
  return { requests: Number(counts[1]), seconds: Number(time[1]) * unit };
}
