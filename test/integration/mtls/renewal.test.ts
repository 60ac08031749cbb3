// What time does to a mesh: certificates of seconds that are renewed under load, and a sentry that is gone and comes back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as grpc from "@grpc/grpc-js";
import { EchoClient, metadataOf } from "../../../lib/wire/grpc/echo-peer.ts";
import { type Daprd, foreignDaprd } from "../../harness/daprd.ts";
import { Mesh } from "./mesh.ts";

const skip = foreignDaprd && "the binary may lack the SQLite resolver";

/** Sentry's Configuration with certificates that live `life`. */
function lifeOf(life: string): string {
  return `
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: { name: sentry }
spec:
  mtls: { workloadCertTTL: ${life}, allowedClockSkew: 1s }
`;
}

const renewals = (sidecar: Daprd): number => sidecar.lines.filter((line) => line.includes("Successfully renewed workload identity")).length;

/** HTTP and proxied gRPC calls one after the other until `done`; every answer that is not the right one. */
async function load(caller: Daprd, http: Daprd, rpc: Daprd, done: () => boolean): Promise<{ calls: number; failures: string[] }> {
  const failures: string[] = [];
  let calls = 0;
  using client = new EchoClient(caller.grpcAddress);
  const overHttp = async () => {
    const response = await caller.fetch(`/v1.0/invoke/${http.appId}/method/orders/${calls++}`);
    const text = await response.text();
    if (response.status !== 200) failures.push(`${response.status} ${text}`);
  };
  const overGrpc = async () => {
    calls++;
    const { status } = await client.unary(Buffer.from("x"), metadataOf({ "dapr-app-id": rpc.appId }));
    if (status.code !== grpc.status.OK) failures.push(`${status.code} ${status.details}`);
  };
  while (!done()) {
    await Promise.all([overHttp(), overGrpc()]);
    await sleep(5);
  }
  return { calls, failures };
}

test("certificates of three seconds are renewed under load without a failed call, also on new connections", { skip }, async () => {
  await using mesh = await Mesh.start({ config: lifeOf("3s") });
  const [caller, http, rpc] = await Promise.all([mesh.sidecar(), mesh.httpCallee(), mesh.grpcCallee()]);
  const until = Date.now() + 60_000;
  const { calls, failures } = await load(caller, http, rpc, () => {
    assert.ok(Date.now() < until, "no three renewals in a minute");
    return [caller, http, rpc].every((sidecar) => renewals(sidecar) >= 3);
  });
  assert.deepEqual(failures, []);
  assert.ok(calls > 100, `only ${calls} calls`);
  const metrics = await (await fetch(`http://127.0.0.1:${caller.metricsPort}/`)).text();
  const counted = (name: string) =>
    Number(new RegExp(`^dapr_runtime_mtls_${name}\\{app_id="${caller.appId}"\\} (\\d+)$`, "m").exec(metrics)?.[1]);
  assert.equal(counted("init_total"), 1);
  assert.ok(counted("workload_cert_rotated_total") >= 4, metrics);
  // A sidecar that comes now has only fresh certificates to check.
  const late = await mesh.sidecar();
  assert.equal((await late.fetch(`/v1.0/invoke/${http.appId}/method/orders/1`)).status, 200);
});

test("without sentry a mesh goes on and says so once; new sidecars wait, and start when it is back", { skip }, async () => {
  await using mesh = await Mesh.start({ config: lifeOf("20s") });
  const [caller, http, rpc] = await Promise.all([mesh.sidecar(), mesh.httpCallee(), mesh.grpcCallee()]);
  await mesh.ca.kill();
  const failing = (sidecar: Daprd) => sidecar.lines.filter((line) => line.includes("Error renewing identity"));
  const told = [caller, http, rpc];
  // Renewal is due after 14 s; some seconds of failed attempts follow.
  const { failures } = await load(caller, http, rpc, () => told.every((sidecar) => failing(sidecar).length > 0));
  assert.deepEqual(failures, []);
  const newcomer = await mesh.sidecar({ ready: "none" });
  await newcomer.program.line(/Cannot fetch the initial identity, trying again/);
  assert.deepEqual(
    told.map((sidecar) => failing(sidecar).length),
    [1, 1, 1],
  );
  await mesh.ca.startProcess();
  const after = await load(caller, http, rpc, () => told.every((sidecar) => renewals(sidecar) > 0));
  assert.deepEqual(after.failures, []);
  await newcomer.eventually("the newcomer called", async () => {
    const response = await newcomer.fetch(`/v1.0/invoke/${http.appId}/method/orders/1`).catch(() => null);
    return response?.status === 200;
  });
});
