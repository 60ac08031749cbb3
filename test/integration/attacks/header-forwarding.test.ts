// Attack 19 of lessons.md, header handling: hop-by-hop fields forwarded (Dapr 1.17.4), a stale Content-Length (1.17.3), CR and LF
// in metadata that becomes headers (1.14.2). What leaves the sidecar is framed by the sidecar, whatever either side announced.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { component } from "../../build/resource.ts";
import { type App, app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { rawHttp, requestText } from "../../harness/raw-http.ts";

const hopByHop = [
  "Keep-Alive: timeout=5",
  "Proxy-Connection: keep-alive",
  "TE: trailers",
  "Trailer: X-End",
  "Upgrade: h2c",
  "Proxy-Authorization: Basic c2VjcmV0",
];

describe("header fields of an invocation", () => {
  let shop: App;
  let sidecar: Daprd;
  before(async () => {
    const subscriptions = [{ pubsubname: "bus", topic: "orders", route: "/event" }];
    shop = await app({
      subscriptions,
      http: { "*": ({ headers, body }) => ({ body: { headers, body: body.toString() } }), "/event": () => ({}) },
    });
    sidecar = await daprd({ appId: "shop", app: shop, resources: [component("bus", "pubsub.in-memory")], ready: "all" });
  });
  after(async () => {
    await sidecar[Symbol.asyncDispose]();
    await shop[Symbol.asyncDispose]();
  });
  const invoke = (headers: readonly string[], body = "") =>
    rawHttp(sidecar.httpPort, requestText("POST /v1.0/invoke/shop/method/order", headers, body));

  test("that belong to one connection stay there", async () => {
    const request = [
      "POST /v1.0/invoke/shop/method/order HTTP/1.1",
      "Host: localhost",
      "Connection: close, X-Mine",
      "X-Mine: 1",
      "X-Kept: 1",
    ];
    const text = [...request, ...hopByHop.filter((line) => !line.startsWith("Upgrade")), "Content-Length: 2", "", "{}"].join("\r\n");
    const { headers } = JSON.parse((await rawHttp(sidecar.httpPort, text)).body);
    assert.equal(headers["x-kept"], "1");
    for (const name of ["x-mine", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "proxy-authorization"])
      assert.equal(headers[name], undefined, name);
  });

  test("announce the body that is really sent", async () => {
    const chunked = await invoke(["Transfer-Encoding: chunked"], "5\r\nhello\r\n6\r\n world\r\n0\r\nX-End: 1\r\n\r\n");
    assert.equal(JSON.parse(chunked.body).body, "hello world");
    const sized = await invoke(["Content-Length: 5"], "hello");
    assert.deepEqual([JSON.parse(sized.body).body, JSON.parse(sized.body).headers["content-length"]], ["hello", "5"]);
  });

  test("cannot be added by a publisher's metadata", async () => {
    const seen = shop.calls.length;
    const hostile: Record<string, string> = {
      "X-Split": "a\r\nX-Evil: 1",
      "X-Evil: 1\r\nX-Other": "a",
      "Content-Length": "1",
      "Transfer-Encoding": "chunked",
      Connection: "close, content-type",
      Host: "evil.example",
      "dapr-app-id": "other",
      "": "empty",
      "X-Nul": "a\0b",
      "X-Fine": "kept",
    };
    const query = new URLSearchParams(Object.entries(hostile).map(([name, value]) => [`metadata.${name}`, value]));
    assert.equal((await sidecar.post(`/v1.0/publish/bus/orders?${query}`, { a: 1 })).status, 204);
    await shop.called("/event");
    const [event] = shop.calls.slice(seen);
    assert.equal(event?.headers["x-fine"], "kept");
    for (const name of ["x-evil", "x-split", "x-nul", "x-other", "transfer-encoding", "dapr-app-id"])
      assert.equal(event?.headers[name], undefined, name);
    assert.match(String(event?.headers.host), /^127\.0\.0\.1:/);
    assert.deepEqual(event?.json<{ data: unknown }>().data, { a: 1 });
  });
});

/** An app that answers every connection with these bytes. */
async function withRawApp(answer: string, use: (sidecar: Daprd) => Promise<void>): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(answer, "latin1"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  try {
    await using sidecar = await daprd({ appId: "shop", app: port, ready: "all", flags: { "disable-init-endpoints": "config,subscribe" } });
    await use(sidecar);
  } finally {
    server.close();
  }
}

const get = requestText("GET /v1.0/invoke/shop/method/x");

describe("an app's answer", () => {
  const answers: readonly { readonly name: string; readonly answer: string; readonly body: RegExp }[] = [
    {
      name: "with two lengths",
      answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nokxx",
      body: /ERR_DIRECT_INVOKE/,
    },
    {
      name: "with a length and chunks",
      answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
      body: /ERR_DIRECT_INVOKE/,
    },
    { name: "that is no HTTP", answer: "SSH-2.0-OpenSSH_9.6\r\n", body: /ERR_DIRECT_INVOKE/ },
    { name: "with a NUL in a field", answer: "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok", body: /ERR_DIRECT_INVOKE/ },
    { name: "with a head over the limit", answer: `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(20_000)}\r\n\r\nok`, body: /ERR_DIRECT_INVOKE/ },
  ];
  for (const { name, answer, body } of answers) {
    test(`${name} is one 500, and the connection carries nothing of it`, async () => {
      await withRawApp(answer, async (sidecar) => {
        const reply = await rawHttp(sidecar.httpPort, get);
        assert.equal(reply.status, 500, reply.text);
        assert.equal(reply.responses, 1);
        assert.match(reply.body, body);
        assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
      });
    });
  }

  test("loses the fields of its connection", async () => {
    const fields = ["Connection: X-Mine, close", "X-Mine: 1", "Keep-Alive: timeout=1", "Proxy-Authenticate: Basic", "X-Kept: 1"];
    await withRawApp(["HTTP/1.1 200 OK", ...fields, "Content-Length: 2", "", "ok"].join("\r\n"), async (sidecar) => {
      const { head, body } = await rawHttp(sidecar.httpPort, get);
      assert.match(head, /x-kept: 1/i);
      assert.doesNotMatch(head, /x-mine|timeout=1|proxy-authenticate/i);
      assert.equal(body, "ok");
    });
  });

  test("that ends early ends the caller's too: half an answer is never a whole one", async () => {
    await withRawApp(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`, async (sidecar) => {
      const reply = await rawHttp(sidecar.httpPort, get);
      assert.doesNotMatch(reply.text, /\r\n0\r\n\r\n$/);
      await assert.rejects(sidecar.fetch("/v1.0/invoke/shop/method/x").then((response) => response.text()));
    });
  });
});
