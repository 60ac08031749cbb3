// The health port of a control-plane service as Dapr has it (`GET /healthz`: 200 or 503 without a body), and what else a
// service shows there: `GET /rotation` tells how far the root's rotation is. Nothing here is secret, nothing changes anything.
import { createServer, type Server } from "node:http";
import type { Readiness } from "../lib/kit/readiness.ts";
import type { AuthorityStatus } from "./authority.ts";

const headersTimeoutMs = 10_000;

export function createHealthServer(readiness: Readiness, status: () => AuthorityStatus): Server {
  return createServer({ headersTimeout: headersTimeoutMs, requestTimeout: headersTimeoutMs }, (request, response) => {
    const path = (request.url ?? "").replace(/\?.*$/s, "");
    if (path === "/healthz") {
      response.writeHead(readiness.isReady ? 200 : 503, { "content-length": 0 }).end();
    } else if (path === "/rotation" && (request.method === "GET" || request.method === "HEAD")) {
      const body = `${JSON.stringify(status(), null, 2)}\n`;
      response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
      response.end(request.method === "HEAD" ? undefined : body);
    } else response.writeHead(404, { "content-type": "text/plain; charset=utf-8" }).end("404 page not found\n");
  });
}
