// --max-body-size and --read-buffer-size with their deprecated twins: over the limit is refused, under it passes.
import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { type Daprd, daprd, type FlagValue } from "../../harness/daprd.ts";
import { grpcApp } from "../../harness/grpc-app.ts";
import { GrpcClient, type GrpcError } from "../../harness/grpc-client.ts";
import { observes } from "./observes.ts";
import { freshStatus } from "./probe.ts";

const resources = [component("statestore", "state.in-memory"), component("pubsub", "pubsub.in-memory")];
const kilobyte = 1024;
const megabyte = 1024 * 1024;

function start(flags: Readonly<Record<string, FlagValue>>, port?: number): Promise<Daprd> {
  return daprd({ resources, flags, ...(port === undefined ? {} : { app: port, ready: "all" }) });
}

/** Statuses of a publish, a state save and an invocation with a body of `bytes`. */
async function httpStatuses(sidecar: Daprd, bytes: number): Promise<number[]> {
  const text = "x".repeat(bytes);
  const calls: [string, string][] = [
    ["/v1.0/publish/pubsub/topic", JSON.stringify(text)],
    ["/v1.0/state/statestore", JSON.stringify([{ key: "k", value: text }])],
    [`/v1.0/invoke/${sidecar.appId}/method/echo`, JSON.stringify(text)],
  ];
  const statuses: number[] = [];
  for (const [path, body] of calls) {
    const response = await sidecar.fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body });
    await response.arrayBuffer();
    statuses.push(response.status);
  }
  return statuses;
}

/** OK, or the gRPC status of saving `bytes`. */
async function grpcSave(sidecar: Daprd, bytes: number): Promise<number> {
  using client = new GrpcClient(sidecar.grpcAddress);
  const value = new Uint8Array(bytes);
  return await client.call(Dapr.method.saveState, { storeName: "statestore", states: [{ key: "k", value }] }).then(
    () => status.OK,
    (error: GrpcError) => error.code,
  );
}

const accepted = [204, 204, 200];

observes(["max-body-size"], "bounds publish, state and invocation over HTTP and gRPC, beats its deprecated twin", async () => {
  await using shop = await app({ http: { "/echo": () => ({}) } });
  await using sidecar = await start({ "max-body-size": "100Ki", "dapr-http-max-request-size": 8 }, shop.port);
  assert.deepEqual(await httpStatuses(sidecar, 90 * kilobyte), accepted);
  const [publish, save, invoke] = await httpStatuses(sidecar, 110 * kilobyte);
  assert.ok(publish !== undefined && publish >= 400, `publish: ${publish}`);
  assert.ok(save !== undefined && save >= 400, `save: ${save}`);
  assert.ok(invoke !== undefined && invoke >= 400, `invoke: ${invoke}`);
  assert.equal(await grpcSave(sidecar, 90 * kilobyte), status.OK);
  assert.equal(await grpcSave(sidecar, 110 * kilobyte), status.RESOURCE_EXHAUSTED);
  assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
});

observes(["dapr-http-max-request-size"], "counts megabytes; 4 is the default", async () => {
  await using shop = await app({ http: { "/echo": () => ({}) } });
  await using wide = await start({ "dapr-http-max-request-size": 6 }, shop.port);
  assert.deepEqual(await httpStatuses(wide, 5 * megabyte), accepted);
  assert.equal(await grpcSave(wide, 5 * megabyte), status.OK);
  await using usual = await start({}, shop.port);
  assert.equal((await httpStatuses(usual, 5 * megabyte)).filter((code) => code >= 400).length, 3);
  assert.equal(await grpcSave(usual, 5 * megabyte), status.RESOURCE_EXHAUSTED);
});

observes(["max-body-size"], "bounds what goes to and comes from a gRPC app", async () => {
  await using shop = await grpcApp({ onInvoke: ({ method }) => new Uint8Array(method === "big" ? 2 * megabyte : 10) });
  await using sidecar = await start({ "app-protocol": "grpc", "max-body-size": "1Mi" }, shop.port);
  const invoke = async (method: string) => (await sidecar.post(`/v1.0/invoke/${sidecar.appId}/method/${method}`, "x")).status;
  assert.deepEqual([await invoke("small"), await invoke("big")], [200, 429]);
});

/** The status of GET healthz with a header of `bytes`, on a connection of its own: Go's limit is less exact on used ones. */
function withHeader(sidecar: Daprd, bytes: number): Promise<number> {
  const headers = { "x-long": "x".repeat(bytes) };
  return freshStatus({ host: "127.0.0.1", port: sidecar.httpPort, path: "/v1.0/healthz/outbound", headers });
}

observes(["read-buffer-size"], "bounds the head of a request: 431 over it", async () => {
  await using usual = await daprd();
  // Go's server, and so Dapr, lets a head be 4 KiB longer than the limit it was given.
  assert.deepEqual([await withHeader(usual, 7 * kilobyte), await withHeader(usual, 9 * kilobyte)], [204, 431]);
  await using wide = await daprd({ flags: { "read-buffer-size": "32Ki", "dapr-http-read-buffer-size": 1 } });
  assert.deepEqual([await withHeader(wide, 30 * kilobyte), await withHeader(wide, 37 * kilobyte)], [204, 431]);
});

observes(["dapr-http-read-buffer-size"], "counts kilobytes", async () => {
  await using sidecar = await daprd({ flags: { "dapr-http-read-buffer-size": 32 } });
  assert.deepEqual([await withHeader(sidecar, 30 * kilobyte), await withHeader(sidecar, 37 * kilobyte)], [204, 431]);
});
