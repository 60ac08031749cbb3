// --enable-api-logging and the Configuration's logging.apiLogging: which calls are logged, and what about them.
import assert from "node:assert/strict";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component, configuration } from "../../build/resource.ts";
import { type Daprd, type DaprdOptions, daprd } from "../../harness/daprd.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { observes } from "./observes.ts";

type Line = Readonly<Record<string, unknown>>;

const mark = "/v1.0/state/statestore/the-last-call";

/** Starts a sidecar, makes calls over HTTP and gRPC, and answers what it logged of them. */
async function apiLines(options: DaprdOptions): Promise<{ http: Line[]; grpc: Line[]; healthy: Line[] }> {
  await using sidecar = await daprd({
    ...options,
    resources: [component("statestore", "state.in-memory")],
    flags: { "log-as-json": true, ...options.flags },
  });
  await sidecar.fetch("/v1.0/healthz");
  using client = new GrpcClient(sidecar.grpcAddress, { "grpc.primary_user_agent": "tests/1" });
  await client.call(Dapr.method.getState, { storeName: "statestore", key: "k" });
  await sidecar.fetch(mark, { headers: { "user-agent": "tests/2" } });
  // The line of a call is written after its answer: ending is what it cannot come after.
  sidecar.program.signal("SIGTERM");
  await sidecar.program.exited();
  const lines = jsonLines(sidecar);
  const http = lines.filter((line) => line["scope"] === "dapr.runtime.http-info");
  const healthy = http.filter((line) => String(line["method"]).toLowerCase().includes("healthz"));
  return {
    http: http.filter((line) => !healthy.includes(line)),
    healthy,
    grpc: lines.filter((line) => line["scope"] === "dapr.runtime.grpc.api-info"),
  };
}

function jsonLines(sidecar: Daprd): Line[] {
  return sidecar.lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Line);
}

/** Its own members of an API line. */
function told({ msg, method, code, useragent }: Line): Line {
  return { msg, method, code, useragent };
}

const on = (more: object = {}) => configuration({ logging: { apiLogging: { enabled: true, ...more } } });

observes(["enable-api-logging"], "logs method, code and agent of each call over HTTP and gRPC", async () => {
  const { http, grpc, healthy } = await apiLines({ flags: { "enable-api-logging": true } });
  assert.deepEqual(http.map(told), [{ msg: "HTTP API Called", method: `GET ${mark}`, code: 204, useragent: "tests/2" }]);
  const agent = String(grpc[0]?.["useragent"]);
  assert.deepEqual(grpc.map(told), [{ msg: "gRPC API Called", method: "/dapr.proto.runtime.v1.Dapr/GetState", code: 0, useragent: agent }]);
  assert.match(agent, /^tests\/1/);
  assert.ok(healthy.length > 0);
});

observes(["enable-api-logging"], "not given, the Configuration decides; off by default", async () => {
  const silent = await apiLines({});
  assert.deepEqual([silent.http, silent.grpc, silent.healthy], [[], [], []]);
  const told = await apiLines({ config: on() });
  assert.deepEqual([told.http.length, told.grpc.length], [1, 1]);
});

observes(["enable-api-logging"], "given as false, it overrules the Configuration", async () => {
  const { http, grpc } = await apiLines({ config: on(), flags: { "enable-api-logging": "false" } });
  assert.deepEqual([http, grpc], [[], []]);
});

observes(["enable-api-logging"], "obfuscateURLs names the API instead, omitHealthChecks leaves probes out", async () => {
  const { http, grpc, healthy } = await apiLines({ config: on({ obfuscateURLs: true, omitHealthChecks: true }) });
  assert.deepEqual(
    http.map((line) => line["method"]),
    ["GetState"],
  );
  assert.equal(grpc.length, 1);
  assert.deepEqual(healthy, []);
});
