// A real HTTP app for sidecars to call: handlers by path, every request kept, closed on dispose.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface AppCall {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as JSON. */
  json<T = unknown>(): T;
}

export interface AppReply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** Objects go out as JSON. */
  readonly body?: string | Uint8Array | object;
}

export type AppHandler = (call: AppCall) => AppReply | undefined | Promise<AppReply | undefined>;

export interface AppOptions {
  /** By path, or `METHOD /path`; `*` is for everything else (404 without). */
  readonly http?: Readonly<Record<string, AppHandler>>;
  /** Answer of GET /dapr/subscribe. */
  readonly subscriptions?: readonly object[];
  /** Takes requests as they come, for streams; nothing is kept. */
  readonly raw?: (request: IncomingMessage, response: ServerResponse) => void;
  /** A fixed port of harness/ports.ts; else the kernel chooses. */
  readonly port?: number;
}

export class App implements AsyncDisposable {
  readonly port: number;
  readonly calls: AppCall[] = [];
  readonly #server: Server;
  #watchers = new Set<() => void>();

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async start(options: AppOptions): Promise<App> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    const app = new App(server);
    const { raw } = options;
    server.on("request", raw ?? ((request, response) => void app.#handle(options, request, response)));
    return app;
  }

  /** Resolves with the calls to `path` when there are at least `count`. */
  async called(path: string, count = 1, withinMs = 10_000): Promise<AppCall[]> {
    const matching = () => this.calls.filter((call) => call.path === path);
    await new Promise<void>((resolve, reject) => {
      const finish = () => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
        resolve();
      };
      const watch = () => {
        if (matching().length >= count) finish();
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(watch);
        const seen = this.calls.map((call) => `${call.method} ${call.path}`).join(", ");
        reject(new Error(`${path} was called ${matching().length} times, not ${count}, within ${withinMs} ms; calls: ${seen}`));
      }, withinMs);
      this.#watchers.add(watch);
      watch();
    });
    return matching();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(options: AppOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const call = await readCall(request);
      this.calls.push(call);
      for (const watcher of this.#watchers) watcher();
      send(response, await answer(options, call));
    } catch (error) {
      // The caller went away, or a handler threw: that is the test's reply.
      if (!response.headersSent) send(response, { status: 500, body: String(error) });
      else response.destroy();
    }
  }
}

async function readCall(request: IncomingMessage): Promise<AppCall> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body = Buffer.concat(parts);
  const [path = "", query = ""] = (request.url ?? "").split("?", 2);
  return { method: request.method ?? "", path, query, headers: request.headers, body, json: () => JSON.parse(body.toString()) };
}

async function answer(options: AppOptions, call: AppCall): Promise<AppReply> {
  const handlers = options.http ?? {};
  const handler = handlers[`${call.method} ${call.path}`] ?? handlers[call.path];
  if (handler !== undefined) return (await handler(call)) ?? {};
  if (call.path === "/dapr/subscribe" && options.subscriptions !== undefined) return { body: options.subscriptions };
  return (await handlers["*"]?.(call)) ?? { status: 404 };
}

function send(response: ServerResponse, reply: AppReply): void {
  const { status = 200, headers = {}, body } = reply;
  const plain = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  response.writeHead(status, plain ? headers : { "content-type": "application/json", ...headers });
  response.end(plain ? body : JSON.stringify(body));
}

/** Starts an app: `await using shop = await app({ http: { "/orders": () => ({ body: [] }) } })`. */
export function app(options: AppOptions = {}): Promise<App> {
  return App.start(options);
}
