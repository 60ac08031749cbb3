// One HTTP exchange with the API server, or one long answer that is read line by line (a watch). Everything is bounded: the
// time to an answer, its size, the length of a line, and how long a watch may be silent.
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { KubeAccess } from "./access.ts";
import { errorOfAnswer, KubeError } from "./error.ts";

export interface KubeRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the root, with the query. */
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  /** JSON by default. */
  readonly accept?: string;
}

export type Send = (request: KubeRequest, signal: AbortSignal) => Promise<unknown>;

const requestTimeoutMs = 30_000;
const answerMaxBytes = 64 * 1024 * 1024;
const refusalMaxBytes = 64 * 1024;
const lineMaxBytes = 8 * 1024 * 1024;

/** The answer's JSON. Rejects with KubeError, or with the signal's reason. */
export async function exchange(access: KubeAccess, request: KubeRequest, signal: AbortSignal): Promise<unknown> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]);
  const response = await open(access, request, deadline, signal);
  const bytes = await collect(response, answerMaxBytes).catch((error: unknown) => {
    throw failure(request, error, signal);
  });
  try {
    return bytes.length === 0 ? {} : JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new KubeError(0, `${nameOf(request)}: the answer is no JSON`, { cause: error });
  }
}

/** Lines of the answer as they come, without line ends. Ends when the server ends it or `silenceMs` pass without a byte. */
export async function* lines(access: KubeAccess, request: KubeRequest, silenceMs: number, signal: AbortSignal): AsyncGenerator<string> {
  const answered = new AbortController();
  const timer = setTimeout(() => answered.abort(new Error("no answer in time")), requestTimeoutMs);
  const response = await open(access, request, AbortSignal.any([signal, answered.signal]), signal).finally(() => clearTimeout(timer));
  const silence = setTimeout(() => response.destroy(), silenceMs);
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      silence.refresh();
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
        yield rest.toString("utf8", 0, end);
        rest = rest.subarray(end + 1);
      }
      if (rest.length > lineMaxBytes) throw new KubeError(0, `${nameOf(request)}: a line of more than ${lineMaxBytes} bytes`);
    }
  } catch (error) {
    if (error instanceof KubeError) throw error;
    if (signal.aborted) throw signal.reason;
    // A connection that breaks ends the watch, like one that is closed: what was missed comes with the next.
  } finally {
    clearTimeout(silence);
    response.destroy();
  }
  if (rest.length > 0) yield rest.toString("utf8");
}

async function open(access: KubeAccess, request: KubeRequest, deadline: AbortSignal, signal: AbortSignal): Promise<IncomingMessage> {
  const payload = request.body === undefined ? null : Buffer.from(JSON.stringify(request.body));
  const headers = {
    accept: request.accept ?? "application/json",
    "user-agent": "outrigger",
    ...(await access.headers()),
    ...(payload === null ? {} : { "content-type": request.contentType ?? "application/json", "content-length": payload.length }),
  };
  const send = () => sendOnce(access, request, headers, payload, deadline);
  const response = await send()
    .catch((error: unknown) => (error instanceof StaleConnection && request.method === "GET" ? send() : Promise.reject(error)))
    .catch((error: unknown) => {
      throw failure(request, error, signal);
    });
  const status = response.statusCode ?? 0;
  if (status >= 200 && status <= 299) return response;
  if (status === 401) access.forgetHeaders();
  const body = await collect(response, refusalMaxBytes).catch(() => Buffer.alloc(0));
  throw errorOfAnswer(nameOf(request), status, response.headers["retry-after"], body);
}

/** A kept connection that the server closed just as we took it up: it has seen nothing of the request. */
class StaleConnection extends Error {}

function sendOnce(
  access: KubeAccess,
  { method, path }: KubeRequest,
  headers: Readonly<Record<string, string | number>>,
  payload: Buffer | null,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const start = access.server.startsWith("http:") ? httpRequest : httpsRequest;
  return new Promise((resolve, reject) => {
    const sent = start(`${access.server}${path}`, { method, agent: access.agent, headers, signal }, resolve);
    sent.on("error", (error: NodeJS.ErrnoException) => {
      const isStale = sent.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
      reject(isStale ? new StaleConnection(error.message, { cause: error }) : error);
    });
    sent.end(payload ?? undefined);
  });
}

function failure(request: KubeRequest, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof KubeError) return error;
  const cause = error instanceof Error ? error.message : String(error);
  return new KubeError(0, `${nameOf(request)}: the Kubernetes API cannot be reached: ${cause}`, { cause: error });
}

function nameOf({ method, path }: KubeRequest): string {
  const query = path.indexOf("?");
  return `${method} ${query < 0 ? path : path.slice(0, query)}`;
}

async function collect(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) {
      response.destroy();
      throw new Error(`the answer has more than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}
