// Certificates and requests held to openssl's own reading, and the refusals of CSRs, CAs and paths.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { svidIdOf, verifySvid } from "../svid.ts";
import { around, type TestAuthority, testAuthority } from "../test-authority.ts";
import { checkAuthority, createIssuer, createLeaf, createRoot } from "./certificate.ts";
import { createCsr, csrFromPem, csrPem, readCsr } from "./csr.ts";
import { generateKey, type KeyKind, privateKeyPem, readPrivateKeyPem, samePublicKey } from "./keys.ts";
import { writePem } from "./pem.ts";
import { type Certificate, certificatesPem, readCertificatesPem } from "./read-certificate.ts";
import { verifyChain } from "./verify-chain.ts";
import { X509Error } from "./x509-error.ts";

const uri = "spiffe://public/ns/default/app";
const kinds: readonly KeyKind[] = ["ecdsa-p256", "ed25519", "rsa-2048"];
const now = Date.now();
let folder: string;
let authority: TestAuthority;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "outrigger-x509-"));
  authority = await testAuthority({ now });
});
after(() => rmSync(folder, { recursive: true }));

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const openssl = (...args: string[]): string => execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const reasonOf = (run: () => unknown): string => {
  try {
    run();
    return "accepted";
  } catch (error) {
    if (!(error instanceof X509Error)) throw error;
    return error.reason;
  }
};

for (const kind of kinds) {
  test(`openssl verifies a chain of ${kind} by the strict rules, for both sides of TLS`, async () => {
    const ca = await testAuthority({ kind, now });
    const { chain } = await ca.identity(uri, { dns: ["app.default.svc"] });
    const paths = [
      file("root.pem", ca.rootPem),
      file("issuer.pem", certificatesPem(chain.slice(1))),
      file("leaf.pem", certificatesPem(chain.slice(0, 1))),
    ];
    for (const purpose of ["sslserver", "sslclient"]) {
      const args = ["-x509_strict", "-purpose", purpose, "-CAfile", paths[0] as string, "-untrusted", paths[1] as string];
      assert.match(openssl("verify", ...args, paths[2] as string), /OK/);
    }
    const text = openssl("x509", "-noout", "-text", "-in", paths[2] as string);
    assert.match(text, /Subject Alternative Name: critical\n\s+DNS:app\.default\.svc, URI:spiffe:\/\/public\/ns\/default\/app\n/);
    assert.match(text, /CA:FALSE/);
    assert.match(text, /TLS Web Server Authentication, TLS Web Client Authentication/);
    assert.match(openssl("x509", "-noout", "-text", "-in", paths[1] as string), /CA:TRUE, pathlen:0/);
    assert.equal(verifySvid(chain, [ca.root], now).uri, uri);
  });

  test(`a request of ${kind} is good for openssl, and openssl's for us`, async () => {
    const key = await generateKey(kind);
    const der = createCsr({ key, commonName: "app", uris: [uri], dns: ["app.default.svc"] });
    const path = file("request.pem", csrPem(der));
    assert.match(
      openssl("req", "-verify", "-noout", "-text", "-in", path),
      /DNS:app\.default\.svc, URI:spiffe:\/\/public\/ns\/default\/app/,
    );
    const csr = readCsr(csrFromPem(csrPem(der)));
    assert.deepEqual(csr.altNames, { uris: [uri], dns: ["app.default.svc"], others: 0 });
    assert.deepEqual(csr.subject, [["2.5.4.3", "app"]]);
    assert.ok(samePublicKey(csr.publicKey, key.publicKey));

    const theirs = openssl(
      "req",
      "-new",
      "-key",
      file("key.pem", privateKeyPem(key.privateKey)),
      "-subj",
      "/O=x/CN=y",
      "-addext",
      "subjectAltName=IP:127.0.0.1,DNS:a.b",
    );
    assert.deepEqual(readCsr(csrFromPem(theirs)).altNames, { uris: [], dns: ["a.b"], others: 1 });
  });

  test(`a private key of ${kind} survives PEM, also in its older form`, async () => {
    const key = await generateKey(kind);
    assert.ok(samePublicKey(readPrivateKeyPem(privateKeyPem(key.privateKey)).publicKey, key.publicKey));
    const type = kind === "ecdsa-p256" ? "sec1" : kind === "rsa-2048" ? "pkcs1" : "pkcs8";
    const older = key.privateKey.export({ type, format: "pem" }) as string;
    assert.ok(samePublicKey(readPrivateKeyPem(older).publicKey, key.publicKey));
  });
}

test("an empty request, as Dapr sends it, asks for nothing", async () => {
  const csr = readCsr(createCsr({ key: await generateKey("ed25519") }));
  assert.deepEqual([csr.subject, csr.altNames, csr.extensions, csr.attributes], [[], null, [], []]);
});

test("a request lists what it asks for beyond names", async () => {
  const key = file("key2.pem", privateKeyPem((await generateKey("ecdsa-p256")).privateKey));
  const pem = openssl(
    "req",
    "-new",
    "-key",
    key,
    "-subj",
    "/",
    "-addext",
    "basicConstraints=critical,CA:TRUE",
    "-addext",
    "keyUsage=keyCertSign",
  );
  const csr = readCsr(csrFromPem(pem));
  assert.deepEqual(
    csr.extensions.map(({ oid, critical }) => [oid, critical]),
    [
      ["2.5.29.19", true],
      ["2.5.29.15", false],
    ],
  );
});

test("keys that the CA does not certify are refused by name", () => {
  const csrOf = (type: "rsa" | "ec", options: object) => {
    const { privateKey } = generateKeyPairSync(type as "rsa", { ...(options as { modulusLength: number }) });
    const key = { privateKey, publicKey: createPublicKey(privateKey) };
    const path = file("weak.pem", privateKeyPem(key.privateKey));
    return csrFromPem(openssl("req", "-new", "-sha256", "-key", path, "-subj", "/"));
  };
  assert.equal(
    reasonOf(() => readCsr(csrOf("rsa", { modulusLength: 1024 }))),
    "key_size",
  );
  assert.equal(
    reasonOf(() => readCsr(csrOf("rsa", { modulusLength: 2048, publicExponent: 3 }))),
    "key_size",
  );
  assert.equal(
    reasonOf(() => readCsr(csrOf("ec", { namedCurve: "secp256k1" }))),
    "key_type",
  );
});

test("weak or foreign signatures of a request are refused by name", async () => {
  const key = file("key3.pem", privateKeyPem((await generateKey("rsa-2048")).privateKey));
  const sha1 = openssl("req", "-new", "-sha1", "-key", key, "-subj", "/");
  assert.equal(
    reasonOf(() => readCsr(csrFromPem(sha1))),
    "signature_algorithm",
  );
  const [one, other] = await Promise.all([generateKey("ed25519"), generateKey("ed25519")]);
  const forged = createCsr({ key: { publicKey: other.publicKey, privateKey: one.privateKey } });
  assert.equal(
    reasonOf(() => readCsr(forged)),
    "signature",
  );
});

test("what is not one request in PEM is refused", async () => {
  const pem = csrPem(createCsr({ key: await generateKey("ed25519") }));
  assert.equal(
    reasonOf(() => csrFromPem("")),
    "pem",
  );
  assert.equal(
    reasonOf(() => csrFromPem(pem + pem)),
    "pem",
  );
  assert.equal(
    reasonOf(() => csrFromPem(pem.replaceAll("CERTIFICATE REQUEST", "PRIVATE KEY"))),
    "pem",
  );
  assert.equal(
    reasonOf(() => readCsr(csrFromPem(pem.replaceAll("CERTIFICATE REQUEST", "CERTIFICATE")))),
    "accepted",
  );
  assert.equal(
    reasonOf(() => csrFromPem("x".repeat(40_000))),
    "too_large",
  );
  assert.equal(
    reasonOf(() => csrFromPem(writePem("CERTIFICATE REQUEST", Buffer.alloc(20_000)))),
    "accepted",
  );
  assert.equal(
    reasonOf(() => readCsr(Buffer.alloc(20_000))),
    "too_large",
  );
});

test("private keys in unreadable forms say so without quoting them", () => {
  assert.equal(
    reasonOf(() => readPrivateKeyPem("")),
    "pem",
  );
  assert.equal(
    reasonOf(() => readPrivateKeyPem(writePem("ENCRYPTED PRIVATE KEY", Buffer.from("s3cret")))),
    "pem",
  );
  assert.equal(
    reasonOf(() => readPrivateKeyPem(writePem("__proto__ PRIVATE KEY", Buffer.from("s3cret")))),
    "pem",
  );
  assert.throws(
    () => readPrivateKeyPem(writePem("PRIVATE KEY", Buffer.from("s3cret"))),
    (error: Error) => !/s3cret/.test(JSON.stringify([error.message, String(error.cause), error.stack])),
  );
});

test("serial numbers are random, positive and of 16 bytes", async () => {
  const serials = await Promise.all(Array.from({ length: 20 }, async () => (await authority.identity(uri)).chain[0]?.serial ?? ""));
  assert.equal(new Set(serials).size, serials.length);
  assert.ok(serials.every((serial) => /^[0-9a-f]{30,32}$/.test(serial)));
});

test("an authority must be a CA with its own key", async () => {
  const { key, chain } = await authority.identity(uri);
  const stranger = await generateKey("ecdsa-p256");
  assert.equal(
    reasonOf(() => checkAuthority({ certificate: chain[0] as Certificate, privateKey: key.privateKey })),
    "not_a_ca",
  );
  assert.equal(
    reasonOf(() => checkAuthority({ certificate: authority.root, privateKey: stranger.privateKey })),
    "key_mismatch",
  );
  assert.equal(
    reasonOf(() => checkAuthority(authority.issuer)),
    "accepted",
  );
});

test("paths: foreign, expired, not yet valid, signed by no CA, too long", async () => {
  const other = await testAuthority({ now });
  const { key, chain } = await authority.identity(uri);
  const anchors = [authority.root];
  const verify = (certificates: readonly Certificate[], at = now) => reasonOf(() => verifyChain({ chain: certificates, anchors, now: at }));
  const dayMs = 86_400_000;
  assert.equal(verify(chain), "accepted");
  assert.equal(verify([...chain, authority.root]), "accepted");
  assert.equal(verify([]), "no_certificate");
  assert.equal(verify(chain.slice(0, 1)), "untrusted");
  assert.equal(verify((await other.identity(uri)).chain), "untrusted");
  assert.equal(verify(chain, now + 2 * dayMs), "expired");
  assert.equal(verify(chain, now - 3_600_000), "not_yet_valid");

  const stranger = await generateKey("ecdsa-p256");
  const signedByLeaf = createLeaf(
    { publicKey: stranger.publicKey, uri, validity: around(now) },
    { certificate: chain[0] as Certificate, privateKey: key.privateKey },
  );
  assert.equal(verify([signedByLeaf, ...chain]), "not_a_ca");
  const below = {
    certificate: createIssuer({ key: stranger, organization: "below", validity: around(now) }, authority.issuer),
    privateKey: stranger.privateKey,
  };
  const tooDeep = createLeaf({ publicKey: key.publicKey, uri, validity: around(now) }, below);
  assert.equal(verify([tooDeep, below.certificate, ...chain.slice(1)]), "path_length");
});

test("paths: an issuer of the same name and key that expired does not hide the good one, nor does a rotated root", async () => {
  const next = await testAuthority({ now, name: "test" });
  const { chain } = await authority.identity(uri);
  const anchors = [next.root, authority.root];
  assert.equal(verifyChain({ chain, anchors, now }).at(-1), authority.root);
  const theirs = await next.identity(uri);
  assert.equal(verifyChain({ chain: theirs.chain, anchors, now }).at(-1), next.root);
});

test("paths: an expired issuer is named, a leaf that outlives it or not", async () => {
  const validity = { notBefore: now - 7_200_000, notAfter: now - 3_600_000 };
  const key = await generateKey("ecdsa-p256");
  const issuer = { certificate: createIssuer({ key, organization: "old", validity }, authority.rootAuthority), privateKey: key.privateKey };
  const leaf = createLeaf({ publicKey: key.publicKey, uri, validity: around(now) }, issuer);
  assert.equal(
    reasonOf(() => verifyChain({ chain: [leaf, issuer.certificate], anchors: [authority.root], now })),
    "expired",
  );
});

test("an SVID has exactly one URI, a SPIFFE id, and is no CA", async () => {
  const id = async (uris: string) => reasonOf(() => svidIdOf(createLeafOf(uris)));
  const key = await generateKey("ecdsa-p256");
  const createLeafOf = (text: string) => createLeaf({ publicKey: key.publicKey, uri: text, validity: around(now) }, authority.issuer);
  assert.equal(await id(uri), "accepted");
  assert.equal(await id("https://example.com/"), "spiffe_id");
  assert.equal(await id("spiffe://public/ns/default/app/x"), "spiffe_id");
  assert.equal(
    reasonOf(() => svidIdOf(authority.root)),
    "is_a_ca",
  );
  const none = { ...createLeafOf(uri), altNames: { uris: [], dns: ["x"], others: 0 } };
  const two = { ...createLeafOf(uri), altNames: { uris: [uri, uri], dns: [], others: 0 } };
  assert.deepEqual([reasonOf(() => svidIdOf(none)), reasonOf(() => svidIdOf(two))], ["spiffe_id", "spiffe_id"]);
});

test("a bundle of PEM is read in order, other blocks and comments passed over", async () => {
  const other = createRoot({ key: await generateKey("ed25519"), organization: "other", validity: around(now) });
  const pem = `# one\n${authority.rootPem}\n# two\n${writePem("X", Buffer.from("x"))}${certificatesPem([other])}`;
  assert.deepEqual(
    readCertificatesPem(pem).map(({ serial }) => serial),
    [authority.root.serial, other.serial],
  );
  assert.equal(
    reasonOf(() => readCertificatesPem("")),
    "pem",
  );
});
