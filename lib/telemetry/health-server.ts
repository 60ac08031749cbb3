// The health port of a control-plane service as Dapr has it: `GET /healthz` answers 200 or 503 without a body.
import { createServer, type Server } from "node:http";
import type { Readiness } from "../kit/readiness.ts";

const headersTimeoutMs = 10_000;

export function createHealthHttpServer(readiness: Readiness): Server {
  return createServer({ headersTimeout: headersTimeoutMs, requestTimeout: headersTimeoutMs }, (request, response) => {
    if ((request.url ?? "").replace(/\?.*$/s, "") === "/healthz") {
      response.writeHead(readiness.isReady ? 200 : 503, { "content-length": 0 }).end();
    } else response.writeHead(404, { "content-type": "text/plain; charset=utf-8" }).end("404 page not found\n");
  });
}
