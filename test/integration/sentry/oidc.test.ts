// Attack 9 of lessons.md, OIDC discovery poisoned through X-Forwarded-Host and then cached (CWE-346, Dapr 1.17.8), on a real sentry.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Sentry, sentry } from "../../harness/sentry.ts";

const jwt = { "jwt-enabled": true, "oidc-enabled": true, "oidc-server-tls-enabled": false };
const poison = {
  "x-forwarded-host": "evil.example",
  "x-forwarded-proto": "https",
  "x-forwarded-port": "1",
  forwarded: "host=evil.example;proto=https",
  "x-original-host": "evil.example",
};

async function discover(ca: Sentry, headers: Readonly<Record<string, string>>) {
  const response = await fetch(`http://127.0.0.1:${ca.oidcPort}/.well-known/openid-configuration`, { headers });
  return { text: await response.text(), cache: response.headers.get("cache-control") ?? "", status: response.status };
}

test("a configured issuer is told to everybody, whatever host a request claims", async () => {
  await using ca = await sentry({ flags: { ...jwt, "jwt-issuer": "https://issuer.example" } });
  const honest = await discover(ca, {});
  assert.equal(honest.status, 200);
  assert.equal(JSON.parse(honest.text).issuer, "https://issuer.example");
  assert.deepEqual(await discover(ca, poison), honest);
});

test("without one, no forwarded host is reflected and nobody may cache the answer", async () => {
  await using ca = await sentry({ flags: jwt });
  const poisoned = await discover(ca, poison);
  assert.equal(poisoned.status, 200);
  assert.doesNotMatch(poisoned.text, /evil/);
  assert.match(poisoned.cache, /no-store/);
});
