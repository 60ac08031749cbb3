// The app misbehaves, or its caller does: it dies in the middle of an answer, is not there, answers slowly, or the client leaves.
// Each fault ends its own call with an answer that names the cause, and leaves the sidecar as it was.
import assert from "node:assert/strict";
import { once } from "node:events";
import { get, type IncomingMessage, type ServerResponse } from "node:http";
import { type TestContext, test } from "node:test";
import { type AppOptions, app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { reservePorts } from "../../harness/ports.ts";

const raw = (handle: (request: IncomingMessage, response: ServerResponse) => void): AppOptions => ({
  raw: (request, response) => {
    if (request.url?.startsWith("/dapr/")) response.writeHead(404).end();
    else handle(request, response);
  },
});

async function isWell(sidecar: Daprd): Promise<void> {
  assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
}

test("an app that dies before it answers: 500 with the cause", async () => {
  await using shop = await app(raw((request) => request.socket.destroy()));
  await using sidecar = await daprd({ appId: "shop", app: shop, ready: "all" });
  const reply = await sidecar.post("/v1.0/invoke/shop/method/pay?token=s3cret", {});
  assert.equal(reply.status, 500);
  const { errorCode, message } = (await reply.json()) as { errorCode: string; message: string };
  assert.equal(errorCode, "ERR_DIRECT_INVOKE");
  assert.match(message, /failed to invoke, id: shop, err: .*\/pay": /);
  assert.doesNotMatch(message, /s3cret/);
  await isWell(sidecar);
});

test("an app that dies in the middle of its answer breaks the caller's off", async () => {
  await using shop = await app(
    raw((_request, response) => {
      response.writeHead(200, { "content-type": "text/plain" });
      response.write("half", () => setImmediate(() => response.destroy()));
    }),
  );
  await using sidecar = await daprd({ appId: "shop", app: shop, ready: "all" });
  const reply = await sidecar.fetch("/v1.0/invoke/shop/method/x");
  assert.equal(reply.status, 200);
  await assert.rejects(reply.text());
  await isWell(sidecar);
});

test("an app that is not there: outbound APIs work, invocation says what to check, and works once the app comes", async () => {
  const [port] = (await reservePorts(1)) as [number];
  await using sidecar = await daprd({ appId: "shop", app: port });
  const reply = await sidecar.fetch("/v1.0/invoke/shop/method/x");
  assert.equal(reply.status, 500);
  const { message } = (await reply.json()) as { message: string };
  assert.match(message, /ECONNREFUSED.*check that the app is running and that --app-port/);
  assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 500);
  await using shop = await app({ port, http: { "/x": () => ({ body: "here" }) } });
  await sidecar.eventually("the sidecar is ready", async () => (await sidecar.fetch("/v1.0/healthz")).status === 204);
  assert.equal(await (await sidecar.fetch("/v1.0/invoke/shop/method/x")).text(), "here");
  assert.equal((await shop.called("/x")).length, 1);
});

test("a client that leaves ends the app's request, before the answer and in the middle of it", async () => {
  for (const begins of [false, true]) {
    const arrived = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    await using shop = await app(
      raw((_request, response) => {
        response.on("close", gone.resolve);
        if (begins) response.write("begun");
        arrived.resolve();
      }),
    );
    await using sidecar = await daprd({ appId: "shop", app: shop, ready: "all" });
    const abort = new AbortController();
    const call = sidecar.fetch("/v1.0/invoke/shop/method/x", { signal: abort.signal }).then((reply) => reply.text());
    const failed = assert.rejects(call);
    await arrived.promise;
    abort.abort();
    await failed;
    await gone.promise;
    await isWell(sidecar);
  }
});

test("a slow reader stops the app, not the sidecar, and gets every byte", async (t: TestContext) => {
  const total = 64 * 1024 * 1024;
  let written = 0;
  const stalled = Promise.withResolvers<void>();
  await using shop = await app(
    raw((_request, response) => {
      const chunk = Buffer.alloc(64 * 1024, "x");
      const more = () => {
        while (written < total) {
          written += chunk.length;
          if (!response.write(chunk)) return void response.once("drain", more);
        }
        response.end();
      };
      // The socket's own callback tells that nobody takes any more: no progress between two looks.
      let seen = -1;
      const look = setInterval(() => {
        if (written === seen) {
          clearInterval(look);
          stalled.resolve();
        }
        seen = written;
      }, 200);
      response.once("close", () => clearInterval(look));
      more();
    }),
  );
  await using sidecar = await daprd({ appId: "shop", app: shop, ready: "all" });
  const request = get({ port: sidecar.httpPort, host: "127.0.0.1", path: "/v1.0/invoke/shop/method/x" });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  await stalled.promise;
  t.diagnostic(`the app had written ${(written / 2 ** 20).toFixed(1)} MiB of ${total / 2 ** 20} when its reader stood still`);
  assert.ok(written < total / 2);
  await isWell(sidecar);
  let size = 0;
  for await (const chunk of response) size += (chunk as Buffer).length;
  assert.equal(size, total);
});

test("an app that never answers holds up no other call", async () => {
  const hold = Promise.withResolvers<void>();
  await using shop = await app({ http: { "/never": () => hold.promise.then(() => ({})), "/quick": () => ({ body: "quick" }) } });
  await using sidecar = await daprd({ appId: "shop", app: shop, ready: "all" });
  const abort = new AbortController();
  const stuck = Array.from({ length: 200 }, () =>
    sidecar.fetch("/v1.0/invoke/shop/method/never", { signal: abort.signal }).catch(() => null),
  );
  await shop.called("/never", 200);
  assert.equal(await (await sidecar.fetch("/v1.0/invoke/shop/method/quick")).text(), "quick");
  abort.abort();
  hold.resolve();
  await Promise.all(stuck);
  await isWell(sidecar);
});
