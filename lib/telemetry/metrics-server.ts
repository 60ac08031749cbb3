// The metrics port: Prometheus text on every path, as Dapr serves it. The process's own metrics are collected only when
// somebody scrapes, and the library is loaded with the first scrape: an idle sidecar nobody watches pays for neither.
import { createServer, type Server } from "node:http";
import type { Metrics } from "./metrics.ts";

export function createMetricsHttpServer(source: Pick<Metrics, "text">): Server {
  return createServer((request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { allow: "GET, HEAD" }).end();
      return;
    }
    source.text().then(
      (text) => response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(text),
      (error: unknown) => response.writeHead(500, { "content-type": "text/plain" }).end(`collecting metrics failed: ${String(error)}\n`),
    );
  });
}
