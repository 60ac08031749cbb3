// --unix-domain-socket: both APIs on sockets in a folder, no port; a stale socket is taken over, a live one is not.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { type Daprd, daprd, foreignDaprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { observes } from "./observes.ts";
import { accepts, freshStatus } from "./probe.ts";
import { runSidecar } from "./run-daprd.ts";

const sockets = ["dapr-socketed-grpc.socket", "dapr-socketed-http.socket"];
const httpServes = /HTTP server.* listening on UNIX socket/i;

/** Resolves when both APIs listen in `folder`. */
async function start(folder: Folder): Promise<Daprd> {
  const sidecar = await daprd({ appId: "socketed", ready: "none", flags: { "unix-domain-socket": folder.path } });
  await sidecar.program.line(httpServes);
  return sidecar;
}

observes(["unix-domain-socket"], "serves both APIs on sockets, on no port, and removes them at the end", async () => {
  using folder = new Folder("sockets");
  await using sidecar = await start(folder);
  const socketPath = folder.file("dapr-socketed-http.socket");
  await sidecar.eventually("health over the socket", async () => (await freshStatus({ socketPath, path: "/v1.0/healthz" })) === 204);
  using client = new GrpcClient(`unix:${folder.file("dapr-socketed-grpc.socket")}`);
  assert.equal((await client.call(Dapr.method.getMetadata, {})).id, "socketed");
  const tcp = { http: await accepts("127.0.0.1", sidecar.httpPort), grpc: await accepts("127.0.0.1", sidecar.grpcPort) };
  assert.deepEqual(tcp, { http: false, grpc: false });
  sidecar.program.signal("SIGTERM");
  assert.equal((await sidecar.program.exited()).code, 0);
  assert.deepEqual(readdirSync(folder.path), []);
});

observes(
  ["unix-domain-socket"],
  "takes over the sockets that a killed sidecar left",
  async () => {
    using folder = new Folder("sockets");
    {
      await using _killed = await start(folder);
    }
    assert.deepEqual(readdirSync(folder.path).sort(), sockets);
    await using next = await start(folder);
    const socketPath = folder.file("dapr-socketed-http.socket");
    await next.eventually("health over the socket", async () => (await freshStatus({ socketPath, path: "/v1.0/healthz" })) === 204);
  },
  { skip: foreignDaprd && "Go daprd ends with an error here" },
);

observes(
  ["unix-domain-socket"],
  "leaves a socket alone that somebody answers on",
  async () => {
    using folder = new Folder("sockets");
    const path = folder.file("dapr-flags-http.socket");
    const other = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => other.listen(path, resolve));
    const { code, stdout } = await runSidecar([`--unix-domain-socket=${folder.path}`]);
    assert.equal(code, 1);
    assert.match(stdout, /cannot listen on unix socket .*dapr-flags-http\.socket/);
    await new Promise<void>((resolve) => other.close(() => resolve()));
  },
  { skip: foreignDaprd && "the words are ours" },
);
