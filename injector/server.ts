// The webhook's HTTP: `POST /mutate` (Dapr's path) for pods that ask for a sidecar, `POST /mutate/namespace` for pods of
// namespaces that ask for all of theirs, `POST /advise` for workloads, which get warnings at most. Dapr's statuses: 400 for an empty body, 415 for what is not JSON, else 200 with a
// review, whatever the verdict.
import { createServer, type Server } from "node:http";
import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler, type Response } from "express";
import { messageOf } from "../lib/kit/errors.ts";
import type { InjectorMetrics } from "../lib/telemetry/injector-metrics.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { Admit } from "./admission.ts";
import type { Advise } from "./advise.ts";
import { type ReviewRequest, readReview, reviewResponse, type Verdict } from "./review.ts";

export interface ServerOptions {
  readonly admit: Admit;
  readonly advise: Advise;
  readonly metrics: InjectorMetrics;
  readonly log: Logger;
}

/** The API server takes objects of at most 3 MiB; a review may hold one twice. */
const bodyMaxBytes = 8 * 1024 * 1024;
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
/** Longer than the API server keeps idle connections, so that it is never us who close one it is about to use. */
const keepAliveTimeoutMs = 120_000;

export function createInjectorServer(options: ServerOptions): Server {
  return createServer(
    { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs, keepAliveTimeout: keepAliveTimeoutMs },
    createApp(options),
  );
}

export function createApp(options: ServerOptions): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  const body = express.raw({ type: () => true, limit: bodyMaxBytes, inflate: false });
  const { admit } = options;
  app.post(
    "/mutate",
    counted(options),
    body,
    reviewed(options, (review, signal) => admit(review, false, signal)),
  );
  app.post(
    "/mutate/namespace",
    counted(options),
    body,
    reviewed(options, (review, signal) => admit(review, true, signal)),
  );
  app.post("/advise", body, reviewed(options, options.advise));
  app.use(failedRequest(options));
  return app;
}

function counted({ metrics }: ServerOptions): RequestHandler {
  return (_request, _response, next) => {
    metrics.requested();
    next();
  };
}

type Judge = (review: ReviewRequest, signal: AbortSignal) => Verdict | Promise<Verdict>;

function reviewed(options: ServerOptions, judge: Judge): RequestHandler {
  return async (request, response) => {
    const { log } = options;
    if (!(request.body instanceof Buffer) || request.body.length === 0) {
      log.error("Empty body");
      response.status(400).type("text/plain").send("empty body\n");
      return;
    }
    const type = request.headers["content-type"] ?? "";
    if (!/^application\/json\s*(;|$)/i.test(type)) {
      log.error(`Content-Type=${type.slice(0, 80)}, expect application/json`);
      response.status(415).type("text/plain").send("invalid Content-Type, expected `application/json`\n");
      return;
    }
    await answer(options, request, response, judge);
  };
}

async function answer({ metrics, log }: ServerOptions, request: Request, response: Response, judge: Judge): Promise<void> {
  let review: ReviewRequest;
  try {
    review = readReview(request.body as Buffer);
  } catch (error) {
    log.error(`Can't decode body: ${messageOf(error)}`);
    metrics.failed("", "decode");
    response.json(reviewResponse({ apiVersion: "admission.k8s.io/v1", uid: "" }, { allowed: false, message: messageOf(error) }));
    return;
  }
  const gone = new AbortController();
  response.on("close", () => gone.abort(new Error("the API server has left")));
  response.json(reviewResponse(review, await judge(review, gone.signal)));
}

/** Bodies that are too large or cut off, and bugs. */
function failedRequest({ log }: ServerOptions): ErrorRequestHandler {
  return (error: unknown, _request, response, next) => {
    const status = Number((error as { status?: unknown } | null)?.status) || 500;
    log.error(`a request failed (${status}): ${messageOf(error)}`);
    if (response.headersSent) next(error);
    else
      response
        .status(status)
        .type("text/plain")
        .send(`${status === 500 ? "internal error" : messageOf(error)}\n`);
  };
}
