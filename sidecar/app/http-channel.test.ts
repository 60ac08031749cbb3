import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { ApiError } from "../../lib/kit/errors.ts";
import type { AppRequest } from "../contract/ports.ts";
import { readBody } from "../contract/read-body.ts";
import { ConcurrencyLimit } from "./concurrency.ts";
import { createHttpChannel, type HttpChannel, type HttpChannelOptions } from "./http-channel.ts";

const never = new AbortController().signal;

async function app(t: TestContext, handler: RequestListener, options: Partial<HttpChannelOptions> = {}): Promise<HttpChannel> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  return channelTo(t, server, options);
}

function channelTo(t: TestContext, server: Pick<Server, "address" | "close">, options: Partial<HttpChannelOptions> = {}): HttpChannel {
  const { port } = server.address() as AddressInfo;
  const channel = createHttpChannel({
    protocol: "http",
    baseUrl: `http://127.0.0.1:${port}`,
    maxHeaderBytes: 4096,
    insecure: true,
    fixedHeaders: new Map(),
    limit: null,
    ...options,
  });
  t.after(async () => {
    server.close();
    await channel.close();
  });
  return channel;
}

function request(overrides: Partial<AppRequest> = {}): AppRequest {
  return { verb: "GET", method: "x", query: "", headers: {}, contentType: null, body: null, contentLength: null, ...overrides };
}

async function textOf(body: Uint8Array | Readable): Promise<string> {
  return Buffer.from(await readBody(body, 0)).toString();
}

test("request line, headers and token arrive; hop-by-hop fields do not", async (t) => {
  const channel = await app(
    t,
    (req, res) => {
      res.setHeader("Connection", "x-private");
      res.setHeader("X-Private", "1");
      res.setHeader("Set-Cookie", ["a=1", "b=2"]);
      res.writeHead(201, { "content-type": "application/json" });
      res.end(JSON.stringify({ url: req.url, raw: req.rawHeaders }));
    },
    { fixedHeaders: new Map([["Dapr-Api-Token", "secret"]]) },
  );
  const response = await channel.invoke(
    request({
      method: 'a "b"/c',
      query: "q=1&r=<x>",
      contentType: "text/plain",
      headers: {
        accept: ["*/*"],
        "x-multi": ["1", "2"],
        te: ["trailers"],
        connection: ["x-drop"],
        "x-drop": ["1"],
        "dapr-api-token": ["caller"],
        "outrigger-call": ["event"],
      },
    }),
    never,
  );
  const seen = JSON.parse(await textOf(response.body)) as { url: string; raw: string[] };
  assert.equal(response.status, 201);
  assert.equal(response.contentType, "application/json");
  assert.equal(seen.url, "/a%20%22b%22/c?q=1&r=%3Cx%3E");
  const pairs = seen.raw.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${seen.raw[i + 1]}`] : [])).filter((line) => !/^host/i.test(line));
  assert.deepEqual(pairs, ["Accept: */*", "X-Multi: 1", "X-Multi: 2", "Content-Type: text/plain", "Dapr-Api-Token: secret"]);
  assert.deepEqual(response.headers["set-cookie"], ["a=1", "b=2"]);
  assert.equal(response.headers["x-private"], undefined);
});

test("what the sidecar itself calls for is marked, over a mark of the message's", async (t) => {
  const channel = await app(t, (req, res) => res.end(JSON.stringify(req.headers["outrigger-call"])));
  const response = await channel.invoke(request({ headers: { "outrigger-call": ["forged"] }, call: "event" }), never);
  assert.equal(await textOf(response.body), '"event"');
});

test("a response that comes in pieces streams: the first piece is here before the second is sent", async (t) => {
  const second = Promise.withResolvers<void>();
  const channel = await app(t, async (_req, res) => {
    res.write("first");
    await second.promise;
    res.end("second");
  });
  const { body } = await channel.invoke(request(), never);
  assert.ok(body instanceof Readable);
  const chunks = body[Symbol.asyncIterator]();
  assert.equal(String((await chunks.next()).value), "first");
  second.resolve();
  assert.equal(String((await chunks.next()).value), "second");
  assert.ok((await chunks.next()).done);
});

test("a slow reader stops the app instead of filling memory", async (t) => {
  const total = 64 * 1024 * 1024;
  let written = 0;
  const stalled = Promise.withResolvers<void>();
  const channel = await app(t, (_req, res) => {
    const chunk = Buffer.alloc(64 * 1024);
    const more = () => {
      while (written < total) {
        written += chunk.length;
        if (!res.write(chunk)) {
          stalled.resolve();
          return void res.once("drain", more);
        }
      }
      res.end();
    };
    more();
  });
  const { body } = await channel.invoke(request(), never);
  await stalled.promise;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(written < total / 4, `the app wrote ${written} bytes while nobody read`);
  let size = 0;
  for await (const chunk of body as Readable) size += (chunk as Buffer).length;
  assert.equal(size, total);
});

test("a request body streams with its length, and one without a length goes chunked", async (t) => {
  const channel = await app(t, (req, res) => {
    let size = 0;
    req.on("data", (chunk: Buffer) => (size += chunk.length));
    req.on("end", () => res.end(`${size} ${req.headers["content-length"]} ${req.headers["transfer-encoding"]}`));
  });
  const chunks = () => Readable.from([Buffer.alloc(1000), Buffer.alloc(24)]);
  const sized = await channel.invoke(request({ verb: "POST", body: chunks(), contentLength: 1024 }), never);
  assert.equal(await textOf(sized.body), "1024 1024 undefined");
  const unsized = await channel.invoke(request({ verb: "POST", body: chunks() }), never);
  assert.equal(await textOf(unsized.body), "1024 undefined chunked");
  const none = await channel.invoke(request({ verb: "POST" }), never);
  assert.equal(await textOf(none.body), "0 0 undefined");
});

test("a length that the app announced but did not send: what came is the answer", async (t) => {
  const server = createTcpServer((socket) => {
    socket.once("data", () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n"ok"'));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const channel = channelTo(t, server);
  const response = await channel.invoke(request(), never);
  assert.equal(await textOf(response.body), '"ok"');
});

test("an app that dies in the middle of a stream breaks the stream", async (t) => {
  const channel = await app(t, (_req, res) => {
    res.write("half");
    setImmediate(() => res.destroy());
  });
  const { body } = await channel.invoke(request(), never);
  await assert.rejects(textOf(body));
});

test("the caller going away ends the app's request", async (t) => {
  const arrived = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const channel = await app(t, (_req, res) => {
    res.on("close", gone.resolve);
    arrived.resolve();
  });
  const abort = new AbortController();
  const call = channel.invoke(request(), abort.signal);
  const failed = assert.rejects(call, /caller left/);
  await arrived.promise;
  abort.abort(new Error("caller left"));
  await failed;
  await gone.promise;
});

test("nobody listening is an ApiError that names the target but not the query", async (t) => {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const channel = channelTo(t, server);
  server.close();
  await once(server, "close");
  await assert.rejects(channel.invoke(request({ method: "pay", query: "token=s3cret" }), never), (error) => {
    assert.ok(error instanceof ApiError);
    assert.match(error.message, /^Get "http:\/\/127\.0\.0\.1:\d+\/pay": .*ECONNREFUSED/);
    assert.doesNotMatch(error.message, /s3cret/);
    return true;
  });
});

test("a kept connection that the app closed is replaced for a safe request", async (t) => {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1");
      // The second request on this connection meets a reset.
      socket.once("data", () => socket.destroy());
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const channel = channelTo(t, server);
  t.after(() => sockets.forEach((socket) => void socket.destroy()));
  await channel.invoke(request(), never);
  const response = await channel.invoke(request(), never);
  assert.equal(await textOf(response.body), "1");
  await assert.rejects(channel.invoke(request({ verb: "POST", body: Buffer.from("x") }), never), ApiError);
});

test("redirects are the caller's to follow; HEAD and 204 have no body", async (t) => {
  const channel = await app(t, (req, res) => {
    if (req.url === "/moved") res.writeHead(302, { location: "/x" }).end();
    else if (req.method === "HEAD") res.writeHead(200, { "content-length": "5" }).end();
    else res.writeHead(204).end();
  });
  const moved = await channel.invoke(request({ method: "moved" }), never);
  assert.equal(moved.status, 302);
  assert.deepEqual(moved.headers["location"], ["/x"]);
  const head = await channel.invoke(request({ verb: "HEAD" }), never);
  assert.deepEqual([await textOf(head.body), head.headers["content-length"]], ["", ["5"]]);
  assert.equal((await channel.invoke(request(), never)).status, 204);
});

test("the concurrency limit makes callers wait until a body has ended", async (t) => {
  const limit = new ConcurrencyLimit(1);
  const finish = Promise.withResolvers<void>();
  const channel = await app(
    t,
    async (req, res) => {
      if (req.url !== "/slow") return void res.end("quick");
      res.write("begun");
      await finish.promise;
      res.end();
    },
    { limit },
  );
  const slow = await channel.invoke(request({ method: "slow" }), never);
  const quick = channel.invoke(request(), never);
  assert.equal(limit.waiting, 1);
  assert.equal(await channel.probe("/healthz", never), 200);
  assert.equal(limit.waiting, 1);
  finish.resolve();
  await textOf(slow.body);
  assert.equal(await textOf((await quick).body), "quick");
  await assert.rejects(channel.invoke(request({ verb: "CONNECT" }), never), /invalid HTTP verb/);
  assert.equal(await textOf((await channel.invoke(request(), never)).body), "quick");
});

test("a waiting caller that leaves gives up its place", async () => {
  const limit = new ConcurrencyLimit(1);
  assert.equal(limit.acquire(never), null);
  const abort = new AbortController();
  const waiting = limit.acquire(abort.signal);
  abort.abort(new Error("left"));
  await assert.rejects(waiting as Promise<void>, /left/);
  limit.release();
  assert.equal(limit.acquire(never), null);
});
