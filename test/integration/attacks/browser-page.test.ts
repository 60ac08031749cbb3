// Attack 12 of lessons.md, cross-site requests from a web page into a sidecar on loopback (DAP-01-006), DNS rebinding among them.
// Browsers mark what a page sends with Sec-Fetch-Site, which no page can forge or drop; programs send no such header.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { component } from "../../build/resource.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { rawHttp, requestText } from "../../harness/raw-http.ts";

const resources = [component("store", "state.in-memory")];
const save = (headers: readonly string[]) =>
  requestText("POST /v1.0/state/store", ["Content-Length: 25", ...headers], '[{"key":"page","value":1}]'.slice(0, 25));
const read = (headers: readonly string[]) => requestText("GET /v1.0/state/store/page", headers);

describe("a browser page", () => {
  let sidecar: Daprd;
  before(async () => {
    sidecar = await daprd({ resources });
  });
  after(() => sidecar[Symbol.asyncDispose]());

  const pages: readonly (readonly string[])[] = [
    ["Sec-Fetch-Site: cross-site", "Origin: https://evil.example", "Content-Type: text/plain"],
    ["Sec-Fetch-Site: cross-site", "Content-Type: application/x-www-form-urlencoded"],
    ["Sec-Fetch-Site: same-site", "Origin: http://localhost:8080"],
    ["Sec-Fetch-Site: cross-site", "Origin: null"],
  ];
  for (const headers of pages) {
    test(`of another origin changes nothing and reads nothing: ${headers.join(", ")}`, async () => {
      for (const request of [save(headers), read(headers), requestText("GET /v1.0/metadata", headers)]) {
        const reply = await rawHttp(sidecar.httpPort, request);
        assert.equal(reply.status, 403, reply.text);
        assert.match(reply.body, /--allowed-origins/);
        assert.doesNotMatch(reply.head, /access-control-allow/i);
      }
      assert.equal((await rawHttp(sidecar.httpPort, read([]))).status, 204, "nothing was stored");
    });
  }

  test("that rebound a name of its own to loopback is told by its Host", async () => {
    const request = [
      "GET /v1.0/metadata HTTP/1.1",
      "Host: rebound.example:3500",
      "Sec-Fetch-Site: same-origin",
      "Connection: close",
      "",
      "",
    ];
    assert.equal((await rawHttp(sidecar.httpPort, request.join("\r\n"))).status, 403);
  });

  test("gets no CORS header and no preflight by default", async () => {
    const preflight = requestText("OPTIONS /v1.0/state/store", ["Origin: https://evil.example", "Access-Control-Request-Method: POST"]);
    for (const request of [preflight, read(["Origin: https://evil.example"])])
      assert.doesNotMatch((await rawHttp(sidecar.httpPort, request)).head, /access-control/i);
  });

  test("is told from a program, a user at the address bar, and a page of the sidecar's own origin", async () => {
    for (const headers of [[], ["Sec-Fetch-Site: none"], ["Sec-Fetch-Site: same-origin"]])
      assert.equal((await rawHttp(sidecar.httpPort, requestText("GET /v1.0/metadata", headers))).status, 200, String(headers));
  });
});

test("a page whose origin is allowed by --allowed-origins may call, and no other", async () => {
  await using sidecar = await daprd({ resources, flags: { "allowed-origins": "https://shop.example" } });
  const ask = (origin: string) =>
    rawHttp(sidecar.httpPort, requestText("GET /v1.0/metadata", ["Sec-Fetch-Site: cross-site", `Origin: ${origin}`]));
  const allowed = await ask("https://shop.example");
  assert.equal(allowed.status, 200);
  assert.match(allowed.head, /access-control-allow-origin: https:\/\/shop\.example/i);
  for (const origin of ["https://shop.example.evil.example", "https://evilshop.example", "http://shop.example", "null"]) {
    const reply = await ask(origin);
    assert.equal(reply.status, 403, origin);
    assert.doesNotMatch(reply.head, /access-control-allow-origin/i);
  }
});
