// --unix-domain-socket: both APIs on sockets in a folder, no port; a stale socket is taken over, a live one is not.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { daprd, foreignDaprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { observes } from "./observes.ts";
import { accepts, freshStatus } from "./probe.ts";
import { runSidecar } from "./run-daprd.ts";

const served = /server listening on UNIX socket/i;

observes(["unix-domain-socket"], "serves both APIs on sockets, replaces stale ones, removes its own", async () => {
  using folder = new Folder("sockets");
  const [http, grpc] = [folder.file("dapr-socketed-http.socket"), folder.file("dapr-socketed-grpc.socket")];
  const start = () => daprd({ appId: "socketed", ready: "none", flags: { "unix-domain-socket": folder.path } });
  {
    await using killed = await start();
    await killed.program.line(/HTTP server.* listening on UNIX socket/i);
  }
  assert.deepEqual(readdirSync(folder.path).sort(), ["dapr-socketed-grpc.socket", "dapr-socketed-http.socket"], "killed, it left both");

  await using sidecar = await start();
  await sidecar.program.line(/HTTP server.* listening on UNIX socket/i);
  await sidecar.eventually("health over the socket", async () => (await freshStatus({ socketPath: http, path: "/v1.0/healthz" })) === 204);
  using client = new GrpcClient(`unix:${grpc}`);
  assert.equal((await client.call(Dapr.method.getMetadata, {})).id, "socketed");
  const tcp = { http: await accepts("127.0.0.1", sidecar.httpPort), grpc: await accepts("127.0.0.1", sidecar.grpcPort) };
  assert.deepEqual(tcp, { http: false, grpc: false });
  assert.equal(sidecar.lines.filter((line) => served.test(line)).length, 2);

  sidecar.program.signal("SIGTERM");
  assert.equal((await sidecar.program.exited()).code, 0);
  assert.deepEqual(readdirSync(folder.path), []);
});

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
