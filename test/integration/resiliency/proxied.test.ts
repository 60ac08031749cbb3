// Resiliency policies around proxied gRPC calls between real sidecars. OUTRIGGER_DAPRD runs another daprd under the same tests.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as grpc from "@grpc/grpc-js";
import { EchoApp, EchoClient, failureText, metadataOf, statusOf } from "../../../lib/wire/grpc/echo-peer.ts";
import { resiliency } from "../../build/resource.ts";
import { daprd } from "../../harness/daprd.ts";

test("a proxied call is timed out and tried again whole; a stream is left alone once it has begun", async () => {
  const app = await EchoApp.start();
  await using callee = await daprd({ app: app.port, flags: { "app-protocol": "grpc" }, ready: "all" });
  const retries = { twice: { policy: "constant", duration: "10ms", maxRetries: 2, matching: { gRPCStatusCodes: "4,14" } } };
  const apps = { [callee.appId]: { timeout: "short", retry: "twice" } };
  const resources = [resiliency({ policies: { timeouts: { short: "400ms" }, retries }, targets: { apps } })];
  await using caller = await daprd({ resources });
  const client = new EchoClient(caller.grpcAddress);
  const to = (more: Record<string, string> = {}) => metadataOf({ "dapr-app-id": callee.appId, ...more });
  const called = async (metadata: grpc.Metadata) => {
    const before = app.calls.length;
    const { message, status } = await client.unary(Buffer.from("body"), metadata);
    return {
      calls: app.calls.length - before,
      code: status.code,
      details: status.code === 0 ? "" : status.details,
      message: message?.toString(),
    };
  };
  try {
    assert.deepEqual(await called(to()), { calls: 1, code: 0, details: "", message: "body" });
    assert.deepEqual(await called(to({ "fail-code": "14" })), { calls: 3, code: 14, details: failureText, message: undefined });
    assert.deepEqual(await called(to({ "fail-code": "5" })), { calls: 1, code: 5, details: failureText, message: undefined });
    const { calls, code } = await called(to({ hang: "1" }));
    assert.deepEqual([calls, code], [3, grpc.status.DEADLINE_EXCEEDED]);

    const chat = client.chat(to({ "dapr-stream": "true" }));
    const status = statusOf(chat);
    chat.write(Buffer.from("one"));
    const [first] = (await once(chat, "data")) as [Buffer];
    await sleep(800);
    chat.write(Buffer.from("two"));
    const [second] = (await once(chat, "data")) as [Buffer];
    chat.end();
    assert.deepEqual([String(first), String(second), (await status).code], ["one", "two", 0]);
  } finally {
    client[Symbol.dispose]();
    app.kill();
  }
});
