// Attack 1 of lessons.md, ACL path confusion (CVE-2026-41491, DAP-02-013), and 18, parameters smuggled in a method: a method
// is normalised once, and what policy judged is what the app gets, by whichever way the call came. Access control has its own
// issue; until then the API lists are the policy, and the app's request line is the witness of what was dispatched.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { HTTPExtension_Verb } from "../../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component, configuration } from "../../build/resource.ts";
import { type App, app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { rawHttp, requestText } from "../../harness/raw-http.ts";

/** The percent-encoded method, and the path that must reach the app. */
const reaches: readonly (readonly [method: string, path: string])[] = [
  ["admin/../public", "/public"],
  ["admin%2F..%2Fpublic", "/public"],
  ["admin%2f%2e%2e%2fpublic", "/public"],
  ["a/%252e%252e/public", "/public"],
  ["%2e%2e/%2e%2e/public", "/public"],
  ["a/../../public", "/public"],
  ["a/../../../other/method/public", "/other/method/public"],
  ["../../../metadata", "/metadata"],
  ["public//orders", "/public/orders"],
  ["public/./orders", "/public/orders"],
  ["newOrdeR", "/newOrdeR"],
  ["a%252Fb", "/a%2Fb"],
  ["a%2572", "/a%72"],
  ["a%5Cb", "/a%5Cb"],
];

/** Over HTTP the path is resolved before its characters are looked at; a method in a gRPC message is no path until then. */
const resolvedFirst: readonly (readonly [method: string, path: string])[] = [
  ["public%23%2F..%2Fadmin", "/admin"],
  ["public%3F%2F..%2F..%2Fsecret%2Fadmin", "/secret/admin"],
  ["public%23%00%2F..%2Fadmin", "/admin"],
];

/** Refused, with the text that says why. */
const refused: readonly (readonly [method: string, reason: RegExp])[] = [
  ["admin%23public", /forbidden character/],
  ["neworder%3fparam1=123", /forbidden character/],
  ["a%00b", /forbidden character/],
  ["a%0D%0AX-Evil:%201", /control character/],
  ["a%7fb", /control character/],
  ["%25", /% as %25|invalid URL escape/],
];

const bare: readonly (readonly [method: string, reason: RegExp])[] = [
  ["%", /malformed/],
  ["a%2", /malformed/],
  ["a%zz", /malformed/],
  ["a%ff", /unescape/],
];

describe("methods of service invocation", () => {
  let folder: Folder;
  let shop: App;
  let sidecar: Daprd;
  let caller: Daprd;
  let client: GrpcClient;

  before(async () => {
    folder = new Folder("paths");
    const names = configuration({
      nameResolution: { component: "sqlite", configuration: { connectionString: folder.file("names.sqlite") } },
    });
    shop = await app({ http: { "*": (call) => ({ body: { path: call.path, query: call.query } }) } });
    sidecar = await daprd({ appId: "shop", app: shop, config: names, ready: "all" });
    caller = await daprd({ appId: "caller", config: names });
    client = new GrpcClient(sidecar.grpcAddress);
  });
  after(async () => {
    client[Symbol.dispose]();
    await caller[Symbol.asyncDispose]();
    await sidecar[Symbol.asyncDispose]();
    await shop[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  /** By URL, by header, and from another sidecar. */
  const ways = (method: string) => [
    { name: "URL", port: sidecar.httpPort, line: `GET /v1.0/invoke/shop/method/${method}`, headers: [] },
    { name: "header", port: sidecar.httpPort, line: `GET /${method}`, headers: ["dapr-app-id: shop"] },
    { name: "peer", port: caller.httpPort, line: `GET /v1.0/invoke/shop/method/${method}`, headers: [] },
  ];

  for (const [method, path] of reaches) {
    // A literal `..` is resolved before the route is looked for, yet never past the `method` of an invocation.
    test(`${method} reaches the app as ${path}, by whichever way`, async () => {
      for (const way of ways(method)) {
        const reply = await rawHttp(way.port, requestText(way.line, way.headers));
        assert.equal(reply.status, 200, `${way.name}: ${reply.text}`);
        assert.deepEqual(JSON.parse(reply.body), { path, query: "" }, way.name);
      }
      const decoded = decodeURIComponent(method);
      assert.deepEqual(await invokeByGrpc(client, decoded), { path, query: "" }, "gRPC");
    });
  }

  for (const [method, path] of resolvedFirst) {
    test(`${method} is ${path} to policy and app over HTTP, and refused over gRPC`, async () => {
      for (const way of ways(method)) {
        const reply = await rawHttp(way.port, requestText(way.line, way.headers));
        assert.deepEqual(JSON.parse(reply.body), { path, query: "" }, way.name);
      }
      await assert.rejects(invokeByGrpc(client, decodeURIComponent(method)), /forbidden character/);
    });
  }

  for (const [method, reason] of refused) {
    test(`${method} is refused before it reaches the app`, async () => {
      const before = shop.calls.length;
      for (const way of ways(method)) {
        const reply = await rawHttp(way.port, requestText(way.line, way.headers));
        assert.ok(reply.status >= 400, `${way.name}: ${reply.text}`);
        assert.match(reply.body, /"errorCode":"ERR_DIRECT_INVOKE"/, way.name);
        assert.match(reply.body, reason, way.name);
      }
      await assert.rejects(invokeByGrpc(client, decodeURIComponent(method)), reason);
      assert.equal(shop.calls.length, before);
    });
  }

  for (const [method, reason] of bare) {
    test(`${method} is no percent-encoding: 400`, async () => {
      const reply = await rawHttp(sidecar.httpPort, requestText(`GET /v1.0/invoke/shop/method/${method}`));
      assert.equal(reply.status, 400, reply.text);
      assert.match(reply.body, reason);
    });
  }

  test("no method climbs out of the method of an invocation into the API of the sidecar", async () => {
    const reply = await rawHttp(sidecar.httpPort, requestText("GET /v1.0/invoke/shop/method/..%2f..%2f..%2f..%2fv1.0%2fmetadata"));
    assert.deepEqual(JSON.parse(reply.body), { path: "/v1.0/metadata", query: "" });
  });
});

async function invokeByGrpc(client: GrpcClient, method: string): Promise<unknown> {
  const message = { method, httpExtension: { verb: HTTPExtension_Verb.GET, querystring: "" } };
  const { data } = await client.call(Dapr.method.invokeService, { id: "shop", message });
  return JSON.parse(Buffer.from(data?.value ?? []).toString());
}

describe("a denied API", () => {
  let sidecar: Daprd;
  before(async () => {
    const denied = configuration({ api: { denied: [{ name: "state", version: "v1.0" }] } });
    sidecar = await daprd({ config: denied, resources: [component("store", "state.in-memory")] });
  });
  after(() => sidecar[Symbol.asyncDispose]());

  const disguises = [
    "/v1.0/state/store/key",
    "//v1.0//state//store//key",
    "/v1.0/./state/store/key",
    "/v1.0/secrets/../state/store/key",
    "/v1.0/%73tate/store/key",
    "/v1.0%2fstate/store/key",
    "/v1.0/secrets%2f..%2fstate/store/key",
    "/V1.0/State/store/key",
    "/v1.0/state/store/key/",
    "/v1.0/state;/store/key",
    "http://localhost/v1.0/state/store/key",
    "/v1.0/metadata/../state/store/key?/v1.0/metadata",
  ];
  for (const path of disguises) {
    test(`is not reached as ${path}`, async () => {
      const read = await rawHttp(sidecar.httpPort, requestText(`GET ${path}`));
      assert.equal(read.status, 404, read.text);
      const written = await rawHttp(sidecar.httpPort, requestText(`POST ${path}`, ["Content-Length: 2"], "[]"));
      assert.equal(written.status, 404, written.text);
    });
  }
});
