// Why a request to sentry failed, as the closed list that metrics count.
import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { before, test } from "node:test";
import { GrpcCode } from "../kit/errors.ts";
import { type CertificateFailure, certificateFailures } from "../telemetry/metrics.ts";
import { GrpcStatusError } from "../wire/grpc/types.ts";
import { RefusedError, RequestError, SentryClient, type SentryClientOptions } from "./sentry-client.ts";
import { type TestAuthority, testAuthority } from "./test-authority.ts";
import { testSentry } from "./test-sentry.ts";
import { HeldTrustBundle, readTrustAnchors } from "./trust-bundle.ts";

let ca: TestAuthority;
before(async () => {
  ca = await testAuthority();
});

async function failure(address: string, more: Partial<SentryClientOptions> = {}): Promise<RequestError> {
  const client = new SentryClient({
    address,
    controlPlaneTrustDomain: "control",
    controlPlaneNamespace: "dapr-system",
    bundle: new HeldTrustBundle(readTrustAnchors(ca.rootPem)),
    id: "app",
    namespace: "default",
    token: { file: null, kubernetes: false },
    ...more,
  });
  const error = await client.request(new AbortController().signal).then(
    () => assert.fail("a certificate came"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof RequestError, String(error));
  assert.ok(certificateFailures.includes(error.reason));
  return error;
}

/** What `onConnection` leaves of a plain server, by its address. */
async function withServer<T>(onConnection: Parameters<Server["on"]>[1], use: (address: string) => Promise<T>): Promise<T> {
  const server = createServer().on("connection", onConnection);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use(`127.0.0.1:${(server.address() as { readonly port: number }).port}`);
  } finally {
    server.close();
  }
}

test("what sentry answers is told apart: a refusal, another error, a certificate that will not do", async () => {
  await using sentry = await testSentry(ca);
  const answered = async (code: GrpcCode) => {
    sentry.answer = () => {
      throw new GrpcStatusError(code, "no");
    };
    return failure(sentry.address);
  };
  const cases: readonly (readonly [GrpcCode, CertificateFailure, boolean])[] = [
    [GrpcCode.PERMISSION_DENIED, "refused", true],
    [GrpcCode.INVALID_ARGUMENT, "refused", true],
    [GrpcCode.INTERNAL, "sentry_error", false],
    [GrpcCode.UNAVAILABLE, "unreachable", false],
    [GrpcCode.DEADLINE_EXCEEDED, "timeout", false],
  ];
  for (const [code, reason, definite] of cases) {
    const error = await answered(code);
    assert.deepEqual([error.reason, error instanceof RefusedError], [reason, definite]);
  }
  sentry.answer = (response) => Object.assign(response, { workloadCertificate: Buffer.from("rubbish") });
  assert.equal((await failure(sentry.address)).reason, "bad_certificate");
  sentry.answer = (response) => Object.assign(response, { jwt: "rubbish" });
  assert.notEqual((await failure(sentry.address)).reason, "refused");
});

test("whoever does not prove to be sentry failed in the handshake", async () => {
  await using impostor = await testSentry(ca, { id: "spiffe://control/ns/dapr-system/app" });
  await using foreign = await testSentry(await testAuthority());
  assert.equal((await failure(impostor.address)).reason, "handshake");
  assert.equal((await failure(foreign.address)).reason, "handshake");
  const mute = await withServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"), failure);
  assert.equal(mute.reason, "handshake");
});

test("nobody there, nobody answering in time, and a token that cannot be read", async () => {
  const gone = await withServer(
    () => {},
    async (address) => address,
  );
  assert.equal((await failure(gone)).reason, "unreachable");
  await using sentry = await testSentry(ca);
  const error = await failure(sentry.address, { token: { file: "/nowhere/token", kubernetes: false } });
  assert.deepEqual([error.reason, error instanceof RefusedError], ["token", true]);
});
