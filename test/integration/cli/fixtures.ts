// What the CLI's tests share: a small app that says what it does, and a reader of the run's JSON list.
import type { Folder } from "../../harness/folder.ts";
import { outriggerDone } from "../../harness/outrigger.ts";

/** An HTTP app: prints its environment, answers /pid, exits by /exit?code, and says when it is told to stop. */
export const appSource = `
import { createServer } from "node:http";
const { APP_ID, APP_PORT, APP_PROTOCOL, DAPR_HTTP_PORT, DAPR_GRPC_PORT, DAPR_METRICS_PORT, EXTRA } = process.env;
console.log("env " + JSON.stringify({ APP_ID, APP_PORT, APP_PROTOCOL, DAPR_HTTP_PORT, DAPR_GRPC_PORT, DAPR_METRICS_PORT, EXTRA }));
const server = createServer((request, response) => {
  const url = new URL(request.url, "http://app");
  if (url.pathname === "/exit") process.exit(Number(url.searchParams.get("code")));
  response.end(JSON.stringify({ pid: process.pid }));
});
process.on("SIGTERM", async () => {
  const outbound = await fetch("http://127.0.0.1:" + DAPR_HTTP_PORT + "/v1.0/healthz/outbound").then((r) => r.status, () => "gone");
  console.log("app told to stop, sidecar outbound " + outbound);
  if (!process.env.STUBBORN) process.exit(0);
});
server.listen(Number(APP_PORT ?? 0), "127.0.0.1", () => console.log("app listens"));
`;

export interface Listed {
  readonly appId: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly appPort: number;
  readonly daprdPid: number;
  readonly cliPid: number;
  readonly appPid: number;
  readonly command: string;
  readonly runTemplatePath: string;
  readonly runTemplateName: string;
  readonly appLogPath: string;
  readonly daprdLogPath: string;
}

/** `outrigger list -o json`, only the apps of `ids`: other sidecars of the machine are listed too. */
export async function listed(home: Folder, ids: readonly string[]): Promise<Listed[]> {
  const { output } = await outriggerDone(["list", "-o", "json"], { home });
  return (JSON.parse(output) as Listed[]).filter((instance) => ids.includes(instance.appId));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Polls until none of `pids` lives; answers whether that came within the time. */
export async function allGone(pids: readonly number[], withinMs = 20_000): Promise<boolean> {
  const until = performance.now() + withinMs;
  while (pids.some(isAlive)) {
    if (performance.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}
