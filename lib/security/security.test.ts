// One service's security against a sentry of the test's own: obtaining, renewing and keeping an identity, roots that
// rotate without a restart, tokens, and a sentry that is absent, false, or says no.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { GrpcCode } from "../kit/errors.ts";
import { FakeClock } from "../kit/fake-clock.ts";
import { SignCertificateRequest_TokenValidator as Validator } from "../proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";
import { Health, HealthCheckRequestSchema, HealthCheckResponseSchema } from "../proto/gen/grpc/health/v1/health_pb.ts";
import { createLogger, type Logger, silentLogger } from "../telemetry/log.ts";
import { connectGrpc } from "../wire/grpc/client.ts";
import { createGrpcDispatcher } from "../wire/grpc/server.ts";
import { GrpcStatusError, unary } from "../wire/grpc/types.ts";
import { createH2cServer } from "../wire/http2-server.ts";
import { createListener } from "../wire/listener.ts";
import { createSecurity, type Security, type SecurityOptions } from "./security.ts";
import { parseSpiffeId } from "./spiffe.ts";
import { svidOf } from "./svid-source.ts";
import { around, type TestAuthority, testAuthority } from "./test-authority.ts";
import { type TestSentry, testSentry } from "./test-sentry.ts";
import { createLeaf } from "./x509/certificate.ts";
import { generateKey } from "./x509/keys.ts";
import { certificatesPem } from "./x509/read-certificate.ts";

let folder: string;
let ca: TestAuthority;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "outrigger-security-"));
  ca = await testAuthority();
});
after(() => rmSync(folder, { recursive: true }));

function optionsFor(sentry: Pick<TestSentry, "address">, more: Partial<SecurityOptions> = {}): SecurityOptions {
  return {
    mtls: true,
    mode: "standalone",
    appId: "app",
    namespace: "default",
    sentryAddress: sentry.address,
    controlPlaneTrustDomain: "control",
    controlPlaneNamespace: "dapr-system",
    trustAnchors: { pem: ca.rootPem },
    log: silentLogger,
    ...more,
  };
}

async function started(sentry: Pick<TestSentry, "address">, more: Partial<SecurityOptions> = {}): Promise<Security & Disposable> {
  const security = createSecurity(optionsFor(sentry, more));
  await security.start(new AbortController().signal);
  return disposable(security);
}

function disposable(security: Security): Security & Disposable {
  return new Proxy(security, {
    get: (target, name) => {
      if (name === Symbol.dispose) return () => target.stop();
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  }) as Security & Disposable;
}

function lines(): { readonly seen: string[]; readonly log: Logger } {
  const seen: string[] = [];
  const settings = { level: "info", json: true, file: null, appId: "a", instance: "i", version: "v" } as const;
  return { seen, log: createLogger(settings, (line) => seen.push(JSON.parse(line).msg)) };
}

const maxBytes = 4 * 1024 * 1024;
const changed = (security: Security) => new Promise<void>((resolve) => security.onChange(resolve));

/** A gRPC server of `security` that answers with who calls. */
async function serve(security: Security) {
  const callers: (string | null)[] = [];
  const check = unary(Health.method.check, null, (_request, call) => {
    callers.push(call.peerIdentity);
    return create(HealthCheckResponseSchema, {});
  });
  const dispatcher = createGrpcDispatcher({ methods: [check], maxReceiveBytes: maxBytes, maxSendBytes: maxBytes, log: silentLogger });
  const http2 = createH2cServer({ maxHeaderListBytes: 65_536 });
  dispatcher.attach(http2);
  const listener = await createListener([{ host: "127.0.0.1", port: 0 }], {
    http1: null,
    http2,
    secure: security.serverTls(),
    log: silentLogger,
  });
  const { port } = listener.addresses[0] as { readonly port: number };
  return { callers, port, [Symbol.asyncDispose]: () => listener.close({ graceMs: 0 }) };
}

function dial(security: Security, port: number, expected: string) {
  const tls = security.clientTls(parseSpiffeId(expected));
  const target = { host: "127.0.0.1", port, ...(tls === null ? {} : { tls }) };
  const channel = connectGrpc({ target, maxReceiveBytes: maxBytes, maxSendBytes: maxBytes, userAgent: "test", log: silentLogger });
  return {
    check: () => channel.unary(Health.method.check, create(HealthCheckRequestSchema, {})),
    [Symbol.asyncDispose]: () => channel.close(),
  };
}

test("two services get their identities and call each other over gRPC, each knowing the other", async () => {
  await using sentry = await testSentry(ca);
  using caller = await started(sentry);
  using callee = await started(sentry, { appId: "callee", namespace: "other" });
  assert.deepEqual([caller.id?.uri, callee.id?.uri], ["spiffe://public/ns/default/app", "spiffe://public/ns/other/callee"]);
  await using server = await serve(callee);
  await using good = dial(caller, server.port, "spiffe://public/ns/other/callee");
  await good.check();
  assert.deepEqual(server.callers, ["spiffe://public/ns/default/app"]);
  await using wrong = dial(caller, server.port, "spiffe://public/ns/other/callee2");
  await assert.rejects(
    wrong.check(),
    /UNAVAILABLE|authentication handshake failed: the server is spiffe:\/\/public\/ns\/other\/callee, not/,
  );
});

test("what is asked of sentry: an empty request, the namespace, a trust domain only for the control plane", async () => {
  await using sentry = await testSentry(ca);
  const asked = async (more: Partial<SecurityOptions>) => {
    (await started(sentry, more))[Symbol.dispose]();
    const request = sentry.requests.at(-1);
    return [request?.id, request?.namespace, request?.trustDomain, request?.token, request?.tokenValidator, request?.jwtAudiences];
  };
  assert.deepEqual(await asked({ jwtAudiences: ["a"] }), ["app", "default", "", "", Validator.UNKNOWN, ["a"]]);
  assert.deepEqual(await asked({ localIdentity: "me" }), ["me", "default", "", "", Validator.UNKNOWN, []]);
  assert.deepEqual(await asked({ appId: "dapr-placement", namespace: "dapr-system" }), [
    "dapr-placement",
    "dapr-system",
    "control",
    "",
    Validator.UNKNOWN,
    [],
  ]);
  assert.deepEqual(await asked({ appId: "dapr-placement" }), ["dapr-placement", "default", "", "", Validator.UNKNOWN, []]);
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "s3cret\n");
  assert.deepEqual((await asked({ tokenFile })).slice(3, 5), ["s3cret", Validator.JWKS]);
  assert.deepEqual((await asked({ tokenFile, mode: "kubernetes" })).slice(3, 5), ["s3cret", Validator.KUBERNETES]);
});

test("a token that cannot be had ends the start with its cause", async () => {
  await using sentry = await testSentry(ca);
  const empty = join(folder, "empty");
  writeFileSync(empty, "");
  const start = (tokenFile: string) => createSecurity(optionsFor(sentry, { tokenFile })).start(new AbortController().signal);
  await assert.rejects(
    start(""),
    /failed to retrieve the initial identity: error obtaining token: .*DAPR_SENTRY_TOKEN_FILE is set with an empty value/,
  );
  await assert.rejects(start(empty), /token at path '.*empty' is empty/);
  await assert.rejects(start(join(folder, "none")), /failed to read token at path/);
  assert.deepEqual(sentry.requests, []);
});

test("a sentry that says no ends the start; one that is absent is waited for, with one line", async () => {
  await using sentry = await testSentry(ca);
  sentry.answer = () => {
    throw new GrpcStatusError(GrpcCode.PERMISSION_DENIED, "not you");
  };
  await assert.rejects(
    createSecurity(optionsFor(sentry)).start(new AbortController().signal),
    /error from sentry SignCertificate: not you/,
  );

  sentry.answer = (response) => response;
  let calls = 0;
  sentry.answer = (response) => {
    if (++calls < 4) throw new GrpcStatusError(GrpcCode.UNAVAILABLE, "soon");
    return response;
  };
  const clock = new FakeClock(Date.now());
  const { seen, log } = lines();
  const security = createSecurity(optionsFor(sentry, { clock, log }));
  const start = security.start(new AbortController().signal);
  for (let failures = 1; failures < 4; failures++) {
    await clock.untilWaiting();
    await clock.advance(30_000);
  }
  await start;
  assert.deepEqual(seen.slice(0, 3), [
    "Fetching initial identity",
    "Cannot fetch the initial identity, trying again: soon",
    "Security is initialized successfully",
  ]);
  assert.equal(seen.length, 4);
  security.stop();
});

test("a sentry of another identity, or of a foreign CA, gets nothing", async () => {
  const foreign = await testAuthority();
  const impostors = [
    await testSentry(ca, { id: "spiffe://control/ns/dapr-system/app" }),
    await testSentry(ca, { id: "spiffe://public/ns/dapr-system/dapr-sentry" }),
    await testSentry(foreign),
  ];
  for (const impostor of impostors) {
    await using sentry = impostor;
    const failed = Promise.withResolvers<string>();
    const abort = new AbortController();
    const start = createSecurity(optionsFor(sentry, { onRenewalFailed: failed.resolve })).start(abort.signal);
    assert.match(await failed.promise, /authentication handshake failed/);
    abort.abort(new Error("stopped"));
    await assert.rejects(start, /stopped/);
    assert.deepEqual(sentry.requests, []);
  }
});

test("an answer that would not do is not taken: another's id, another's key, a foreign CA, rubbish", async () => {
  await using sentry = await testSentry(ca);
  const foreign = await testAuthority();
  const stranger = await generateKey("ecdsa-p256");
  const strange = createLeaf(
    { publicKey: stranger.publicKey, uri: "spiffe://public/ns/default/app", validity: around(Date.now()) },
    ca.issuer,
  );
  const failure = async (bend: () => void, more: Partial<SecurityOptions> = {}) => {
    bend();
    const failed = Promise.withResolvers<string>();
    const security = createSecurity(optionsFor(sentry, { onRenewalFailed: failed.resolve, ...more }));
    const start = security.start(new AbortController().signal);
    const cause = await failed.promise;
    security.stop();
    await assert.rejects(start);
    return cause;
  };
  const bytes = (workloadCertificate: string) => () => {
    sentry.answer = (response) => Object.assign(response, { workloadCertificate: Buffer.from(workloadCertificate) });
  };
  assert.match(await failure(bytes("rubbish")), /no CERTIFICATE block/);
  assert.match(await failure(bytes(certificatesPem([strange, ca.issuer.certificate]))), /issued for another key/);
  const other = () => {
    sentry.answer = (response) => response;
    sentry.authority = foreign;
  };
  assert.match(await failure(other), /signed by no trust anchor/);
  sentry.authority = ca;
  assert.match(
    await failure(() => void (sentry.validity = () => ({ notBefore: Date.now() - 120_000, notAfter: Date.now() - 60_000 }))),
    /expired/,
  );
  sentry.validity = () => around(Date.now());
  assert.match(
    await failure(() => void (sentry.rename = "other")),
    /sentry has certified spiffe:\/\/public\/ns\/default\/other, which is not/,
  );
});

test("renews at 70 %, keeps the last identity while sentry is away, and says so once", async () => {
  const clock = new FakeClock(Date.now());
  await using sentry = await testSentry(ca);
  sentry.validity = () => ({ notBefore: clock.now(), notAfter: clock.now() + 100_000 });
  const { seen, log } = lines();
  using security = await started(sentry, { clock, log });
  const first = security.id;
  assert.equal(sentry.requests.length, 1);
  await clock.untilWaiting();
  const renewed = changed(security);
  await clock.advance(71_000);
  await renewed;
  assert.equal(sentry.requests.length, 2);

  sentry.answer = () => {
    throw new GrpcStatusError(GrpcCode.PERMISSION_DENIED, "away");
  };
  await clock.untilWaiting();
  await clock.advance(70_000);
  for (let attempts = 0; attempts < 5; attempts++) {
    await clock.untilWaiting();
    await clock.advance(1_000);
  }
  assert.equal(security.id?.uri, first?.uri);
  assert.equal(seen.filter((line) => line.startsWith("Error renewing identity")).length, 1);
  // An attempt may be under way: it, or the next one, succeeds.
  const again = changed(security);
  sentry.answer = (response) => response;
  await clock.untilWaiting();
  await clock.advance(30_000);
  await again;
  await clock.untilWaiting();
  assert.match(seen.at(-1) ?? "", /^Successfully renewed workload identity/);
});

test("a root rotates by sentry's word: three phases, no restart, no open call lost", async () => {
  const clock = new FakeClock(Date.now());
  const next = await testAuthority();
  await using sentry = await testSentry(ca);
  // Valid by the clock of the test, and by that of OpenSSL.
  sentry.validity = () => ({ ...around(Date.now()), notAfter: clock.now() + 24 * 3_600_000 });
  using caller = await started(sentry, { clock });
  using callee = await started(sentry, { clock, appId: "callee" });
  await using server = await serve(callee);
  await using open = dial(caller, server.port, "spiffe://public/ns/default/callee");
  await open.check();
  const phases: (() => Promise<void>)[] = [
    async () => void (sentry.announced = ca.rootPem + next.rootPem),
    async () => {
      sentry.authority = next;
      const { key, chain } = await next.identity("spiffe://control/ns/dapr-system/dapr-sentry");
      sentry.svid.set(svidOf(chain, key));
    },
    async () => void (sentry.announced = next.rootPem),
  ];
  for (const phase of phases) {
    await phase();
    await clock.untilWaiting(2);
    const both = Promise.all([renewal(caller), renewal(callee)]);
    await clock.advance(17 * 3_600_000);
    await both;
    await open.check();
    await using fresh = dial(caller, server.port, "spiffe://public/ns/default/callee");
    await fresh.check();
  }
  assert.deepEqual(
    caller.trustBundle?.anchors.map(({ serial }) => serial),
    [next.root.serial],
  );
});

/** Resolves when the identity, the last thing to change in a renewal, has changed. */
function renewal(security: Security): Promise<void> {
  return new Promise((resolve) => {
    const stop = security.onIdentity(() => {
      stop();
      resolve();
    });
  });
}

test("in plain text there is no identity, nothing to wait for, and calls go through", async () => {
  const { seen, log } = lines();
  const security = createSecurity(optionsFor({ address: "127.0.0.1:1" }, { mtls: false, log }));
  await security.start(new AbortController().signal);
  assert.deepEqual(
    [security.id, security.serverTls(), security.trustBundle, security.controlPlaneTls("dapr-placement")],
    [null, null, null, null],
  );
  assert.deepEqual(seen, ["mTLS is disabled. Skipping certificate request and tls validation"]);
  await using server = await serve(security);
  await using client = dial(security, server.port, "spiffe://public/ns/default/callee");
  await client.check();
  assert.deepEqual(server.callers, [null]);
});

test("in Kubernetes the control plane is met over mTLS though the mesh is not", async () => {
  await using sentry = await testSentry(ca);
  using security = await started(sentry, { mtls: false, mode: "kubernetes" });
  assert.deepEqual([security.serverTls(), security.clientTls(parseSpiffeId("spiffe://public/ns/default/callee"))], [null, null]);
  assert.equal(typeof security.controlPlaneTls("dapr-placement"), "function");
});

test("settings that cannot be are refused before anything is contacted", () => {
  const make = (more: Partial<SecurityOptions>) => () => createSecurity(optionsFor({ address: "127.0.0.1:1" }, more));
  assert.throws(make({ sentryAddress: "nowhere" }), /sentry address "nowhere" is not of the form host:port/);
  assert.throws(make({ trustAnchors: { pem: "" } }), /no CERTIFICATE block/);
  assert.throws(make({ controlPlaneTrustDomain: "Has Capitals" }), /trust domain/);
});
