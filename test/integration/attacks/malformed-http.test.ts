// Bad input below the API: requests that two parsers could read in two ways (smuggling), and heads without measure. Each is one
// answer that says why, then the end of the connection; nothing behind it is taken for a request, nothing is stored.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { component } from "../../build/resource.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { connectTo, rawHttp, requestText } from "../../harness/raw-http.ts";

const item = '[{"key":"smuggled","value":1}]';
const line = "POST /v1.0/state/store";
const sized = `Content-Length: ${item.length}`;
const second = `POST /v1.0/state/store HTTP/1.1\r\nHost: x\r\n${sized}\r\n\r\n${item}`;

/** Header lines, body. All without `Connection: close`: a server that read on would answer twice. */
const smuggling: readonly (readonly [name: string, headers: readonly string[], body: string])[] = [
  ["two lengths", ["Content-Length: 0", sized], item],
  ["the same length twice", [sized, sized], item],
  ["a list of lengths", [`Content-Length: 0, ${item.length}`], item],
  ["a length and chunks", ["Content-Length: 4", "Transfer-Encoding: chunked"], `0\r\n\r\n${second}`],
  ["chunks and a length", ["Transfer-Encoding: chunked", "Content-Length: 4"], `0\r\n\r\n${second}`],
  ["chunked that is not last", ["Transfer-Encoding: chunked, identity"], `0\r\n\r\n${second}`],
  ["an unknown coding", ["Transfer-Encoding: xchunked"], `0\r\n\r\n${second}`],
  ["chunked twice", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], `0\r\n\r\n${second}`],
  ["a space before the colon", ["Transfer-Encoding : chunked"], `0\r\n\r\n${second}`],
  ["a tab before the colon", [`Content-Length\t: ${item.length}`], item],
  ["a length with a sign", [`Content-Length: +${item.length}`], item],
  ["a negative length", ["Content-Length: -1"], item],
  ["a length beyond all numbers", ["Content-Length: 99999999999999999999999"], item],
  ["a length in hex", ["Content-Length: 0x1e"], item],
  ["no chunk size", ["Transfer-Encoding: chunked"], `zz\r\n${item}\r\n0\r\n\r\n`],
  ["a chunk size beyond all numbers", ["Transfer-Encoding: chunked"], `fffffffffffffffff\r\n${item}`],
  ["a folded field", ["X-Fold: a\r\n Content-Length: 0", sized], item],
  ["a bare LF between fields", [`X-A: b\nX-C: d`, sized], item],
  ["a bare CR in a field", ["X-A: b\rc", sized], item],
  ["a NUL in a field", ["X-A: b\0c", sized], item],
  ["a space in a name", ["X A: b", sized], item],
  ["a field without a name", [": b", sized], item],
  ["a field without a colon", ["nonsense", sized], item],
];

describe("malformed HTTP", () => {
  let sidecar: Daprd;
  before(async () => {
    sidecar = await daprd({ resources: [component("store", "state.in-memory")] });
  });
  after(() => sidecar[Symbol.asyncDispose]());

  for (const [name, headers, body] of smuggling) {
    test(`${name}: one 400 with the reason, and nothing is stored`, async () => {
      const reply = await rawHttp(sidecar.httpPort, [`${line} HTTP/1.1`, "Host: localhost", ...headers, "", body].join("\r\n"));
      assert.equal(reply.status, 400, reply.text);
      assert.equal(reply.responses, 1, reply.text);
      assert.match(reply.body, /^400 Bad Request: the request is malformed: .+; send HTTP\/1\.1 as RFC 9112 says\n$/);
      assert.equal((await sidecar.fetch("/v1.0/state/store/smuggled")).status, 204);
    });
  }

  const lines: readonly (readonly [line: string, status: number])[] = [
    ["GARBAGE\r\n\r\n", 400],
    ["\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001", 400],
    ["GET /v1.0/healthz HTTP/9.9\r\nHost: a\r\n\r\n", 400],
    ["GET /v1.0/health z HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["BREW /v1.0/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["GET /v1.0/healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400],
    ["GET /v1.0/healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", 400],
    [`GET /${"a".repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
    [requestText("GET /v1.0/healthz", [`X-Big: ${"b".repeat(100_000)}`]), 431],
    [
      requestText(
        "GET /v1.0/healthz",
        Array.from({ length: 5000 }, (_, i) => `X-${i}: y`),
      ),
      431,
    ],
    [requestText("GET /v1.0/healthz", [`Cookie: ${"c=d; ".repeat(5000)}`]), 431],
  ];
  for (const [text, status] of lines) {
    test(`${JSON.stringify(text.slice(0, 60))} is ${status}`, async () => {
      const reply = await rawHttp(sidecar.httpPort, text);
      assert.equal(reply.status, status, reply.text);
      assert.equal(reply.responses, 1);
      assert.ok(reply.body.startsWith(`${status} `), reply.text);
    });
  }

  test("a head over the limit names the flag, and fits under a larger one", async () => {
    const headers = [`X-Big: ${"b".repeat(20_000)}`];
    const reply = await rawHttp(sidecar.httpPort, requestText("GET /v1.0/healthz", headers));
    assert.match(reply.body, /raise --read-buffer-size/);
    await using roomy = await daprd({ flags: { "read-buffer-size": "32Ki" } });
    assert.equal((await rawHttp(roomy.httpPort, requestText("GET /v1.0/healthz", headers))).status, 204);
  });

  test("clients that say nothing, half a head or half a body keep nobody else waiting", async () => {
    const texts = ["", "GET /v1.0/hea", `${line} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n[{"key":"half","value":`];
    const sockets = await Promise.all(
      Array.from({ length: 150 }, (_, i) => connectTo(sidecar.httpPort).then((socket) => [socket, texts[i % 3]] as const)),
    );
    for (const [socket, text] of sockets) if (text) socket.on("error", () => {}).write(text);
    const started = performance.now();
    assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
    assert.ok(performance.now() - started < 1000);
    for (const [socket] of sockets) socket.destroy();
    assert.equal((await sidecar.fetch("/v1.0/state/store/half")).status, 204);
  });

  test("the sidecar is as well as before", async () => {
    assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
    assert.ok(!sidecar.lines.some((text) => /level=(error|fatal)/.test(text)));
  });
});
