import assert from "node:assert/strict";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { ApiError, GrpcCode } from "../../lib/kit/errors.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import type { HttpRequest, Reply, Route } from "../contract/http.ts";
import { tokenCheck } from "./api-token.ts";
import { createCors } from "./cors.ts";
import { createHttpHandler, type HttpHandlerOptions } from "./http-handler.ts";
import { createRescue } from "./rescue.ts";
import { compileRoutes } from "./router.ts";

const boom = new ApiError({ code: "ERR_BOOM", http: 409, grpc: GrpcCode.ABORTED, message: "" }, "boom", {
  details: [{ kind: "ErrorInfo", reason: "DAPR_BOOM", metadata: { a: "b" } }],
});

const routes: Route[] = [
  route("GET", "healthz", () => ({ status: 204 })),
  route("GET", "boom", () => Promise.reject(boom)),
  route("GET", "crash", () => {
    throw new Error("unforeseen");
  }),
  route("POST", "echo", async (request) => ({ status: 200, body: await request.body() })),
  route("POST", "pipe", (request) => ({ status: 200, body: request.stream, headers: { "content-type": "text/plain" } })),
  route("GET", "break", () => ({ status: 200, body: Readable.from(breaking()) })),
  route("GET", "item/:key", (request) => ({ status: 200, body: JSON.stringify(request.params) })),
];

function enqueueTooMuch(controller: ReadableStreamDefaultController) {
  controller.enqueue(new Uint8Array(1001));
  controller.close();
}

async function* breaking() {
  yield Buffer.from("half");
  throw new Error("the source broke");
}

function route(method: string, path: string, handle: (request: HttpRequest) => Reply | Promise<Reply>): Route {
  return { methods: [method], version: "v1.0", path, group: "g", groupVersion: "v1", name: path, handle };
}

async function serve(settings: Partial<HttpHandlerOptions> = {}) {
  const handler = createHttpHandler({
    router: compileRoutes(routes),
    fallback: () => ({ status: 404, body: '{"errorCode":"ERR_DIRECT_INVOKE"}' }),
    token: null,
    cors: null,
    apiLog: null,
    rescue: createRescue(silentLogger, null),
    draining: { on: false },
    log: silentLogger,
    maxBodyBytes: 1000,
    sampleRoot: () => true,
    ...settings,
  });
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const port = (server.address() as AddressInfo).port;
  return { url: `http://127.0.0.1:${port}`, port, [Symbol.asyncDispose]: async () => void server.close().closeAllConnections() };
}

/** node:http rather than fetch: fetch owns headers such as Host, Origin and Sec-Fetch-Site. */
function get(
  url: string,
  headers: Record<string, string>,
  method = "GET",
): Promise<{ status: number; headers: NodeJS.Dict<string | string[]> }> {
  return new Promise((resolve, reject) => {
    httpRequest(url, { method, headers }, (response) => {
      response.resume();
      response.once("end", () => resolve({ status: response.statusCode as number, headers: response.headers }));
    })
      .once("error", reject)
      .end();
  });
}

describe("answers", () => {
  test("an ApiError becomes its status and the rich JSON body", async () => {
    await using server = await serve();
    const response = await fetch(`${server.url}/v1.0/boom`);
    assert.equal(response.status, 409);
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.deepEqual(await response.json(), {
      errorCode: "ERR_BOOM",
      message: "boom",
      details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "DAPR_BOOM", domain: "dapr.io", metadata: { a: "b" } }],
    });
  });

  test("an unforeseen error is answered 500 and the server lives on", async () => {
    await using server = await serve();
    assert.deepEqual(await (await fetch(`${server.url}/v1.0/crash`)).json(), { errorCode: "ERROR", message: "unforeseen" });
    assert.equal((await fetch(`${server.url}/v1.0/healthz`)).status, 204);
  });

  test("what no route matches goes to the fallback", async () => {
    await using server = await serve();
    assert.equal((await fetch(`${server.url}/v1.0/nothing`)).status, 404);
  });

  test("a body that breaks off breaks the connection, never a clean end", async () => {
    await using server = await serve();
    await assert.rejects(async () => (await fetch(`${server.url}/v1.0/break`)).text());
  });

  test("a malformed target and a parameter that is not UTF-8 are 400", async () => {
    await using server = await serve();
    const raw = await new Promise<string>((resolve) => {
      const socket = connect(server.port, "127.0.0.1", () =>
        socket.write("GET /v1.0/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
      );
      let text = "";
      socket.on("data", (chunk) => (text += chunk)).once("close", () => resolve(text));
    });
    assert.match(raw, /^HTTP\/1.1 400 /);
    assert.equal((await fetch(`${server.url}/v1.0/item/%ff`)).status, 400);
  });
});

describe("body limit", () => {
  for (const path of ["echo", "pipe"]) {
    test(`${path}: a body at the limit passes`, async () => {
      await using server = await serve();
      const response = await fetch(`${server.url}/v1.0/${path}`, { method: "POST", body: "x".repeat(1000) });
      assert.equal((await response.text()).length, 1000);
    });
  }

  test("a larger body is 400 ERR_BODY_READ that names the flag, with and without a length", async () => {
    await using server = await serve();
    const chunked = new ReadableStream({ start: enqueueTooMuch });
    for (const body of ["x".repeat(1001), chunked]) {
      const init = { method: "POST", body, ...(body === chunked ? { duplex: "half" } : {}) } as RequestInit;
      const response = await fetch(`${server.url}/v1.0/echo`, init);
      assert.equal(response.status, 400);
      const { errorCode, message } = (await response.json()) as { errorCode: string; message: string };
      assert.equal(errorCode, "ERR_BODY_READ");
      assert.match(message, /stream too large.*--max-body-size/);
    }
  });
});

describe("API token (lessons: attack 2)", () => {
  test("only the exact health routes are exempt", async () => {
    await using server = await serve({ token: tokenCheck("secret") });
    const status = async (path: string, headers = {}) => (await fetch(`${server.url}${path}`, { headers })).status;
    assert.equal(await status("/v1.0/healthz"), 204);
    assert.equal(await status("/v1.0/boom"), 401);
    assert.equal(await status("/v1.0/boom?x=/v1.0/healthz"), 401);
    assert.equal(await status("/v1.0/invoke/app/method/v1.0/healthz"), 401);
    assert.equal(await status("/v1.0/item/healthz"), 401);
    assert.equal(await status("/v1.0/boom", { "dapr-api-token": "wrong" }), 401);
    assert.equal(await status("/v1.0/boom", { "dapr-api-token": "secret" }), 409);
    assert.equal((await fetch(`${server.url}/v1.0/healthz`, { method: "POST" })).status, 401);
  });
});

describe("browser pages (lessons: attack 12)", () => {
  test("a page of another origin and a rebound host name are refused; programs and own pages are not", async () => {
    await using server = await serve();
    const status = async (headers: Record<string, string>) => (await get(`${server.url}/v1.0/healthz`, headers)).status;
    assert.equal(await status({ "sec-fetch-site": "cross-site", origin: "https://evil.example" }), 403);
    assert.equal(await status({ "sec-fetch-site": "same-site" }), 403);
    assert.equal(await status({ "sec-fetch-site": "same-origin", host: "rebound.example:3500" }), 403);
    assert.equal(await status({ "sec-fetch-site": "same-origin" }), 204);
    assert.equal(await status({ "sec-fetch-site": "none" }), 204);
    assert.equal(await status({ origin: "https://evil.example" }), 204);
  });

  test("an allowed origin may call", async () => {
    await using server = await serve({ cors: createCors(["https://good.example"]) });
    const reply = await get(`${server.url}/v1.0/healthz`, { "sec-fetch-site": "cross-site", origin: "https://good.example" });
    assert.equal(reply.status, 204);
    assert.equal(reply.headers["access-control-allow-origin"], "https://good.example");
  });
});

describe("CORS", () => {
  const preflight = { origin: "https://good.example", "access-control-request-method": "GET", "access-control-request-headers": "x-a" };

  test("off: no header, and OPTIONS is routed like any method", async () => {
    await using server = await serve();
    const reply = await get(`${server.url}/v1.0/healthz`, preflight, "OPTIONS");
    assert.equal(reply.status, 404);
    assert.equal(reply.headers["vary"], undefined);
  });

  test("a preflight needs no token and names only what is allowed", async () => {
    await using server = await serve({ cors: createCors(["https://good.example", "https://*.dev.example"]), token: tokenCheck("t") });
    const good = await get(`${server.url}/v1.0/healthz`, preflight, "OPTIONS");
    assert.equal(good.status, 200);
    assert.equal(good.headers["access-control-allow-origin"], "https://good.example");
    assert.equal(good.headers["access-control-allow-headers"], "x-a");
    const wild = await get(`${server.url}/v1.0/healthz`, { ...preflight, origin: "https://a.dev.example" }, "OPTIONS");
    assert.equal(wild.headers["access-control-allow-origin"], "https://a.dev.example");
    const bad = await get(`${server.url}/v1.0/healthz`, { ...preflight, origin: "https://evil.example" }, "OPTIONS");
    assert.equal(bad.status, 200);
    assert.equal(bad.headers["access-control-allow-origin"], undefined);
  });
});

test("an HTTP/1.1 answer carries no connection headers, and the connection is kept all the same", async () => {
  await using server = await serve();
  const socket = connect(server.port, "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk) => {
    text += chunk;
    if (text.match(/HTTP\/1\.1 204/g)?.length === 1) socket.write("GET /v1.0/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  });
  socket.write("GET /v1.0/healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise((resolve) => socket.once("close", resolve));
  const [first, second] = text.split("\r\n\r\n") as [string, string];
  assert.doesNotMatch(first, /connection|keep-alive/i);
  assert.match(second, /^HTTP\/1\.1 204/);
});

test("while the server drains, an answer is the last on its connection", async () => {
  await using server = await serve({ draining: { on: true } });
  assert.equal((await get(`${server.url}/v1.0/healthz`, {})).headers["connection"], "close");
});
