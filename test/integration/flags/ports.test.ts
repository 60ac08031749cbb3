// Where a sidecar listens: ports, addresses, the public port, and what it says when a port is taken.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { configuration } from "../../build/resource.ts";
import { daprd, foreignDaprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { reservePorts } from "../../harness/ports.ts";
import { observes } from "./observes.ts";
import { accepts, hold, http2Status } from "./probe.ts";
import { registeredHosts } from "./registry-file.ts";
import { runSidecar } from "./run-daprd.ts";

const noSuchAddress = "192.0.2.1";

observes(
  [
    "mode",
    "app-id",
    "dapr-http-port",
    "dapr-grpc-port",
    "dapr-listen-addresses",
    "dapr-internal-grpc-port",
    "dapr-internal-grpc-listen-address",
  ],
  "both APIs on every address given that exists, the internal one on its own",
  async () => {
    await using sidecar = await daprd({
      appId: "named",
      flags: {
        mode: "standalone",
        "dapr-listen-addresses": `127.0.0.1,127.0.0.3,${noSuchAddress}`,
        "dapr-internal-grpc-listen-address": "127.0.0.4",
      },
    });
    const { httpPort, grpcPort, internalGrpcPort } = sidecar;
    const metadata = (await (await fetch(`http://127.0.0.3:${httpPort}/v1.0/metadata`)).json()) as { id: string };
    assert.equal(metadata.id, "named");
    using client = new GrpcClient(`127.0.0.3:${grpcPort}`);
    assert.equal((await client.call(Dapr.method.getMetadata, {})).id, "named");
    const open = { http: await accepts("127.0.0.2", httpPort), grpc: await accepts("127.0.0.2", grpcPort) };
    assert.deepEqual(open, { http: false, grpc: false });
    const internal = { own: await accepts("127.0.0.4", internalGrpcPort), other: await accepts("127.0.0.1", internalGrpcPort) };
    assert.deepEqual(internal, { own: true, other: false });
    await sidecar.program.line(/standalone mode configured/);
  },
);

observes(["dapr-internal-grpc-port"], "without it, the port is the same after a restart", async () => {
  using folder = new Folder("cwd");
  const chosenPort = async (appId: string) => {
    await using sidecar = await daprd({ appId, cwd: folder.path, flags: { "dapr-internal-grpc-port": null } });
    return Number(/running on :(\d+)/.exec(await sidecar.program.line(/Internal gRPC server is running on/))?.[1]);
  };
  // A stable port lies at 47300 or above; one that somebody else holds at the moment is replaced by any free one.
  let appId = "restarted-0";
  let first = await chosenPort(appId);
  for (let other = 1; first < 47_300 && other < 8; other++) {
    appId = `restarted-${other}`;
    first = await chosenPort(appId);
  }
  assert.ok(first >= 47_300);
  assert.equal(await chosenPort(appId), first);
});

observes(["dapr-public-port", "dapr-public-listen-address"], "serves probes and metadata without a token, and nothing else", async () => {
  const [port] = (await reservePorts(1)) as [number];
  await using sidecar = await daprd({
    flags: { "dapr-public-port": port, "dapr-public-listen-address": "127.0.0.5", "enable-api-logging": true },
    env: { DAPR_API_TOKEN: "secret" },
  });
  const open = `http://127.0.0.5:${port}`;
  const statuses = async (requests: readonly (readonly [string, string])[]) =>
    Promise.all(
      requests.map(
        async ([method, path]) => (await fetch(`${open}${path}`, { method, ...(method === "GET" ? {} : { body: "x" }) })).status,
      ),
    );
  const served = [
    ["GET", "/v1.0/healthz"],
    ["GET", "/v1.0/healthz/outbound"],
    ["GET", "/v1.0/metadata"],
    ["PUT", "/v1.0/metadata/key"],
  ] as const;
  await sidecar.eventually("the public port was ready", async () => (await fetch(`${open}/v1.0/healthz`)).status === 204);
  assert.deepEqual(await statuses(served), [204, 204, 200, 204]);
  const others = [
    ["POST", "/v1.0/shutdown"],
    ["GET", "/v1.0/state/s/k"],
    ["POST", `/v1.0/invoke/${sidecar.appId}/method/x`],
  ] as const;
  assert.deepEqual(await statuses(others), [404, 404, 404]);
  const withAppId = await fetch(`${open}/anything`, { headers: { "dapr-app-id": sidecar.appId } });
  assert.equal(withAppId.status, 404);
  assert.equal((await sidecar.fetch("/v1.0/metadata")).status, 401);
  assert.equal(await accepts("127.0.0.1", port), false);
});

observes(["metrics-port", "metrics-listen-address", "enable-metrics"], "serves Prometheus text there, or nowhere when off", async () => {
  await using on = await daprd({ flags: { "metrics-listen-address": "127.0.0.6" } });
  const text = await (await fetch(`http://127.0.0.6:${on.metricsPort}/`)).text();
  assert.match(text, /^# TYPE process_\w+ \w+$/m);
  assert.equal(await accepts("127.0.0.1", on.metricsPort), false);
  await using off = await daprd({ flags: { "enable-metrics": "false" } });
  assert.equal(await accepts("127.0.0.1", off.metricsPort), false);
});

observes(
  ["DAPR_HOST_IP"],
  "is the address that other sidecars are told",
  async () => {
    using folder = new Folder("registry");
    const file = folder.file("hosts.db");
    const config = configuration({ nameResolution: { component: "sqlite", version: "v1", configuration: { connectionString: file } } });
    await using sidecar = await daprd({ config, env: { DAPR_HOST_IP: "127.0.0.7" } });
    assert.deepEqual(registeredHosts(file), [{ app_id: sidecar.appId, address: `127.0.0.7:${sidecar.internalGrpcPort}` }]);
  },
  { skip: foreignDaprd && "the binary may lack the SQLite resolver" },
);

observes(["DAPR_HTTP_DISABLE_H2C"], "leaves HTTP/1.1 only", async () => {
  await using both = await daprd();
  assert.equal(await http2Status(both.url, "/v1.0/healthz/outbound"), 204);
  await using one = await daprd({ env: { DAPR_HTTP_DISABLE_H2C: "true" } });
  assert.equal(await http2Status(one.url, "/v1.0/healthz/outbound"), 0);
  assert.equal((await one.fetch("/v1.0/healthz/outbound")).status, 204);
});

describe("a port that is taken ends the sidecar with 1, the port and the flag", {
  concurrency: 2,
  skip: foreignDaprd && "Go retries for 10 s and says less",
}, () => {
  for (const flag of ["dapr-http-port", "dapr-grpc-port", "dapr-internal-grpc-port", "dapr-public-port", "metrics-port"]) {
    test(flag, async () => {
      const [port] = (await reservePorts(1)) as [number];
      await using _holder = await hold("0.0.0.0", port);
      const { code, stdout, stderr } = await runSidecar([`--${flag}=${port}`]);
      assert.equal(code, 1);
      const words = foreignDaprd
        ? new RegExp(`${port}`)
        : new RegExp(`cannot listen on .*:${port}: address already in use: .*stop it or choose another with --${flag}`);
      assert.match(`${stdout}${stderr}`, words);
    });
  }
});
