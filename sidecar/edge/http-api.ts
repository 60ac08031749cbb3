// The public HTTP API and the public port: listeners over one handler each. The public port serves probes and metadata
// only, without token, CORS or body limit, as in Dapr.
import { createServer as createHttp1Server, type Server as Http1Server } from "node:http";
import type { Http2Server } from "node:http2";
import type { Logger } from "../../lib/telemetry/log.ts";
import { createH2cServer } from "../../lib/wire/http2-server.ts";
import { createListener, type ListenAddress, type Listener } from "../../lib/wire/listener.ts";
import type { HttpRequest, Reply, Route } from "../contract/http.ts";
import { type ApiLists, routeFilter } from "./api-list.ts";
import { type ApiLogSettings, createHttpApiLog } from "./api-log.ts";
import { tokenCheck } from "./api-token.ts";
import { createCors } from "./cors.ts";
import { createHttpHandler, type HttpHandler } from "./http-handler.ts";
import { answerMalformed } from "./malformed.ts";
import { createRescue } from "./rescue.ts";
import { compileRoutes } from "./router.ts";

/** Time for a client to send its whole head, as in Dapr. */
const headersTimeoutMs = 10_000;
/** Connections of clients that keep them; Go's servers have no limit, so an idle client must not lose its connection to ours. */
const keepAliveTimeoutMs = 180_000;
/** Go's HTTP/1.1 server, and so Dapr's, takes a head this much longer than the limit it was given; apps rely on it. */
const headSlackBytes = 4096;
/** HTTP servers end at the latest after this, whatever the grace (Dapr's value). */
const closeMaxMs = 10_000;

export interface HttpApiOptions {
  readonly routes: readonly Route[];
  readonly fallback: (request: HttpRequest) => Promise<Reply> | Reply;
  readonly addresses: readonly ListenAddress[];
  /** Null: no public port. */
  readonly publicAddress: ListenAddress | null;
  readonly lists: ApiLists;
  /** Empty: none. */
  readonly apiToken: string;
  readonly allowedOrigins: readonly string[] | null;
  readonly maxBodyBytes: number;
  readonly maxHeaderBytes: number;
  readonly h2c: boolean;
  /** Null: off. */
  readonly apiLog: ApiLogSettings | null;
  readonly sampleRoot: () => boolean;
  /** Told of every error code that goes out; null: nobody counts. */
  readonly countError: ((code: string) => void) | null;
  readonly log: Logger;
}

export interface RunningServer {
  readonly addresses: Listener["addresses"];
  /** Stops accepting and lets what is being answered end, for at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

type Draining = { on: boolean };

export async function startHttpApi(options: HttpApiOptions): Promise<RunningServer> {
  const log = options.log.scope("dapr.runtime.http");
  const draining = { on: false };
  const api = await listen(apiHandler(options, draining, log), options.addresses, "--dapr-http-port", options, log);
  if (options.publicAddress === null) return running([api], draining);
  try {
    const probes = await listen(publicHandler(options, draining, log), [options.publicAddress], "--dapr-public-port", options, log);
    return running([api, probes], draining);
  } catch (error) {
    await api.close({ graceMs: 0 });
    throw error;
  }
}

function apiHandler(options: HttpApiOptions, draining: Draining, log: Logger): HttpHandler {
  if (options.apiToken !== "") log.info("Enabled token authentication on HTTP server");
  if (options.allowedOrigins !== null) log.info("Enabled CORS HTTP middleware");
  return createHttpHandler({
    router: compileRoutes(options.routes.filter(routeFilter(options.lists))),
    fallback: options.fallback,
    token: options.apiToken === "" ? null : tokenCheck(options.apiToken),
    cors: createCors(options.allowedOrigins),
    apiLog: options.apiLog === null ? null : createHttpApiLog(options.log, options.apiLog),
    rescue: createRescue(log, options.countError),
    draining,
    log,
    maxBodyBytes: options.maxBodyBytes,
    sampleRoot: options.sampleRoot,
  });
}

function publicHandler(options: HttpApiOptions, draining: Draining, log: Logger): HttpHandler {
  const notFound: Reply = { status: 404, headers: { "content-type": "text/plain; charset=utf-8" }, body: "404 page not found\n" };
  return createHttpHandler({
    router: compileRoutes(options.routes.filter((route) => route.public)),
    fallback: () => notFound,
    token: null,
    cors: null,
    apiLog: null,
    rescue: createRescue(log, options.countError),
    draining,
    log,
    maxBodyBytes: options.maxBodyBytes,
    sampleRoot: options.sampleRoot,
  });
}

async function listen(
  handler: HttpHandler,
  addresses: readonly ListenAddress[],
  setting: string,
  options: HttpApiOptions,
  log: Logger,
): Promise<Listener> {
  const http1 = newHttp1Server(handler, options.maxHeaderBytes);
  const http2 = options.h2c ? newHttp2Server(handler, options.maxHeaderBytes) : null;
  const listener = await createListener(addresses, { http1, http2, log, setting });
  for (const address of listener.addresses) {
    if ("path" in address) log.info(`HTTP server listening on UNIX socket: ${address.path}`);
    else log.info(`HTTP server listening on TCP address: ${address.host}:${address.port}`);
  }
  return listener;
}

function newHttp1Server(handler: HttpHandler, maxHeaderBytes: number): Http1Server {
  const server = createHttp1Server(
    {
      maxHeaderSize: maxHeaderBytes + headSlackBytes,
      headersTimeout: headersTimeoutMs,
      // A body may take as long as it needs: streams have no end time.
      requestTimeout: 0,
      keepAliveTimeout: keepAliveTimeoutMs,
      // Strict framing: what two parsers could read in two ways is refused (RFC 9112 §6.3).
      insecureHTTPParser: false,
      // Asked for by the handler, which can say so (malformed.ts).
      requireHostHeader: false,
    },
    handler,
  );
  answerMalformed(server);
  server.on("checkContinue", (request, response) => {
    response.writeContinue();
    handler(request, response);
  });
  return server;
}

function newHttp2Server(handler: HttpHandler, maxHeaderBytes: number): Http2Server {
  const server = createH2cServer({ maxHeaderListBytes: maxHeaderBytes });
  // The compatibility API has the members of node:http's request and response that the edge uses.
  server.on("request", (request, response) => handler(request as never, response as never));
  return server;
}

function running(listeners: readonly Listener[], draining: Draining): RunningServer {
  return {
    addresses: listeners.flatMap((listener) => listener.addresses),
    async close(graceMs) {
      draining.on = true;
      await Promise.all(listeners.map((listener) => listener.close({ graceMs: Math.min(graceMs, closeMaxMs) })));
    },
  };
}
