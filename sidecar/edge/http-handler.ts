// The HTTP edge's chain, composed once at boot from the settings; what is off is not in it. Order, and why:
//   1. target     a path is cleaned before anything looks at it
//   2. page guard a browser page of another origin gets nowhere, whatever it asks for
//   3. CORS       preflights carry no token, so they come before it
//   4. token      before routing: what is not authenticated learns nothing about routes
//   5. route      handler of the block, or the fallback (service invocation by header)
//   6. rescue     every error becomes an answer here
import { messageOf } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { HttpRequest, Reply, ReplyHeaders, Route } from "../contract/http.ts";
import type { HttpApiLog } from "./api-log.ts";
import { apiTokenHeader, isExempt, type TokenCheck } from "./api-token.ts";
import { type Cors, isForeignPage } from "./cors.ts";
import { writeReply } from "./http-reply.ts";
import { EdgeRequest, type NodeRequest, type NodeResponse, type RequestSettings } from "./http-request.ts";
import { hostRefusal } from "./malformed.ts";
import { parseTarget } from "./path.ts";
import type { Rescue } from "./rescue.ts";
import { BadParameterError, type Router } from "./router.ts";

export interface HttpHandlerOptions extends RequestSettings {
  readonly router: Router;
  /** What answers when no route matches. */
  readonly fallback: (request: HttpRequest) => Promise<Reply> | Reply;
  readonly token: TokenCheck | null;
  readonly cors: Cors | null;
  readonly apiLog: HttpApiLog | null;
  readonly rescue: Rescue;
  /** Turned on when the server closes: what is still being answered is the last on its connection. */
  readonly draining: { on: boolean };
  readonly log: Logger;
}

export type HttpHandler = (request: NodeRequest, response: NodeResponse) => void;

const invalidToken: Reply = plain(401, "invalid api token");
const badRequest: Reply = plain(400, "400 Bad Request: the request target is malformed; percent-encode it as RFC 3986 says");
const foreignPage: Reply = plain(
  403,
  "403 Forbidden: a browser page of another origin may not call this sidecar; name its origin in --allowed-origins to let it",
);

export function createHttpHandler(options: HttpHandlerOptions): HttpHandler {
  const { router, fallback, token, cors, apiLog, rescue, draining, log } = options;

  const answer = (
    request: NodeRequest,
    response: NodeResponse,
    edge: EdgeRequest | null,
    reply: Reply,
    route: Route | null,
    startedMs: number,
  ) => {
    if (response.destroyed || response.headersSent) {
      destroyBody(reply);
      return;
    }
    if (draining.on) response.shouldKeepAlive = false;
    let extra: ReplyHeaders | null = null;
    if (cors) cors.decorate(request.headers, (extra = {}));
    try {
      const written = writeReply(request, response, reply, extra);
      if (apiLog && edge) apiLog(edge, route, written.status, written.size, startedMs);
    } catch (error) {
      // A header value from the app or a component that HTTP cannot carry.
      log.warn(`reply could not be written: ${messageOf(error)}`);
      if (!response.headersSent) writeReply(request, response, rescue.toReply(error), null);
      destroyBody(reply);
    }
  };

  return (request, response) => {
    const startedMs = apiLog ? performance.now() : 0;
    const misaddressed = hostRefusal(request);
    if (misaddressed !== null) return answer(request, response, null, misaddressed, null, startedMs);
    const target = parseTarget(request.url ?? "");
    if (target === null) return answer(request, response, null, badRequest, null, startedMs);
    if (isForeignPage(request.headers, request.socket.localAddress, cors))
      return answer(request, response, null, foreignPage, null, startedMs);
    const preflight = cors?.preflight(request.method as string, request.headers);
    if (preflight) return void writeReply(request, response, preflight, null);
    if (token) {
      const presented = request.headers[apiTokenHeader];
      if (!token(presented as string | undefined) && !isExempt(request.method as string, target.path))
        return answer(request, response, null, invalidToken, null, startedMs);
      delete request.headers[apiTokenHeader];
    }

    const edge = new EdgeRequest(request, response, target.path, target.query, options);
    let route: Route | null = null;
    try {
      const match = router.match(edge.method, edge.path);
      let pending: Promise<Reply> | Reply;
      if (match) {
        route = match.route;
        edge.params = match.params;
        pending = route.handle(edge);
      } else pending = fallback(edge);
      if (pending instanceof Promise) {
        pending.then(
          (reply) => answer(request, response, edge, reply, route, startedMs),
          (error) => answer(request, response, edge, rescue.toReply(error), route, startedMs),
        );
      } else answer(request, response, edge, pending, route, startedMs);
    } catch (error) {
      const reply = error instanceof BadParameterError ? plain(400, error.message) : rescue.toReply(error);
      answer(request, response, edge, reply, route, startedMs);
    }
  };
}

function plain(status: number, text: string): Reply {
  return { status, headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" }, body: `${text}\n` };
}

function destroyBody(reply: Reply): void {
  const body = reply.body;
  if (body && typeof body === "object" && "destroy" in body) body.destroy();
}
