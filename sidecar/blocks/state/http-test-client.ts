// Calls a block's routes as the edge would, for tests: finds the route, builds the HttpRequest, and gives the reply with its
// status, headers and body as text. What a route throws is thrown.
import { Readable } from "node:stream";
import type { TraceContext } from "../../../lib/telemetry/trace-context.ts";
import type { HttpRequest, Reply, Route } from "../../contract/http.ts";

export interface CallOptions {
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly text: string;
}

const trace: TraceContext = { traceId: "1".repeat(32), spanId: "1".repeat(16), flags: "00", tracestate: "" };

/** `target` is path and query, e.g. `/v1.0/state/store/key?consistency=strong`. */
export async function callHttp(routes: readonly Route[], method: string, target: string, options: CallOptions = {}): Promise<Answer> {
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const rawQuery = mark < 0 ? "" : target.slice(mark + 1);
  const found = match(routes, method, path);
  const body = Buffer.from(options.body ?? "");
  const request: HttpRequest = {
    method,
    path,
    rawQuery,
    params: found.params,
    query: new URLSearchParams(rawQuery),
    headers: { ...options.headers },
    rawHeaders: Object.entries(options.headers ?? {}).flat(),
    remoteAddress: "127.0.0.1",
    body: async () => body,
    stream: Readable.from([body]),
    contentLength: body.length,
    signal: options.signal ?? new AbortController().signal,
    trace,
  };
  return toAnswer(await found.route.handle(request));
}

function toAnswer({ status, headers, body }: Reply): Answer {
  if (body instanceof Readable) throw new Error("a stream: read it from the reply");
  return { status, headers: headers ?? {}, text: body ? Buffer.from(body as Uint8Array).toString() : "" };
}

interface Match {
  readonly route: Route;
  readonly params: Record<string, string>;
}

/** Literal segments win over parameters, as in the edge's router. */
function match(routes: readonly Route[], method: string, path: string): Match {
  const parts = path.split("/").slice(1);
  let best: (Match & { readonly literals: number }) | null = null;
  for (const route of routes) {
    const pattern = [route.version, ...route.path.split("/")];
    if (!route.methods.includes(method) || pattern.length !== parts.length) continue;
    const params: Record<string, string> = {};
    const fits = pattern.every((segment, index) => {
      const part = parts[index] as string;
      if (!segment.startsWith(":")) return segment === part;
      params[segment.slice(1)] = decodeURIComponent(part.replaceAll("+", " "));
      return true;
    });
    const literals = pattern.filter((segment) => !segment.startsWith(":")).length;
    if (fits && (best === null || literals > best.literals)) best = { route, params, literals };
  }
  if (best === null) throw new Error(`no route for ${method} ${path}`);
  return best;
}
