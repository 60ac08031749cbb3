// The webhook's HTTP: `POST /convert` for the API server, which is the only one who asks.
import { createServer, type Server } from "node:http";
import express, { type ErrorRequestHandler, type Express } from "express";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { answerReview } from "./conversion-review.ts";

/** A list is converted in one review; the API server answers none that is larger. */
const bodyMaxBytes = 64 * 1024 * 1024;
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
/** Longer than the API server keeps idle connections, so that it is never us who close one it is about to use. */
const keepAliveTimeoutMs = 120_000;

export function createWebhookServer(log: Logger): Server {
  const timeouts = { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs, keepAliveTimeout: keepAliveTimeoutMs };
  return createServer(timeouts, createWebhookApp(log));
}

export function createWebhookApp(log: Logger): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.post("/convert", express.json({ limit: bodyMaxBytes, inflate: false, type: () => true }), (request, response) => {
    const answer = answerReview(request.body);
    if (answer === null) response.status(400).type("text/plain").send("send a ConversionReview with a request\n");
    else response.json(answer);
  });
  const failed: ErrorRequestHandler = (error: unknown, _request, response, next) => {
    if (response.headersSent) return next(error);
    const status = Number((error as { status?: unknown }).status) || 500;
    log.warn(`a request for conversion failed with ${status}: ${messageOf(error)}`);
    response
      .status(status)
      .type("text/plain")
      .send(`${messageOf(error)}\n`);
  };
  app.use(failed);
  return app;
}
