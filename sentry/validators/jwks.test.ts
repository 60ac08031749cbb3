// Tokens of somebody's own issuer: who they are for, whom they name, when, and keys that change under way.
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { Readiness } from "../../lib/kit/readiness.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import { signBytes } from "../jwt/algorithms.ts";
import { createJwksValidator, type JwksValidator } from "./jwks.ts";
import { createKeySource } from "./key-source.ts";
import type { IdentityRequest } from "./validator.ts";

const sentryId = "spiffe://localhost/ns/default/dapr-sentry";
const subject = "spiffe://public/ns/shop/app";
const folder = mkdtempSync(join(tmpdir(), "outrigger-jwks-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ed = generateKeyPairSync("ed25519");
const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" });

interface NamedKey {
  readonly kid: string;
  readonly publicKey: KeyObject;
  readonly more?: Readonly<Record<string, unknown>>;
}

function keySet(...keys: readonly NamedKey[]): string {
  return JSON.stringify({ keys: keys.map(({ kid, publicKey, more }) => ({ ...publicKey.export({ format: "jwk" }), kid, ...more })) });
}

const clock = new FakeClock();

function token(key: KeyObject, header: object, claims: object = {}): string {
  const now = Math.floor(clock.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ typ: "JWT", ...header })}.${part({ aud: [sentryId], sub: subject, iat: now, exp: now + 600, ...claims })}`;
  const alg = (header as { alg: string }).alg;
  return `${signed}.${signBytes(alg, Buffer.from(signed), key).toString("base64url")}`;
}

const request = (jwt: string, more: Partial<IdentityRequest> = {}): IdentityRequest => ({
  id: "app",
  namespace: "shop",
  trustDomain: "",
  csrBytes: 100,
  token: jwt,
  ...more,
});

const never = new AbortController().signal;

async function validator(source: string, minRefreshIntervalMs = 0): Promise<JwksValidator> {
  const keys = createKeySource({ source, caCertificate: "", minRefreshIntervalMs, requestTimeoutMs: 0 }, clock, silentLogger);
  const made = createJwksValidator(keys, sentryId, clock, new Readiness().target("jwks"));
  await made.start(never);
  return made;
}

const inline = await validator(keySet({ kid: "e", publicKey: ec.publicKey }, { kid: "r", publicKey: rsa.publicKey }));

test("a token for sentry that names the identity yields its trust domain", async () => {
  assert.equal(await inline.validate(request(token(ec.privateKey, { alg: "ES256", kid: "e" })), never), "public");
  const claims = { sub: "spiffe://corp.example/ns/shop/app", aud: sentryId };
  const asked = request(token(rsa.privateKey, { alg: "PS384", kid: "r" }, claims), { trustDomain: "corp.example" });
  assert.equal(await inline.validate(asked, never), "corp.example");
});

test("every algorithm verifies its own signatures", async () => {
  const keys = keySet(
    { kid: "ed", publicKey: ed.publicKey },
    { kid: "p521", publicKey: p521.publicKey },
    { kid: "r", publicKey: rsa.publicKey },
  );
  const all = await validator(keys);
  for (const alg of ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]) {
    await all.validate(request(token(rsa.privateKey, { alg, kid: "r" })), never);
  }
  await all.validate(request(token(ed.privateKey, { alg: "EdDSA", kid: "ed" })), never);
  await all.validate(request(token(p521.privateKey, { alg: "ES512", kid: "p521" })), never);
});

test("tokens for others, of others, from another time or forged are refused by name", async () => {
  const good = token(ec.privateKey, { alg: "ES256", kid: "e" });
  const es = (claims: object) => token(ec.privateKey, { alg: "ES256", kid: "e" }, claims);
  const now = Math.floor(clock.now() / 1000);
  const [head, body] = good.split(".") as [string, string];
  const none = `${Buffer.from('{"alg":"none","kid":"e"}').toString("base64url")}.${body}.`;
  const cases: readonly [IdentityRequest, RegExp][] = [
    [request(es({ aud: ["spiffe://localhost/ns/default/dapr-placement"] })), /"aud" not satisfied/],
    [request(es({ aud: undefined })), /"aud" not satisfied/],
    [request(es({ sub: "spiffe://public/ns/shop/other" })), /"sub" not satisfied/],
    [request(good, { id: "other" }), /"sub" not satisfied/],
    [request(good, { namespace: "bank" }), /"sub" not satisfied/],
    [request(good, { trustDomain: "corp.example" }), /"sub" not satisfied/],
    [request(es({ exp: now - 301 })), /"exp" not satisfied/],
    [request(es({ exp: "tomorrow" })), /"exp" not satisfied/],
    [request(es({ nbf: now + 301 })), /"nbf" not satisfied/],
    [request(es({ iat: now + 301 })), /"iat" not satisfied/],
    [request(none), /could not verify message/],
    [request(token(rsa.privateKey, { alg: "RS256", kid: "e" })), /could not verify message/],
    [request(token(ec.privateKey, { alg: "ES256" })), /could not verify message/],
    [request(token(ec.privateKey, { alg: "ES256", kid: "e", crit: ["exp"] })), /its header is not understood/],
    [request(`${head}.${body}`), /invalid JWT/],
    [request("{}"), /invalid JWT/],
    [request("a".repeat(70_000)), /longer than/],
    [request(""), /does not contain a token/],
  ];
  for (const [asked, message] of cases) await assert.rejects(inline.validate(asked, never), message);
});

test("clocks may differ by five minutes and no more", async () => {
  const now = Math.floor(clock.now() / 1000);
  await inline.validate(request(token(ec.privateKey, { alg: "ES256", kid: "e" }, { exp: now - 299 })), never);
  await inline.validate(request(token(ec.privateKey, { alg: "ES256", kid: "e" }, { nbf: now + 300, iat: now + 300 })), never);
});

test("a token shown again is good for its own identity only, until it expires", async () => {
  const shown = token(ec.privateKey, { alg: "ES256", kid: "e" });
  await inline.validate(request(shown), never);
  await inline.validate(request(shown), never);
  await assert.rejects(inline.validate(request(shown, { id: "thief" }), never), /"sub" not satisfied/);
  await clock.advance(600_000 + 300_000);
  await assert.rejects(inline.validate(request(shown), never), /"exp" not satisfied/);
});

test("a key for encryption, and a secret taken for a key, verify nothing", async () => {
  const keys = keySet({ kid: "enc", publicKey: ec.publicKey, more: { use: "enc" } });
  const withSecret = JSON.stringify({ keys: [...JSON.parse(keys).keys, { kty: "oct", kid: "s", k: "c2VjcmV0" }] });
  const made = await validator(withSecret);
  await assert.rejects(made.validate(request(token(ec.privateKey, { alg: "ES256", kid: "enc" })), never), /could not verify/);
});

test("the set may be base64, or a file that is read again when a key is unknown", async () => {
  const text = keySet({ kid: "e", publicKey: ec.publicKey });
  const encoded = await validator(Buffer.from(text).toString("base64"));
  await encoded.validate(request(token(ec.privateKey, { alg: "ES256", kid: "e" })), never);
  const file = join(folder, "jwks.json");
  writeFileSync(file, text);
  const read = await validator(file);
  writeFileSync(file, keySet({ kid: "new", publicKey: rsa.publicKey }));
  await clock.advance(1000);
  await read.validate(request(token(rsa.privateKey, { alg: "RS256", kid: "new" })), never);
  await assert.rejects(read.validate(request(token(ec.privateKey, { alg: "ES256", kid: "e" })), never), /could not verify/);
});

test("a URL is asked for rotated keys, but not more often than allowed, and bad answers change nothing", async () => {
  let served = keySet({ kid: "e", publicKey: ec.publicKey });
  let asked = 0;
  const server = createServer((_request, response) => {
    asked++;
    response.end(served);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const made = await validator(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, 60_000);
  served = keySet({ kid: "new", publicKey: rsa.publicKey });
  const rotated = () => made.validate(request(token(rsa.privateKey, { alg: "RS256", kid: "new" })), never);
  for (let flood = 0; flood < 20; flood++) await assert.rejects(rotated(), /no key has its key id/);
  assert.equal(asked, 1);
  await clock.advance(60_000);
  await Promise.all([rotated(), rotated()]);
  assert.equal(asked, 2);
  served = "<html>";
  await clock.advance(60_000);
  await assert.rejects(made.validate(request(token(ed.privateKey, { alg: "EdDSA", kid: "ed" })), never), /no key has its key id/);
  await rotated();
  server.closeAllConnections();
  server.close();
});
