// SIGTERM while 500 requests wait for a slow app: every one is answered within the grace time, and then the sidecar is gone.
import assert from "node:assert/strict";
import { Agent, type IncomingMessage, request } from "node:http";
import { type TestContext, test } from "node:test";
import { app } from "../../harness/app.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";

const requests = 500;

test("SIGTERM under 500 slow requests: all are answered", async (t: TestContext) => {
  const arrived = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let waiting = 0;
  const slow = async () => {
    if (++waiting === requests) arrived.resolve();
    await release.promise;
    return { body: { done: true } };
  };
  await using shop = await app({ http: { "/slow": slow } });
  await using sidecar = await daprd({ appId: "shop", app: shop, ready: "all", flags: { "dapr-graceful-shutdown-seconds": 20 } });
  const answers = Array.from({ length: requests }, () => post(sidecar));
  await arrived.promise;
  const signalled = performance.now();
  sidecar.program.signal("SIGTERM");
  await sidecar.program.line(/Dapr is shutting down/);
  await sidecar.eventually("the port is closed to newcomers", () =>
    sidecar.fetch("/v1.0/healthz").then(
      () => false,
      () => true,
    ),
  );
  release.resolve();
  const got = await Promise.all(answers);
  const exit = await sidecar.program.exited();
  t.diagnostic(`${got.length} answers and the end ${Math.round(performance.now() - signalled)} ms after SIGTERM`);
  assert.deepEqual(
    got.filter((answer) => answer !== '200 {"done":true}'),
    [],
  );
  assert.equal(exit.code, 0);
});

const agent = new Agent({ keepAlive: true, maxSockets: requests });

function post(sidecar: Daprd): Promise<string> {
  return new Promise((resolve) => {
    const options = { port: sidecar.httpPort, host: "127.0.0.1", path: "/v1.0/invoke/shop/method/slow", method: "POST", agent };
    const sent = request(options, async (response: IncomingMessage) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      resolve(`${response.statusCode} ${text}`);
    });
    sent.on("error", (error) => resolve(String(error)));
    sent.end("{}");
  });
}
