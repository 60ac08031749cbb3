// --allowed-origins: which web pages may call the sidecar.
import assert from "node:assert/strict";
import { request } from "node:http";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { observes } from "./observes.ts";

interface Answer {
  readonly status: number | undefined;
  readonly allowOrigin: string | undefined;
}

/** By node:http, since fetch sets these headers itself. */
function ask(sidecar: Daprd, method: string, headers: Readonly<Record<string, string>>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { port: sidecar.httpPort, host: "127.0.0.1", path: "/v1.0/metadata", method, headers, agent: false },
      (response) => {
        response.resume();
        response.on("end", () => resolve({ status: response.statusCode, allowOrigin: response.headers["access-control-allow-origin"] }));
      },
    );
    sent.on("error", reject);
    sent.end();
  });
}

const good = "https://shop.example";
const preflight = { "access-control-request-method": "GET" };

observes(["allowed-origins"], "names the origins that may read answers", async () => {
  await using some = await daprd({ flags: { "allowed-origins": `${good},https://other.example` }, env: { DAPR_API_TOKEN: "secret" } });
  const token = { "dapr-api-token": "secret" };
  assert.deepEqual(await ask(some, "GET", { ...token, origin: good }), { status: 200, allowOrigin: good });
  assert.equal((await ask(some, "GET", { ...token, origin: "https://evil.example" })).allowOrigin, undefined);
  assert.deepEqual(await ask(some, "OPTIONS", { ...preflight, origin: good }), { status: 200, allowOrigin: good });
  assert.equal((await ask(some, "OPTIONS", { ...preflight, origin: "https://evil.example" })).allowOrigin, undefined);
});

observes(["allowed-origins"], "* is any origin, and none is the default", async () => {
  await using any = await daprd({ flags: { "allowed-origins": "*" } });
  assert.deepEqual(await ask(any, "GET", { origin: good }), { status: 200, allowOrigin: "*" });
  await using none = await daprd();
  assert.deepEqual(await ask(none, "GET", { origin: good }), { status: 200, allowOrigin: undefined });
  assert.equal((await ask(none, "OPTIONS", { ...preflight, origin: good })).allowOrigin, undefined);
});
