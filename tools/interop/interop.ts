// `make interop`: Go's crypto/x509 and crypto/tls judge certificates of our sentry and handshakes with our sidecar, in both roles. The judge
// is the Go program beside this file, built here. gRPC is not in Go's standard library, so requests to sentry are sent from here.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { ClientTls } from "../../lib/security/client-tls.ts";
import { spiffeId } from "../../lib/security/spiffe.ts";
import { HeldSvid, svidOf } from "../../lib/security/svid-source.ts";
import { HeldTrustBundle, readTrustAnchors } from "../../lib/security/trust-bundle.ts";
import { readPrivateKeyPem } from "../../lib/security/x509/keys.ts";
import { readCertificatesPem } from "../../lib/security/x509/read-certificate.ts";
import type { Daprd } from "../../test/harness/daprd.ts";
import { Folder } from "../../test/harness/folder.ts";
import { type Sentry, sentry } from "../../test/harness/sentry.ts";
import { Mesh } from "../../test/integration/mtls/mesh.ts";

const skip = goMissing();
const folder = new Folder("interop");
const judgePath = folder.file("judge");
const versions = ["1.2", "1.3"] as const;
const settingsFrame = 4;
let mesh: Mesh;
let callee: Daprd;
let foreign: Sentry;

/** Why nothing can be run, or false. */
function goMissing(): string | false {
  try {
    execFileSync("go", ["version"], { stdio: "ignore" });
    return false;
  } catch {
    return "NOT RUN: `go` is not on PATH; install Go 1.21 or later";
  }
}

before(async () => {
  if (skip) return;
  const env = { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOPROXY: "off", GOFLAGS: "-mod=mod" };
  execFileSync("go", ["build", "-o", judgePath, "."], { cwd: import.meta.dirname, env, stdio: "pipe" });
  mesh = await Mesh.start();
  [callee, foreign] = await Promise.all([mesh.httpCallee(), sentry()]);
});

after(async () => {
  if (!skip) {
    await foreign[Symbol.asyncDispose]();
    await mesh[Symbol.asyncDispose]();
  }
  folder[Symbol.dispose]();
});

/** Runs one check of the judge; rejects with what it says when it fails. */
async function judge(...args: readonly string[]): Promise<void> {
  await promisify(execFile)(judgePath, args).catch((error: { readonly stderr: string }) => {
    throw new Error(`the judge says of ${args[0]}: ${error.stderr.trim()}`);
  });
}

/** A key and a request that Go made, and the chain that our sentry made of it. Paths of files. */
async function goIdentity(kind: string): Promise<{ readonly id: string; readonly chain: string; readonly key: string }> {
  const [csr, key] = [folder.file(`${kind}.csr`), folder.file(`${kind}.key`)];
  await judge("csr", kind, csr, key);
  const appId = `go-${kind}`;
  const request = { id: appId, namespace: "default", trustDomain: "public", certificateSigningRequest: readFileSync(csr) };
  const { workloadCertificate } = await mesh.ca.sign(request);
  const chain = folder.write(`${kind}.crt`, Buffer.from(workloadCertificate).toString());
  return { id: spiffeId("public", "default", appId).uri, chain, key };
}

const anchors = (ca = mesh.ca): string => `${ca.credentials}/ca.crt`;
const calleeId = (): string => spiffeId("public", "default", callee.appId).uri;

for (const kind of ["ecdsa", "ed25519", "rsa"]) {
  test(`Go verifies the certificate for its own request with a key of kind ${kind}`, { skip }, async () => {
    const { id, chain } = await goIdentity(kind);
    await judge("verify", anchors(), chain, id);
    const both = folder.write("both.crt", readFileSync(anchors(foreign), "utf8") + readFileSync(anchors(), "utf8"));
    await judge("verify", both, chain, id);
    await assert.rejects(judge("verify", anchors(foreign), chain, id), /certificate signed by unknown authority/);
    await assert.rejects(judge("verify", anchors(), chain, `${id}x`), /the leaf is \[spiffe:.*\], not/);
  });

  for (const version of versions) {
    test(`a Go client with a key of kind ${kind} is let in by our sidecar over TLS ${version}, and resumes`, { skip }, async () => {
      const { chain, key } = await goIdentity(kind);
      const address = `127.0.0.1:${callee.internalGrpcPort}`;
      await judge("dial", address, calleeId(), anchors(), chain, key, version);
      await assert.rejects(judge("dial", address, `${calleeId()}x`, anchors(), chain, key, version), /the leaf is/);
      await assert.rejects(judge("dial", address, calleeId(), anchors(foreign), chain, key, version), /unknown authority/);
    });
  }
}

for (const version of versions) {
  test(`our client and a Go server know each other over TLS ${version}`, { skip }, async (context) => {
    const ours = await goIdentity("ed25519");
    const theirs = await goIdentity("ecdsa");
    const source = new HeldSvid(svidOf(readCertificatesPem(readFileSync(ours.chain)), readPrivateKeyPem(readFileSync(ours.key))));
    const tls = new ClientTls({ source, bundle: new HeldTrustBundle(readTrustAnchors(mesh.ca.anchors())) });
    const server = spawn(judgePath, ["serve", ours.id, anchors(), theirs.chain, theirs.key, version], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    context.after(() => server.kill());
    const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
    const address = String((await lines.next()).value);
    const port = Number(address.slice(address.lastIndexOf(":") + 1));
    const socket = tls.connector(spiffeId("public", "default", "go-ecdsa"))({ host: "127.0.0.1", port });
    const frame = await new Promise<Buffer>((resolve, reject) => void socket.once("data", resolve).once("error", reject));
    assert.equal(frame[3], settingsFrame);
    assert.equal((socket as import("node:tls").TLSSocket).getProtocol(), `TLSv${version}`);
    socket.end();
    assert.equal((await lines.next()).value, "ok");
    tls.close();
  });
}

test("a Go client without a certificate, or with one that it made itself, is not let in", { skip }, async () => {
  const address = `127.0.0.1:${callee.internalGrpcPort}`;
  await judge("stranger", address, "none");
  await judge("stranger", address, "self");
  await callee.program.line(/Refused a TLS connection from .* \(no_certificate\)/);
  await callee.program.line(/Refused a TLS connection from .* \(untrusted\)/);
});

test("Go accepts the certificate that our sentry shows", { skip }, async () => {
  const { chain, key } = await goIdentity("ecdsa");
  const id = spiffeId("localhost", "default", "dapr-sentry").uri;
  for (const version of versions) await judge("dial", mesh.ca.address, id, anchors(), chain, key, version);
});
