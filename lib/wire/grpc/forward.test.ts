import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import fc from "fast-check";
import { EchoApp, EchoClient, failureText, metadataOf, soon, statusDetails, statusOf } from "./echo-peer.ts";
import { endToEnd, ForwardedCall } from "./forward.ts";
import { FrameScanner } from "./frame-scanner.ts";
import { channel, freePort, type OurServer, rawHttp2, serve } from "./interop-peer.ts";

const messageMaxBytes = 4 * 1024 * 1024;
const dropped = new Set(["grpc-timeout", "content-length"]);

function passing(raw: readonly string[]): string[] {
  const headers = endToEnd(raw);
  return headers.filter((_, at) => !dropped.has(headers[at - (at % 2)] as string));
}

/** Our server in front of whatever listens on `port`. */
async function proxyTo(port: number): Promise<OurServer & { address: string }> {
  const onward = channel(port);
  const server = await serve({
    methods: [],
    unknown: (call) => {
      onward.forward(new ForwardedCall(call, messageMaxBytes), passing(call.rawHeaders)).then(
        (failed) => failed !== null && call.fail(failed.status),
        (error) => call.fail(error),
      );
    },
  });
  const close = server[Symbol.asyncDispose].bind(server);
  return Object.assign(server, {
    address: `127.0.0.1:${server.port}`,
    async [Symbol.asyncDispose]() {
      await close();
      await onward.close();
    },
  });
}

test("a unary call passes whole: message, repeated and binary metadata, both ways", async () => {
  await using app = await EchoApp.start();
  await using proxy = await proxyTo(app.port);
  using client = new EchoClient(proxy.address);
  const sent = metadataOf({ "x-bin": Buffer.from([1, 0, 200]) });
  sent.add("x-many", "a");
  sent.add("x-many", "b");
  const { message, headers, status } = await client.unary(Buffer.from("hello"), sent);
  assert.equal(message?.toString(), "hello");
  assert.deepEqual(headers?.get("x-head"), ["one, two"]);
  assert.equal(status.code, grpc.status.OK);
  assert.deepEqual(status.metadata.get("x-tail-bin"), [Buffer.from([0, 255, 1])]);
  assert.deepEqual(status.metadata.get("x-tail"), ["a, b"]);
  const [call] = app.calls;
  assert.deepEqual(call?.metadata.get("x-bin"), [Buffer.from([1, 0, 200])]);
  assert.deepEqual(call?.metadata.get("x-many"), ["a, b"]);
  assert.match(String(call?.metadata.get("user-agent")), /^grpc-node-js/);
});

test("a status passes with message, details and trailers", async () => {
  await using app = await EchoApp.start();
  await using proxy = await proxyTo(app.port);
  using client = new EchoClient(proxy.address);
  const { status } = await client.unary(Buffer.alloc(0), metadataOf({ "fail-code": "9" }));
  assert.equal(status.code, 9);
  assert.equal(status.details, failureText);
  assert.deepEqual(status.metadata.get("grpc-status-details-bin"), [statusDetails(9)]);
  assert.deepEqual(status.metadata.get("x-tail"), ["a, b"]);
});

test("streams of every kind, also empty ones and messages over many frames", async () => {
  await using app = await EchoApp.start();
  await using proxy = await proxyTo(app.port);
  using client = new EchoClient(proxy.address);
  const { call: collect, answer } = client.collect(metadataOf());
  for (const size of [0, 1, 70_000, 3_000_000]) collect.write(Buffer.alloc(size));
  collect.end();
  assert.equal((await answer).message?.toString(), "3070001");

  const split = client.split("20x100000", metadataOf({ "fail-code": "10" }));
  const status = statusOf(split);
  const messages: Buffer[] = [];
  split.on("data", (message: Buffer) => messages.push(message));
  assert.equal((await status).code, 10);
  assert.deepEqual(
    messages.map((message) => [message.length, message[99_999]]),
    Array.from({ length: 20 }, (_, at) => [100_000, at]),
  );

  const chat = client.chat(metadataOf());
  const ended = statusOf(chat);
  for (const text of ["a", "", "ccc"]) {
    chat.write(Buffer.from(text));
    const [reply] = await once(chat, "data");
    assert.equal(String(reply), text);
  }
  chat.end();
  assert.equal((await ended).code, grpc.status.OK);

  const empty = client.chat(metadataOf());
  const over = statusOf(empty);
  empty.resume();
  empty.end();
  assert.equal((await over).code, grpc.status.OK);
});

test("an empty request ends at the app also when the connection had to be dialled first", async () => {
  await using app = await EchoApp.start();
  await using proxy = await proxyTo(app.port);
  using client = new EchoClient(proxy.address);
  const { call, answer } = client.collect(metadataOf());
  call.end();
  assert.equal((await answer).message?.toString(), "0");
});

test("the caller's leaving reaches the app, its deadline too, and ours is no longer than the caller's", async () => {
  await using app = await EchoApp.start();
  await using proxy = await proxyTo(app.port);
  using client = new EchoClient(proxy.address);
  const chat = client.chat(metadataOf());
  chat.write(Buffer.from("x"));
  await once(chat, "data");
  chat.cancel();
  await app.until("cancel", () => app.calls[0]?.cancelled === true);

  const { status } = await client.unary(Buffer.alloc(0), metadataOf({ hang: "1" }), soon(300));
  assert.equal(status.code, grpc.status.DEADLINE_EXCEEDED);
  await app.until("deadline", () => app.calls[1]?.cancelled === true);
  const deadlineMs = Number(app.calls[1]?.deadline) - Date.now();
  assert.ok(deadlineMs < 300, `deadline in ${deadlineMs} ms`);
});

test("an app that answers before it has read the request ends the call, and the connection lives on", async () => {
  await using app = await EchoApp.start();
  await using proxy = await proxyTo(app.port);
  using client = new EchoClient(proxy.address);
  const { call, answer } = client.collect(metadataOf({ "answer-early": "1" }));
  call.write(Buffer.alloc(1000));
  const { message, status } = await answer;
  assert.equal(status.code, grpc.status.OK);
  assert.equal(message?.toString(), "early");
  assert.equal((await client.unary(Buffer.from("more"), metadataOf())).message?.toString(), "more");
});

test("a message over the limit is refused in either direction with Go's words", async () => {
  await using app = await EchoApp.start();
  await using proxy = await proxyTo(app.port);
  using client = new EchoClient(proxy.address);
  const size = messageMaxBytes + 1;
  const { status } = await client.unary(Buffer.alloc(size), metadataOf());
  assert.equal(status.code, grpc.status.RESOURCE_EXHAUSTED);
  assert.equal(status.details, `grpc: received message larger than max (${size} vs. ${messageMaxBytes})`);
  const split = client.split(`1x${size}`, metadataOf());
  const over = statusOf(split);
  split.resume();
  assert.equal((await over).code, grpc.status.RESOURCE_EXHAUSTED);
  const fits = await client.unary(Buffer.alloc(messageMaxBytes), metadataOf());
  assert.equal(fits.message?.length, messageMaxBytes);
});

test("nobody there, a connection that breaks, a peer that is no gRPC server: each with its status", async () => {
  await using nowhere = await proxyTo(await freePort());
  using lost = new EchoClient(nowhere.address);
  const { status } = await lost.unary(Buffer.alloc(0), metadataOf());
  assert.equal(status.code, grpc.status.UNAVAILABLE);
  assert.match(status.details, /connection refused/);

  await using app = await EchoApp.start();
  await using proxy = await proxyTo(app.port);
  using client = new EchoClient(proxy.address);
  const chat = client.chat(metadataOf());
  const broken = statusOf(chat);
  chat.write(Buffer.from("x"));
  await once(chat, "data");
  app.kill();
  assert.equal((await broken).code, grpc.status.UNAVAILABLE);

  await using http = await rawHttp2((server) =>
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.respond({ ":status": 404, "content-type": "text/html" });
      stream.end("<html>");
    }),
  );
  await using foreign = await proxyTo(http.port);
  using visitor = new EchoClient(foreign.address);
  const { status: refused } = await visitor.unary(Buffer.alloc(0), metadataOf());
  assert.equal(refused.code, grpc.status.UNIMPLEMENTED);
  assert.match(refused.details, /unexpected HTTP status code received from server: 404/);
});

test("a call that the server refused unseen is made again with the same bytes", async () => {
  let refusals = 2;
  const seen: Buffer[] = [];
  await using http = await rawHttp2((server) =>
    server.on("stream", (stream: ServerHttp2Stream) => {
      if (refusals-- > 0) {
        stream.close(7);
        return;
      }
      stream.on("data", (chunk: Buffer) => seen.push(chunk));
      stream.on("end", () =>
        stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "5" }, { endStream: true }),
      );
    }),
  );
  await using proxy = await proxyTo(http.port);
  using client = new EchoClient(proxy.address);
  const { status } = await client.unary(Buffer.from("again"), metadataOf());
  assert.equal(status.code, grpc.status.NOT_FOUND);
  assert.equal(Buffer.concat(seen).subarray(5).toString(), "again");
});

test("a reply that ends without trailers is told, not taken for success", async () => {
  await using http = await rawHttp2((server) =>
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.end();
    }),
  );
  await using proxy = await proxyTo(http.port);
  using client = new EchoClient(proxy.address);
  const { status } = await client.unary(Buffer.alloc(0), metadataOf());
  assert.equal(status.code, grpc.status.INTERNAL);
  assert.match(status.details, /without sending trailers/);
});

test("a slow reader holds the app back, and a slow app the caller", async () => {
  await using app = await EchoApp.start();
  await using proxy = await proxyTo(app.port);
  using client = new EchoClient(proxy.address);
  const split = client.split("2000x50000", metadataOf());
  const first = await once(split, "data");
  assert.equal((first[0] as Buffer).length, 50_000);
  split.pause();
  let before = -1;
  // Quiet once every window on the way is full.
  while (before !== app.calls[0]?.received) {
    before = app.calls[0]?.received ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(before < 1500, `${before} of 2000 messages were written ahead of a reader that had stopped`);
  const over = statusOf(split);
  split.resume();
  assert.equal((await over).code, grpc.status.OK);
});

test("the scanner finds oversize messages whatever the chunks", () => {
  const lengths = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 20 });
  fc.assert(
    fc.property(lengths, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes, cuts) => {
      const frames = sizes.map((size) => {
        const frame = Buffer.alloc(5 + size, 7);
        frame[0] = 0;
        frame.writeUInt32BE(size, 1);
        return frame;
      });
      const bytes = Buffer.concat(frames);
      const scanner = new FrameScanner(200);
      const oversize = sizes.findIndex((size) => size > 200);
      let passed = 0;
      let cut = 0;
      for (let at = 0; at < bytes.length; ) {
        const chunk = bytes.subarray(at, at + (cuts[cut++ % cuts.length] as number));
        const found = scanner.scan(chunk);
        if (found >= 0) {
          passed += found;
          break;
        }
        passed += chunk.length;
        at += chunk.length;
      }
      const before = sizes.slice(0, oversize < 0 ? sizes.length : oversize).reduce((sum, size) => sum + size + 5, 0);
      assert.equal(scanner.oversizeBytes, oversize < 0 ? 0 : sizes[oversize]);
      // No more of an oversize message passes than its prefix.
      assert.ok(passed >= before && passed < before + 5 + (oversize < 0 ? 1 : 0), `${passed} passed, ${before} before`);
    }),
  );
});
