// A real sentry and who asks it: every kind of key, openssl as the judge, and requests that must be refused by name.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPublicKey, createVerify, generateKeyPairSync } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { after, before, test } from "node:test";
import { GrpcCode } from "../../../lib/kit/errors.ts";
import { createCsr, csrPem } from "../../../lib/security/x509/csr.ts";
import { generateKey, type KeyKind } from "../../../lib/security/x509/keys.ts";
import { readCertificatesPem } from "../../../lib/security/x509/read-certificate.ts";
import { GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import { type Sentry, sentry } from "../../harness/sentry.ts";

let ca: Sentry;
before(async () => {
  ca = await sentry({ flags: { "jwt-enabled": true, "jwt-issuer": "https://issuer.example" } });
});
after(async () => ca[Symbol.asyncDispose]());

const csrOf = async (kind: KeyKind = "ecdsa-p256"): Promise<Buffer> => Buffer.from(csrPem(createCsr({ key: await generateKey(kind) })));

function openssl(args: readonly string[], input?: string): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync("openssl", args, { encoding: "utf8", ...(input === undefined ? {} : { input }) });
  return { status, output: `${stdout}${stderr}` };
}

async function refused(request: Parameters<Sentry["sign"]>[0]): Promise<GrpcStatusError> {
  const error = await ca.sign(request).then(
    () => assert.fail("the request was signed"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof GrpcStatusError, String(error));
  return error;
}

for (const kind of ["ecdsa-p256", "ed25519", "rsa-2048"] as const) {
  test(`openssl verifies a certificate for a key of kind ${kind}`, async () => {
    const response = await ca.sign({ id: "app", namespace: "shop", certificateSigningRequest: await csrOf(kind) });
    const chain = Buffer.from(response.workloadCertificate).toString();
    const [leaf, issuer] = readCertificatesPem(chain);
    const leafFile = ca.folder.write(`${kind}.pem`, leaf?.x509.toString() ?? "");
    const issuerFile = ca.folder.write(`${kind}-issuer.pem`, issuer?.x509.toString() ?? "");
    const verified = openssl(["verify", "-x509_strict", "-CAfile", `${ca.credentials}/ca.crt`, "-untrusted", issuerFile, leafFile]);
    assert.equal(verified.status, 0, verified.output);
    const text = openssl(["x509", "-in", leafFile, "-noout", "-text"]).output;
    assert.match(text, /URI:spiffe:\/\/public\/ns\/shop\/app\n/);
    assert.match(text, /TLS Web Server Authentication, TLS Web Client Authentication/);
    assert.equal(Buffer.from(response.trustChainCertificates[0] ?? "").toString(), ca.anchors());
    assert.equal(Number(response.validUntil?.seconds), (leaf?.notAfter ?? 0) / 1000);
  });
}

test("a JWT for all audiences and one for each come with the certificate", async () => {
  const jwtAudiences = ["bank", "__proto__"];
  const response = await ca.sign({ id: "app", namespace: "shop", certificateSigningRequest: await csrOf(), jwtAudiences });
  assert.deepEqual(Object.keys(response.perAudienceJwts).sort(), ["__proto__", "bank", "public"]);
  const [head, body, signature] = (response.jwt ?? "").split(".") as [string, string, string];
  const decode = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString());
  const [key] = JSON.parse(readFileSync(`${ca.credentials}/jwks.json`, "utf8")).keys;
  assert.deepEqual(decode(head), { alg: "RS256", kid: key.kid, typ: "JWT" });
  const { aud, iss, sub, use } = decode(body);
  assert.deepEqual(
    { aud, iss, sub, use },
    {
      aud: ["public", ...jwtAudiences],
      iss: "https://issuer.example",
      sub: "spiffe://public/ns/shop/app",
      use: "sig",
    },
  );
  const good = createVerify("sha256")
    .update(`${head}.${body}`)
    .verify(createPublicKey({ key, format: "jwk" }), signature, "base64url");
  assert.ok(good);
});

test("names, extensions and attributes that a request asks for are never granted", async () => {
  const key = await generateKey("ecdsa-p256");
  const uris = ["spiffe://localhost/ns/default/dapr-operator"];
  const csr = Buffer.from(csrPem(createCsr({ key, commonName: "root", uris, dns: ["dapr-webhook.default.svc"] })));
  const response = await ca.sign({ id: "app", namespace: "shop", certificateSigningRequest: csr });
  const [leaf] = readCertificatesPem(Buffer.from(response.workloadCertificate));
  assert.deepEqual(leaf?.altNames, { uris: ["spiffe://public/ns/shop/app"], dns: [], others: 0 });
  assert.deepEqual([leaf?.subject, leaf?.ca], [[], null]);
});

test("a request by openssl that wants to be a CA gets a leaf", async () => {
  const args = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=evil", "-batch"];
  const made = spawnSync("openssl", [...args, "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"], {
    encoding: "utf8",
  });
  assert.equal(made.status, 0, made.stderr);
  const response = await ca.sign({ id: "app", namespace: "shop", certificateSigningRequest: Buffer.from(made.stdout) });
  const [leaf] = readCertificatesPem(Buffer.from(response.workloadCertificate));
  assert.equal(leaf?.ca, null);
  assert.ok(!leaf?.keyUsage?.has(5));
});

test("forged and malformed identities are refused by name", async () => {
  const certificateSigningRequest = await csrOf();
  const cases: readonly [Parameters<Sentry["sign"]>[0], RegExp][] = [
    [{ id: "", namespace: "ns" }, /parameter app-id cannot be empty/],
    [{ id: "a.b", namespace: "ns" }, /parameter app-id cannot contain dots/],
    [{ id: "a".repeat(65), namespace: "ns" }, /app ID must be 64 characters or less/],
    [{ id: "app", namespace: "" }, /namespace is required/],
    [{ id: "app/../other", namespace: "ns" }, /cannot contain dots|has characters/],
    [{ id: "app", namespace: "ns/other" }, /namespace "ns\/other" has characters/],
    [{ id: "app", namespace: ".." }, /dot segment/],
    [{ id: "app\0", namespace: "ns" }, /has characters/],
    [{ id: "app", namespace: "ns", trustDomain: "Public" }, /trust domain "Public" has characters/],
    [{ id: "app", namespace: "ns", trustDomain: "a/ns/b" }, /trust domain/],
    [{ id: "dapr-sentry", namespace: "default", trustDomain: "localhost" }, /sentry's own identity/],
  ];
  for (const [request, message] of cases) {
    const error = await refused({ ...request, certificateSigningRequest });
    assert.equal(error.code, GrpcCode.PERMISSION_DENIED, JSON.stringify(request));
    assert.match(error.message, message);
  }
});

test("requests that are no good CSR are refused by name", async () => {
  const good = (await csrOf()).toString();
  const der = Buffer.from(good.replace(/-----[^\n]+\n/g, ""), "base64");
  const pem = (bytes: Buffer): string => csrPem(bytes);
  const flipped = Buffer.from(der);
  flipped[flipped.length - 3] = (flipped[flipped.length - 3] as number) ^ 1;
  const small = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const weak = pem(createCsr({ key: small }));
  const cases: readonly [string, RegExp][] = [
    ["-----BEGIN PRIVATE KEY-----\nMC4CAQBLAHBLAH\n-----END PRIVATE KEY-----", /invalid certificate signing request/],
    ["no pem at all", /invalid certificate signing request: give exactly one/],
    [`${good}${good}`, /invalid certificate signing request: give exactly one/],
    [good.replace("CERTIFICATE REQUEST", "PUBLIC KEY").replace("CERTIFICATE REQUEST", "PUBLIC KEY"), /labelled "PUBLIC KEY"/],
    [pem(Buffer.concat([der, Buffer.from([0])])), /bytes behind its end/],
    [pem(Buffer.alloc(40_000, 0x30)), /at most \d+ are accepted/],
    [pem(Buffer.from([0x30, 0x80, 0, 0])), /is not DER/],
    [pem(flipped), /invalid signature|is not DER/],
    [weak, /RSA key of 1024 bits is not accepted/],
  ];
  for (const [csr, message] of cases) {
    const error = await refused({ id: "app", namespace: "ns", certificateSigningRequest: Buffer.from(csr) });
    assert.equal(error.code, GrpcCode.INVALID_ARGUMENT, csr.slice(0, 80));
    assert.match(error.message, message);
  }
});

test("a validator that is not on, and too many audiences, are refused", async () => {
  const certificateSigningRequest = await csrOf();
  const identity = { id: "app", namespace: "ns", certificateSigningRequest };
  assert.equal((await refused({ ...identity, tokenValidator: 2 })).message, "the requested validator is not enabled");
  assert.equal((await refused({ ...identity, tokenValidator: -1 as never })).message, "the requested validator is not enabled");
  const jwtAudiences = Array.from({ length: 65 }, (_, index) => `aud-${index}`);
  assert.match((await refused({ ...identity, jwtAudiences })).message, /at most 64 JWT audiences/);
});

test("keys are for the owner only, and no log line or status holds one", async () => {
  for (const name of ["ca.crt", "issuer.crt", "issuer.key", "jwt.key", "jwks.json", "rotation.json"]) {
    assert.equal(statSync(`${ca.credentials}/${name}`).mode & 0o777, 0o600, name);
  }
  const key = readFileSync(`${ca.credentials}/issuer.key`, "utf8").split("\n")[1] as string;
  const shown = `${ca.program.output}${JSON.stringify(await ca.rotation())}`;
  assert.ok(!shown.includes(key) && !shown.includes("BEGIN PRIVATE KEY"));
});

test("metrics count requests, certificates and refusals by reason", async () => {
  const text = await (await fetch(`http://127.0.0.1:${ca.metricsPort}/metrics`)).text();
  assert.match(text, /^dapr_sentry_cert_sign_success_total [1-9]/m);
  assert.match(text, /^dapr_sentry_cert_sign_failure_total\{reason="denied"\} [1-9]/m);
  assert.match(text, /^dapr_sentry_cert_sign_failure_total\{reason="key_size"\} 1$/m);
});
