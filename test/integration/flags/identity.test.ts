// Mutual TLS: what asks for it, where the certificate comes from, and what sentry is asked and shown.
import assert from "node:assert/strict";
import { connect } from "node:tls";
import { SignCertificateRequest_TokenValidator as Validator } from "../../../lib/proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";
import { testAuthority } from "../../../lib/security/test-authority.ts";
import { type TestSentry, testSentry } from "../../../lib/security/test-sentry.ts";
import { type Daprd, type DaprdOptions, daprd, foreignDaprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { observes } from "./observes.ts";
import { runSidecar } from "./run-daprd.ts";

/** A control plane of the usual name, and what a sidecar needs to find it. */
async function controlPlane(id = "spiffe://localhost/ns/default/dapr-sentry") {
  const authority = await testAuthority();
  const ca = await testSentry(authority, { id });
  const start = ({ flags, env, ...options }: DaprdOptions = {}) =>
    daprd({
      ...options,
      flags: { "enable-mtls": true, "sentry-address": ca.address, ...flags },
      env: { DAPR_TRUST_ANCHORS: authority.rootPem, ...env },
    });
  return { authority, ca, start, [Symbol.asyncDispose]: () => ca[Symbol.asyncDispose]() };
}

/** The SPIFFE ids in the certificate of the internal port; null: it speaks no TLS. */
function servedIds(sidecar: Daprd): Promise<string | null> {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port: sidecar.internalGrpcPort, rejectUnauthorized: false, ALPNProtocols: ["h2"] };
    const socket = connect(options, () => resolve(socket.getPeerCertificate().subjectaltname ?? ""));
    socket.on("error", () => resolve(null)).on("close", () => resolve(null));
  });
}

async function firstRequest(ca: TestSentry) {
  const [request] = ca.requests;
  assert.ok(request, "sentry was not asked");
  return request;
}

observes(
  ["enable-mtls", "sentry-address", "DAPR_TRUST_ANCHORS"],
  "the internal port serves with the certificate of that sentry",
  async () => {
    await using plane = await controlPlane();
    await using on = await plane.start({ appId: "shop" });
    assert.match(String(await servedIds(on)), /URI:spiffe:\/\/public\/ns\/default\/shop/);
    assert.equal(plane.ca.requests.length, 1);
    await using off = await plane.start({ flags: { "enable-mtls": "false" } });
    assert.equal(await servedIds(off), null);
    assert.equal(plane.ca.requests.length, 1);
  },
);

observes(["enable-mtls", "DAPR_TRUST_ANCHORS"], "without trust anchors, or with others than sentry's, nothing is served", async () => {
  await using plane = await controlPlane();
  const none = await runSidecar(["--enable-mtls", `--sentry-address=${plane.ca.address}`]);
  assert.equal(none.code, 1);
  assert.match(none.stdout + none.stderr, /level=fatal .*trust anchors/);
  const nobody = await runSidecar(["--enable-mtls"], { DAPR_TRUST_ANCHORS: plane.authority.rootPem });
  assert.deepEqual([nobody.code, /level=fatal .*sentry/.test(nobody.stdout + nobody.stderr)], [1, true]);
  const { rootPem } = await testAuthority();
  await using wrong = await plane.start({ env: { DAPR_TRUST_ANCHORS: rootPem }, ready: "none" });
  await wrong.program.line(foreignDaprd ? /certificate/ : /Cannot fetch the initial identity, trying again/);
  assert.equal(plane.ca.requests.length, 0);
});

observes(
  ["control-plane-trust-domain", "control-plane-namespace", "DAPR_CONTROLPLANE_TRUST_DOMAIN", "DAPR_CONTROLPLANE_NAMESPACE"],
  "are the identity that sentry must have; flags win over variables",
  async () => {
    await using plane = await controlPlane("spiffe://control/ns/dapr-system/dapr-sentry");
    const right = { "control-plane-trust-domain": "control", "control-plane-namespace": "dapr-system" };
    const wrong = { DAPR_CONTROLPLANE_TRUST_DOMAIN: "elsewhere", DAPR_CONTROLPLANE_NAMESPACE: "elsewhere" };
    await using byFlags = await plane.start({ flags: right, env: wrong });
    assert.notEqual(await servedIds(byFlags), null);
    const env = { DAPR_CONTROLPLANE_TRUST_DOMAIN: "control", DAPR_CONTROLPLANE_NAMESPACE: "dapr-system" };
    await using byVariables = await plane.start({ env });
    assert.notEqual(await servedIds(byVariables), null);
    assert.equal(plane.ca.requests.length, 2);
    await using neither = await plane.start({ ready: "none" });
    await neither.program.line(foreignDaprd ? /unexpected ID/ : /Cannot fetch the initial identity.*spiffe:\/\/control\/ns\/dapr-system/);
    assert.equal(plane.ca.requests.length, 2);
  },
);

observes(["sentry-request-jwt-audiences"], "are asked of sentry", async () => {
  await using plane = await controlPlane();
  await using _asking = await plane.start({ flags: { "sentry-request-jwt-audiences": ["one,two", "three"] } });
  assert.deepEqual((await firstRequest(plane.ca)).jwtAudiences, ["one", "two", "three"]);
});

observes(["SENTRY_LOCAL_IDENTITY"], "is the identity asked for in place of the app id", async () => {
  await using plane = await controlPlane();
  await using sidecar = await plane.start({ appId: "shop", env: { SENTRY_LOCAL_IDENTITY: "other" } });
  assert.equal((await firstRequest(plane.ca)).id, "other");
  assert.match(String(await servedIds(sidecar)), /URI:spiffe:\/\/public\/ns\/default\/other/);
});

observes(
  ["DAPR_SENTRY_TOKEN_FILE"],
  "names the token that is shown to sentry; it is never logged, and a missing one ends the sidecar",
  async () => {
    await using plane = await controlPlane();
    using folder = new Folder("token");
    const file = folder.write("token", "a-secret-token\n");
    await using sidecar = await plane.start({ env: { DAPR_SENTRY_TOKEN_FILE: file } });
    const { token, tokenValidator } = await firstRequest(plane.ca);
    assert.deepEqual([token, tokenValidator], ["a-secret-token", Validator.JWKS]);
    assert.doesNotMatch(sidecar.program.output, /a-secret-token/);
    await using without = await plane.start({ env: { DAPR_SENTRY_TOKEN_FILE: folder.file("missing") }, ready: "none" });
    assert.equal((await without.program.exited()).code, 1);
    assert.match(without.program.output, /failed to read token at path '.*missing'/);
  },
);
