// Attack 2 of lessons.md, API-token bypass (CVE-2023-37918): any URL that contained /healthz was let through. The token is asked
// for before routing; only a GET of exactly the two probes goes without. And attack 4: a malformed :path is no way round it.
import assert from "node:assert/strict";
import { connect } from "node:http2";
import { after, before, describe, test } from "node:test";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { GrpcClient, type GrpcError } from "../../harness/grpc-client.ts";
import { rawHttp, requestText } from "../../harness/raw-http.ts";

const token = "correct horse battery staple";

describe("the API token", () => {
  let sidecar: Daprd;
  before(async () => {
    sidecar = await daprd({ env: { DAPR_API_TOKEN: token }, resources: [component("store", "state.in-memory")] });
  });
  after(() => sidecar[Symbol.asyncDispose]());

  const unauthorised = [
    "GET /v1.0/state/store/key",
    "GET /v1.0/state/store/key?/v1.0/healthz",
    "GET /v1.0/state/store/key?a=/healthz",
    "GET /v1.0/state/store/healthz",
    "GET /v1.0/state/healthz/key",
    "GET /v1.0/state/store/v1.0/healthz",
    "GET /v1.0/healthz/../state/store/key",
    "GET /v1.0/healthz/outbound/../../state/store/key",
    "GET /v1.0/healthz%2f..%2fstate/store/key",
    "GET /v1.0/healthz;/state/store/key",
    "GET /v1.0/healthzz",
    "GET /v1.0/invoke/app/method/v1.0/healthz",
    "GET /v1.0/invoke/app/method/healthz",
    "POST /v1.0/healthz",
    "POST /v1.0/shutdown",
    "POST /v1.0/shutdown?x=/v1.0/healthz",
    "GET /v1.0/metadata",
    "GET /no/such/route",
    "GET /",
    "OPTIONS /v1.0/state/store/key",
    "GET http://localhost/v1.0/state/store/key",
  ];
  for (const line of unauthorised) {
    test(`is asked for by ${line}`, async () => {
      const reply = await rawHttp(sidecar.httpPort, requestText(line));
      assert.equal(reply.status, 401, reply.text);
      assert.equal(reply.body, "invalid api token\n");
    });
  }

  test("must be the very token", async () => {
    for (const presented of ["", "x", token.toUpperCase(), ` ${token}x`, `${token}, ${token}`, token.slice(0, -1)]) {
      const reply = await rawHttp(sidecar.httpPort, requestText("GET /v1.0/metadata", [`dapr-api-token: ${presented}`]));
      assert.equal(reply.status, 401, presented);
    }
    const twice = await rawHttp(sidecar.httpPort, requestText("GET /v1.0/metadata", ["dapr-api-token: x", `dapr-api-token: ${token}`]));
    assert.equal(twice.status, 401);
    const right = await rawHttp(sidecar.httpPort, requestText("GET /v1.0/metadata", [`dapr-api-token: ${token}`]));
    assert.equal(right.status, 200);
  });

  test("is not needed by the two probes", async () => {
    for (const path of ["/v1.0/healthz", "/v1.0/healthz/outbound"])
      assert.equal((await rawHttp(sidecar.httpPort, requestText(`GET ${path}`))).status, 204);
  });

  test("is asked for over gRPC, and not told apart by path", async () => {
    using client = new GrpcClient(sidecar.grpcAddress);
    const call = (metadata = {}) => client.call(Dapr.method.getMetadata, {}, metadata);
    await assert.rejects(call(), (error: GrpcError) => error.code === 16);
    await assert.rejects(call({ "dapr-api-token": "wrong" }), (error: GrpcError) => error.code === 16);
    assert.notEqual((await call({ "dapr-api-token": token })).id, "");
  });

  const grpcPaths = [
    "dapr.proto.runtime.v1.Dapr/GetMetadata",
    "//dapr.proto.runtime.v1.Dapr/GetMetadata",
    "/dapr.proto.runtime.v1.Dapr/GetMetadata/",
    "/dapr.proto.runtime.v1.Dapr//GetMetadata",
    "/dapr.proto.runtime.v1.Dapr/GetMetadata?/v1.0/healthz",
    "/dapr.proto.runtime.v1.Dapr/healthz",
    "/dapr.proto.runtime.v1.Dapr/Get%4detadata",
    "/",
    "*",
  ];
  for (const path of grpcPaths) {
    test(`gRPC: :path ${path} answers no call without a token`, async () => {
      assert.notEqual(await grpcStatus(sidecar.grpcPort, path, "wrong"), "0");
    });
  }

  test("gRPC: the same call with the token and its proper :path is answered", async () => {
    assert.equal(await grpcStatus(sidecar.grpcPort, "/dapr.proto.runtime.v1.Dapr/GetMetadata", token), "0");
  });
});

test("the caller's API token does not reach the app", async () => {
  await using shop = await app({ http: { "*": () => ({}) } });
  await using sidecar = await daprd({ appId: "shop", app: shop, env: { DAPR_API_TOKEN: token }, ready: "all" });
  const headers = { "dapr-api-token": token };
  assert.equal((await sidecar.fetch("/v1.0/invoke/shop/method/order", { headers })).status, 200);
  assert.equal((await sidecar.fetch("/order", { headers: { ...headers, "dapr-app-id": "shop" } })).status, 200);
  for (const call of await shop.called("/order", 2)) assert.ok(!JSON.stringify(call.headers).includes(token), JSON.stringify(call.headers));
  assert.ok(!sidecar.program.output.includes(token), "nor the log");
});

/** grpc-status of an empty call to `path`; "refused" when the stream was reset. */
function grpcStatus(port: number, path: string, presented: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on("error", reject);
    const headers = { "content-type": "application/grpc", te: "trailers", "dapr-api-token": presented };
    const stream = session.request({ ":method": "POST", ":path": path, ...headers });
    let status = "refused";
    stream.on("response", (headers) => (status = String(headers["grpc-status"] ?? status)));
    stream.on("trailers", (headers) => (status = String(headers["grpc-status"] ?? status)));
    stream.on("error", () => {});
    stream.on("close", () => session.close(() => resolve(status)));
    stream.resume();
    stream.end(Buffer.alloc(5));
  });
}
