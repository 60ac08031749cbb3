// Where logs go, how much of them and in what form.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { type Daprd, daprd, type FlagValue } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { observes } from "./observes.ts";

/** The lines of a sidecar's whole life. */
async function lifeOf(flags: Readonly<Record<string, FlagValue>>): Promise<Daprd["lines"]> {
  await using sidecar = await daprd({ appId: "logger", flags });
  // A failing call is worth a debug line.
  using client = new GrpcClient(sidecar.grpcAddress);
  await assert.rejects(client.call(Dapr.method.getState, { storeName: "none", key: "k" }));
  sidecar.program.signal("SIGTERM");
  await sidecar.program.exited();
  return sidecar.lines;
}

function levels(lines: readonly string[]): Set<string | undefined> {
  return new Set(lines.map((line) => / level=(\w+) /.exec(line)?.[1]));
}

observes(["log-level"], "leaves out what is below it", async () => {
  const debug = levels(await lifeOf({ "log-level": "debug" }));
  assert.deepEqual([debug.has("info"), debug.has("debug")], [true, true]);
  const info = levels(await lifeOf({ "log-level": "info" }));
  assert.deepEqual([info.has("info"), info.has("debug")], [true, false]);
  const warn = levels(await lifeOf({ "log-level": "WARN" }));
  assert.deepEqual([warn.has("info"), warn.has("debug")], [false, false]);
  assert.deepEqual(await lifeOf({ "log-level": "fatal" }), []);
});

observes(["log-as-json"], "writes one object a line with Dapr's fields", async () => {
  const lines = await lifeOf({ "log-as-json": true });
  const first = JSON.parse(lines.find((line) => line.includes("Starting Dapr Runtime")) ?? "{}") as Record<string, unknown>;
  assert.deepEqual(Object.keys(first), ["app_id", "instance", "level", "msg", "scope", "time", "type", "ver"]);
  const { app_id, instance, level, scope, type } = first;
  assert.deepEqual([app_id, instance, level, scope, type], ["logger", hostname(), "info", "dapr.runtime", "log"]);
  assert.deepEqual(
    lines.filter((line) => !line.startsWith("{")),
    [],
  );
  const text = await lifeOf({});
  assert.match(
    text.find((line) => line.includes("Starting Dapr Runtime")) ?? "",
    /^time="\S+" level=info msg="Starting .*" app_id=logger instance=\S+ scope=dapr\.runtime type=log ver=/,
  );
});

observes(["log-file"], "takes the lines instead of stdout", async () => {
  using folder = new Folder("logs");
  const file = folder.file("daprd.log");
  assert.deepEqual(await lifeOf({ "log-file": file }), []);
  const text = readFileSync(file, "utf8");
  assert.match(text, /msg="Starting Dapr Runtime/);
  assert.match(text, /dapr initialized\. Status: Running/);
});
