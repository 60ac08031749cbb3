// Attack 20 of lessons.md, unlimited reads (ADA-2, ADA-4, ADA-6): an app or a peer that answers without end. Invocation over HTTP
// streams and holds nothing; wherever the sidecar must read an answer whole it stops at --max-body-size.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, describe, test } from "node:test";
import { HTTPExtension_Verb } from "../../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component } from "../../build/resource.ts";
import { type App, app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";

const chunk = Buffer.alloc(64 * 1024, "a");
const bus = component("bus", "pubsub.in-memory");
const limits = { "max-body-size": "1Mi" };

/** Answers in JSON that never ends, until the reader leaves. Resolves with the bytes that went out. */
function answerForever(response: ServerResponse, left: (bytes: number) => void): void {
  let bytes = 0;
  response.writeHead(200, { "content-type": "application/json" });
  response.write('[{"pubsubname":"');
  const more = () => {
    while (!response.destroyed) {
      bytes += chunk.length;
      if (!response.write(chunk)) return void response.once("drain", more);
    }
  };
  response.once("close", () => left(bytes));
  more();
}

/** What left the app before its reader gave up: the limit, and what sockets and streams buffer between. */
const slackBytes = 12 * 1024 * 1024;

/** Of a stream: also the kernel's buffers of two hops, which it lets grow by tens of MiB where tcp_rmem allows it. */
const streamSlackBytes = 64 * 1024 * 1024;

/** Enough that what a busy heap grows by anyway is small beside it. */
const streamedBytes = 256 * 1024 * 1024;

describe("an app that answers without end", () => {
  let shop: App;
  let sidecar: Daprd;
  const left = new Map<string, PromiseWithResolvers<number>>();
  const leaves = (path: string) => {
    const entry = left.get(path) ?? Promise.withResolvers<number>();
    left.set(path, entry);
    return entry;
  };
  before(async () => {
    const subscriptions = [{ pubsubname: "bus", topic: "orders", route: "/event" }];
    const raw = (request: IncomingMessage, response: ServerResponse) => {
      const path = (request.url ?? "").split("?")[0] as string;
      request.resume();
      if (path === "/dapr/subscribe") response.end(JSON.stringify(subscriptions));
      else if (path === "/dapr/config") response.writeHead(404).end();
      else answerForever(response, (bytes) => leaves(path).resolve(bytes));
    };
    shop = await app({ raw });
    sidecar = await daprd({ appId: "shop", app: shop, flags: limits, resources: [bus], ready: "all" });
  });
  after(async () => {
    await sidecar[Symbol.asyncDispose]();
    await shop[Symbol.asyncDispose]();
  });

  test("to an event is cut off, and the event counts as not taken", async () => {
    assert.equal((await sidecar.post("/v1.0/publish/bus/orders", {})).status, 204);
    assert.ok((await leaves("/event").promise) < slackBytes);
    await sidecar.program.line(/larger than the limit of 1048576 bytes; raise --max-body-size/);
  });

  test("to InvokeService is cut off with the limit and the flag in the error", async () => {
    using client = new GrpcClient(sidecar.grpcAddress);
    const message = { method: "order", httpExtension: { verb: HTTPExtension_Verb.GET, querystring: "" } };
    await assert.rejects(client.call(Dapr.method.invokeService, { id: "shop", message }), /limit of 1048576 bytes; raise --max-body-size/);
    assert.ok((await leaves("/order").promise) < slackBytes);
  });

  test("to an HTTP caller streams: the sidecar holds none of it, and stops when the caller does", async () => {
    const response = await sidecar.fetch("/v1.0/invoke/shop/method/feed");
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const before = residentBytes(sidecar.pid);
    let read = 0;
    while (read < streamedBytes) read += (await reader.read()).value?.length ?? 0;
    const grown = residentBytes(sidecar.pid) - before;
    await reader.cancel();
    const sent = await leaves("/feed").promise;
    assert.ok(grown < streamedBytes / 3, `grew by ${grown} bytes while ${read} passed`);
    assert.ok(sent - read < streamSlackBytes, `the app sent ${sent}, the caller read ${read}`);
  });
});

test("an app whose list of subscriptions has no end gets none, and the sidecar lives", async () => {
  const left = Promise.withResolvers<number>();
  const raw = (_request: IncomingMessage, response: ServerResponse) => answerForever(response, left.resolve);
  await using shop = await app({ raw });
  await using sidecar = await daprd({
    appId: "shop",
    app: shop,
    flags: { ...limits, "disable-init-endpoints": "config" },
    resources: [bus],
  });
  assert.ok((await left.promise) < slackBytes);
  await sidecar.program.line(/limit of 1048576 bytes; raise --max-body-size/);
  assert.equal((await sidecar.fetch("/v1.0/healthz/outbound")).status, 204);
});

function residentBytes(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  return pages * 4096;
}
