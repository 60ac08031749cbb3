// The OIDC answers, above all that no header can change what others are told.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createOidcHandler, normalPrefix, type OidcRequest, type OidcSettings } from "./discovery.ts";

const settings: OidcSettings = {
  issuer: "https://issuer.example/auth",
  jwksUri: null,
  pathPrefix: "",
  allowedHosts: [],
  scheme: "https",
  algorithm: "ES256",
};
const path = "/.well-known/openid-configuration";
const get = (more: Partial<OidcRequest> = {}): OidcRequest => ({ method: "GET", path, host: "ca.local:9080", forwardedHost: "", ...more });

function ask(more: Partial<OidcRequest> = {}, over: Partial<OidcSettings> = {}) {
  const reply = createOidcHandler({ ...settings, ...over })(get(more), '{"keys":[]}');
  return { ...reply, json: reply.status === 200 ? JSON.parse(reply.body) : null };
}

test("a configured issuer is what everybody is told, and may be cached", () => {
  const { json, headers } = ask({ host: "evil.example", forwardedHost: "evil.example" });
  assert.deepEqual([json.issuer, json.jwks_uri], ["https://issuer.example/auth", "https://issuer.example/jwks.json"]);
  assert.deepEqual(json.id_token_signing_alg_values_supported, ["ES256"]);
  assert.equal(headers["cache-control"], "public, max-age=3600");
});

test("without one the host of the connection is named, never a forwarded one, and nobody may cache it", () => {
  const { json, headers } = ask({ forwardedHost: "evil.example" }, { issuer: null });
  assert.deepEqual([json.issuer, json.jwks_uri], ["https://ca.local:9080", "https://ca.local:9080/jwks.json"]);
  assert.equal(headers["cache-control"], "no-store");
});

test("a host that could end a URL or a header is refused", () => {
  for (const host of ["evil.example/path", "a b", "user@evil.example", "evil.example?x", "", "a\r\nb"]) {
    assert.equal(ask({ host }, { issuer: null }).status, 400, host);
  }
});

test("allowed hosts are checked with and without port, the forwarded one first", () => {
  const over = { allowedHosts: ["ca.local", "[::1]"] };
  assert.equal(ask({}, over).status, 200);
  assert.equal(ask({ host: "evil.example" }, over).status, 403);
  assert.equal(ask({ forwardedHost: "evil.example" }, over).status, 403);
  assert.equal(ask({ host: "inner", forwardedHost: "ca.local" }, over).status, 200);
  assert.equal(ask({ host: "inner", forwardedHost: "ca.local" }, { ...over, issuer: null }).status, 403);
  assert.equal(ask({ host: "evil.example" }, { allowedHosts: ["*"] }).status, 200);
});

test("paths are exact, below the prefix only, and read-only", () => {
  const over = { pathPrefix: normalPrefix("auth/") };
  assert.equal(over.pathPrefix, "/auth");
  assert.equal(normalPrefix("/"), "");
  assert.equal(ask({}, over).status, 404);
  assert.equal(ask({ path: `/auth${path}` }, over).status, 200);
  assert.equal(ask({ path: "/auth/jwks.json" }, over).body, '{"keys":[]}');
  assert.equal(ask({ path: "/jwks.json/" }).status, 404);
  assert.equal(ask({ path: "/authorize" }).status, 404);
  assert.equal(ask({ method: "POST" }).status, 405);
});
