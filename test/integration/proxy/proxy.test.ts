// Transparent gRPC proxying between real sidecars, found by mDNS. OUTRIGGER_PEER_DAPRD names another daprd, which then stands on
// either side of each call.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as grpc from "@grpc/grpc-js";
import { ServerReflection } from "../../../lib/proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { EchoApp, EchoClient, failureText, metadataOf, soon, statusDetails, statusOf } from "../../../lib/wire/grpc/echo-peer.ts";
import { type Daprd, daprd, foreignDaprd } from "../../harness/daprd.ts";

const peer = process.env.OUTRIGGER_PEER_DAPRD;
type Side = { readonly binary?: string };
const ours: Side = {};
const pairs: [string, Side, Side][] = [["ours to ours", ours, ours]];
if (peer !== undefined) pairs.push(["ours to the other", ours, { binary: peer }], ["the other to ours", { binary: peer }, ours]);

const callerToken = "token-of-the-callers-app";
const calleeToken = "token-of-the-callees-app";

class Mesh implements AsyncDisposable {
  readonly app: EchoApp;
  readonly caller: Daprd;
  readonly callee: Daprd;
  readonly client: EchoClient;

  private constructor(app: EchoApp, caller: Daprd, callee: Daprd) {
    this.app = app;
    this.caller = caller;
    this.callee = callee;
    this.client = new EchoClient(caller.grpcAddress);
  }

  static async start(caller: Side = ours, callee: Side = ours, flags: Record<string, string | number> = {}): Promise<Mesh> {
    const app = await EchoApp.start();
    const [from, to] = await Promise.all([
      daprd({ ...caller, flags, env: { APP_API_TOKEN: callerToken } }),
      daprd({ ...callee, app: app.port, flags: { "app-protocol": "grpc", ...flags }, env: { APP_API_TOKEN: calleeToken }, ready: "all" }),
    ]);
    return new Mesh(app, from, to);
  }

  /** Metadata that names the callee. */
  to(more: Record<string, string | Buffer> = {}): grpc.Metadata {
    return metadataOf({ "dapr-app-id": this.callee.appId, ...more });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await Promise.all([this.caller[Symbol.asyncDispose](), this.callee[Symbol.asyncDispose]()]);
    this.app.kill();
  }
}

for (const [who, caller, callee] of pairs) {
  test(`calls of all kinds: ${who}`, async () => {
    await using mesh = await Mesh.start(caller, callee);
    const { app, client } = mesh;
    const { message, status } = await client.unary(
      Buffer.from("hello"),
      mesh.to({ "dapr-api-token": "made-up", "x-bin": Buffer.of(0, 255) }),
    );
    assert.equal(status.code, grpc.status.OK, status.details);
    assert.equal(message?.toString(), "hello");
    assert.deepEqual(status.metadata.get("x-tail-bin"), [Buffer.of(0, 255, 1)]);
    const seen = app.calls[0]?.metadata as grpc.Metadata;
    assert.deepEqual(seen.get("dapr-api-token"), [calleeToken]);
    assert.deepEqual(seen.get("dapr-app-id"), []);
    assert.deepEqual(seen.get("dapr-caller-app-id"), [mesh.caller.appId]);
    assert.deepEqual(seen.get("dapr-callee-app-id"), [mesh.callee.appId]);
    assert.deepEqual(seen.get("x-bin"), [Buffer.of(0, 255)]);

    const failed = await client.unary(Buffer.alloc(0), mesh.to({ "fail-code": "9" }));
    assert.equal(failed.status.code, 9);
    assert.equal(failed.status.details, failureText);
    assert.deepEqual(failed.status.metadata.get("grpc-status-details-bin"), [statusDetails(9)]);

    const { call: collect, answer } = client.collect(mesh.to());
    for (let count = 0; count < 100; count++) collect.write(Buffer.alloc(1000));
    collect.end();
    assert.equal((await answer).message?.toString(), "100000");

    const split = client.split("50x2000", mesh.to());
    const splitEnd = statusOf(split);
    let bytes = 0;
    split.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    assert.equal((await splitEnd).code, grpc.status.OK);
    assert.equal(bytes, 100_000);

    const chat = client.chat(mesh.to());
    const chatEnd = statusOf(chat);
    for (let turn = 0; turn < 20; turn++) {
      chat.write(Buffer.from(`turn ${turn}`));
      assert.equal(String((await once(chat, "data"))[0]), `turn ${turn}`);
    }
    chat.end();
    assert.equal((await chatEnd).code, grpc.status.OK);
  });

  test(`cancel, deadline and a dying app: ${who}`, async () => {
    await using mesh = await Mesh.start(caller, callee);
    const { app, client } = mesh;
    const chat = client.chat(mesh.to());
    chat.write(Buffer.from("x"));
    await once(chat, "data");
    chat.cancel();
    await app.until("the cancellation reached the app", () => app.calls[0]?.cancelled === true);

    const late = await client.unary(Buffer.alloc(0), mesh.to({ hang: "1" }), soon(500));
    assert.equal(late.status.code, grpc.status.DEADLINE_EXCEEDED);
    await app.until("the deadline reached the app", () => app.calls[1]?.cancelled === true);

    const open = client.chat(mesh.to());
    const over = statusOf(open);
    open.write(Buffer.from("x"));
    await once(open, "data");
    app.kill();
    assert.equal((await over).code, grpc.status.UNAVAILABLE);
    const gone = await client.unary(Buffer.alloc(0), mesh.to());
    assert.equal(gone.status.code, grpc.status.UNAVAILABLE);
  });
}

/** Resident memory of a process in MB. */
function residentMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1]) / 1024;
}

describe("under load", () => {
  test("100 MB stream each way in bounded memory", async () => {
    await using mesh = await Mesh.start();
    await mesh.client.unary(Buffer.alloc(0), mesh.to());
    const sidecars = [mesh.caller.pid, mesh.callee.pid];
    const before = sidecars.map(residentMb);
    let peakMb = 0;
    const watch = setInterval(() => {
      peakMb = Math.max(peakMb, ...sidecars.map((pid, at) => residentMb(pid) - (before[at] as number)));
    }, 20);
    const chat = mesh.client.chat(mesh.to(), soon(60_000));
    const over = statusOf(chat);
    let received = 0;
    chat.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    const piece = Buffer.alloc(100_000, 1);
    for (let count = 0; count < 1000; count++) if (!chat.write(piece)) await once(chat, "drain");
    chat.end();
    assert.equal((await over).code, grpc.status.OK);
    clearInterval(watch);
    assert.equal(received, 100_000_000);
    assert.ok(peakMb < 80, `a sidecar grew by ${Math.round(peakMb)} MB`);
  });

  test("1000 unary calls at once", async () => {
    await using mesh = await Mesh.start();
    const calls = Array.from({ length: 1000 }, (_, index) => mesh.client.unary(Buffer.from(`call ${index}`), mesh.to()));
    const answers = await Promise.all(calls);
    const wrong = answers.filter(({ message, status }, index) => status.code !== 0 || message?.toString() !== `call ${index}`);
    assert.deepEqual(wrong, []);
    assert.equal(mesh.app.calls.length, 1000);
  });
});

test("the app's connection is dialled anew after the app was replaced", async () => {
  await using mesh = await Mesh.start();
  assert.equal((await mesh.client.unary(Buffer.alloc(0), mesh.to())).status.code, grpc.status.OK);
  mesh.app.kill();
  await using second = await EchoApp.start({}, mesh.app.port);
  await mesh.caller.eventually("the new app answered", async () => {
    const { status } = await mesh.client.unary(Buffer.alloc(0), mesh.to());
    return status.code === grpc.status.OK;
  });
  assert.ok(second.calls.length >= 1);
});

test("a callee that goes away and comes back elsewhere is found again", async () => {
  await using mesh = await Mesh.start();
  assert.equal((await mesh.client.unary(Buffer.alloc(0), mesh.to())).status.code, grpc.status.OK);
  await mesh.callee[Symbol.asyncDispose]();
  const appId = mesh.callee.appId;
  await using moved = await daprd({ appId, app: mesh.app.port, flags: { "app-protocol": "grpc" }, ready: "all" });
  await moved.eventually("the moved callee answered", async () => {
    const { status } = await mesh.client.unary(Buffer.alloc(0), mesh.to());
    return status.code === grpc.status.OK;
  });
});

test("message limits are --max-body-size, and an HTTP app is told", { skip: foreignDaprd }, async () => {
  await using mesh = await Mesh.start(ours, ours, { "max-body-size": "1Mi" });
  const { status } = await mesh.client.unary(Buffer.alloc(1024 * 1024 + 1), mesh.to());
  assert.equal(status.code, grpc.status.RESOURCE_EXHAUSTED);
  assert.match(status.details, /received message larger than max \(1048577 vs\. 1048576\)/);
  await using http = await daprd({ app: mesh.app.port, flags: { "app-protocol": "http" }, ready: "all" });
  const refused = await mesh.client.unary(Buffer.alloc(0), metadataOf({ "dapr-app-id": http.appId }));
  assert.equal(refused.status.code, grpc.status.FAILED_PRECONDITION);
  assert.match(refused.status.details, /--app-protocol grpc/);
});

test("reflection without a target is the sidecar's, with one it is the app's", { skip: foreignDaprd }, async () => {
  await using mesh = await Mesh.start();
  const path = `/${ServerReflection.typeName}/ServerReflectionInfo`;
  const listServices = Buffer.from([0x3a, 0x01, 0x2a]);
  const own = await mesh.client.path(path, listServices, metadataOf());
  assert.match(String(own.message), /dapr\.proto\.runtime\.v1\.Dapr/);
  // The echo app has no reflection: the answer is its own UNIMPLEMENTED.
  const apps = await mesh.client.path(path, listServices, mesh.to());
  assert.equal(apps.status.code, grpc.status.UNIMPLEMENTED);
});

test("the API token guards proxied calls, goes no further, and calls are in the API log", { skip: foreignDaprd }, async () => {
  await using app = await EchoApp.start();
  const flags = { "app-protocol": "grpc", "enable-api-logging": true };
  await using sidecar = await daprd({ app: app.port, flags, env: { DAPR_API_TOKEN: "open-sesame" }, ready: "all" });
  using client = new EchoClient(sidecar.grpcAddress);
  const own = { "dapr-app-id": sidecar.appId };
  assert.equal((await client.unary(Buffer.alloc(0), metadataOf(own))).status.code, grpc.status.UNAUTHENTICATED);
  const { status } = await client.unary(Buffer.alloc(0), metadataOf({ ...own, "dapr-api-token": "open-sesame" }));
  assert.equal(status.code, grpc.status.OK, status.details);
  assert.deepEqual(app.calls[0]?.metadata.get("dapr-api-token"), []);
  await sidecar.eventually("the call was logged", () =>
    sidecar.lines.some((line) => line.includes("/outrigger.test.Echo/Unary") && line.includes("gRPC API Called")),
  );
  assert.doesNotMatch(sidecar.program.output, /open-sesame/);
});

test("a sidecar that shuts down lets a proxied call end", async () => {
  await using mesh = await Mesh.start();
  const chat = mesh.client.chat(mesh.to());
  const over = statusOf(chat);
  chat.write(Buffer.from("x"));
  await once(chat, "data");
  process.kill(mesh.callee.pid, "SIGTERM");
  await sleep(300);
  chat.write(Buffer.from("still"));
  assert.equal(String((await once(chat, "data"))[0]), "still");
  chat.end();
  assert.equal((await over).code, grpc.status.OK);
});
