// Real handshakes between two identities of a test CA, on loopback: who is let in, who is refused and with which reason,
// and what changes of SVID and anchors do to new and to open connections.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect as connectTcp, type Socket } from "node:net";
import { before, test } from "node:test";
import { connect as connectTls, createSecureContext, type TLSSocket } from "node:tls";
import { FakeClock } from "../kit/fake-clock.ts";
import { silentLogger } from "../telemetry/log.ts";
import { peerIdentityOf } from "../wire/secure.ts";
import { ClientTls, type ExpectedPeer } from "./client-tls.ts";
import { ServerTls, type ServerTlsOptions } from "./server-tls.ts";
import { parseSpiffeId } from "./spiffe.ts";

import { HeldSvid, svidOf } from "./svid-source.ts";
import { around, type TestAuthority, testAuthority } from "./test-authority.ts";
import { HeldTrustBundle, readTrustAnchors } from "./trust-bundle.ts";
import { createLeaf, type Validity } from "./x509/certificate.ts";
import { generateKey, type KeyKind, privateKeyPem } from "./x509/keys.ts";
import { certificatesPem } from "./x509/read-certificate.ts";

const callerUri = "spiffe://public/ns/default/caller";
const calleeUri = "spiffe://public/ns/default/callee";
const now = Date.now();
let ca: TestAuthority;
let foreign: TestAuthority;
before(async () => {
  [ca, foreign] = await Promise.all([testAuthority({ now }), testAuthority({ now })]);
});

interface Party {
  readonly svid: HeldSvid;
  readonly bundle: HeldTrustBundle;
}

async function party(
  uri: string,
  options: { authority?: TestAuthority; trusts?: readonly TestAuthority[]; validity?: Validity; kind?: KeyKind } = {},
): Promise<Party> {
  const { authority = ca, trusts = [ca], validity = around(now), kind = "ecdsa-p256" } = options;
  const { key, chain } = await authority.identity(uri, { validity, kind });
  const pem = trusts.map(({ rootPem }) => rootPem).join("");
  return { svid: new HeldSvid(svidOf(chain, key)), bundle: new HeldTrustBundle(readTrustAnchors(pem)) };
}

interface Served extends AsyncDisposable {
  readonly port: number;
  readonly tls: ServerTls;
  readonly refusals: string[];
  /** Identities of those let in. */
  readonly admitted: (string | null)[];
  readonly resumed: boolean[];
}

/** A server that echoes to whoever is let in. */
async function serve({ svid, bundle }: Party, options: Partial<ServerTlsOptions> = {}): Promise<Served> {
  const refusals: string[] = [];
  const admitted: (string | null)[] = [];
  const resumed: boolean[] = [];
  const tls = new ServerTls({ source: svid, bundle, log: silentLogger, onRefused: (reason) => refusals.push(reason), ...options });
  const sockets = new Set<Socket>();
  const server = tls.createServer((socket) => {
    admitted.push(peerIdentityOf(socket));
    resumed.push(socket.isSessionReused());
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  server.on("connection", (socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    tls,
    refusals,
    admitted,
    resumed,
    async [Symbol.asyncDispose]() {
      tls.close();
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Sends a byte and waits for its echo. */
async function echo(socket: Socket): Promise<string> {
  socket.write("x");
  const [data] = await once(socket, "data");
  return String(data);
}

/** Connects and echoes: "x", or why not. */
async function attempt(socket: Socket): Promise<string> {
  const failed = new Promise<string>((resolve) => {
    socket.on("error", (error: Error & { reason?: string; code?: string }) => resolve(error.reason ?? error.code ?? error.message));
    socket.on("close", () => resolve("closed"));
  });
  const result = await Promise.race([echo(socket).catch(() => failed), failed]);
  socket.destroy();
  return result;
}

const client = ({ svid, bundle }: Party) => new ClientTls({ source: svid, bundle });
const dial = (from: ClientTls, to: Served, expected: ExpectedPeer = parseSpiffeId(calleeUri)) =>
  from.connector(expected)({ host: "127.0.0.1", port: to.port });
const refusedAfterHandshake = /^(ECONNRESET|EPIPE|closed|ERR_STREAM_PREMATURE_CLOSE)$/;

for (const kind of ["ecdsa-p256", "ed25519", "rsa-2048"] as const) {
  test(`two identities of ${kind} meet, in TLS 1.3 with h2, and know each other`, async () => {
    const authority = await testAuthority({ kind, now });
    const [callee, caller] = await Promise.all([calleeUri, callerUri].map((uri) => party(uri, { authority, trusts: [authority], kind })));
    await using server = await serve(callee as Party);
    const socket = dial(client(caller as Party), server) as TLSSocket;
    assert.equal(await echo(socket), "x");
    assert.deepEqual([socket.getProtocol(), socket.alpnProtocol], ["TLSv1.3", "h2"]);
    assert.deepEqual([server.admitted, server.refusals], [[callerUri], []]);
    socket.destroy();
  });
}

test("a server of another id, of another trust domain or of a foreign CA is refused by the client", async () => {
  const caller = client(await party(callerUri));
  const cases: [Party, ExpectedPeer, string][] = [
    [await party("spiffe://public/ns/default/other"), parseSpiffeId(calleeUri), "spiffe_id"],
    [await party("spiffe://elsewhere/ns/default/callee"), parseSpiffeId(calleeUri), "spiffe_id"],
    [await party("spiffe://public/ns/other/callee"), { namespace: "default", appId: "callee" }, "spiffe_id"],
    [await party("spiffe://elsewhere/ns/default/callee"), { namespace: "default", appId: "callee" }, "x"],
    [
      await party(calleeUri, { authority: foreign }),
      parseSpiffeId(calleeUri),
      "SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY|UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    ],
    [
      await party(calleeUri, { validity: { notBefore: now - 7_200_000, notAfter: now - 3_600_000 } }),
      parseSpiffeId(calleeUri),
      "CERT_HAS_EXPIRED",
    ],
    [
      await party(calleeUri, { validity: { notBefore: now + 3_600_000, notAfter: now + 7_200_000 } }),
      parseSpiffeId(calleeUri),
      "CERT_NOT_YET_VALID",
    ],
  ];
  for (const [callee, expected, outcome] of cases) {
    await using server = await serve(callee);
    assert.match(await attempt(dial(caller, server, expected)), new RegExp(`^(${outcome})$`));
  }
});

test("a client without a good identity is refused by the server, with the reason named", async () => {
  const validity = (from: number, to: number) => ({ validity: { notBefore: now + from, notAfter: now + to } });
  const hour = 3_600_000;
  const cases: [Party, string][] = [
    [await party(callerUri, { authority: foreign }), "untrusted"],
    [await party(callerUri, validity(-2 * hour, -hour)), "expired"],
    [await party(callerUri, validity(hour, 2 * hour)), "not_yet_valid"],
    [await party(callerUri, validity(-2 * hour, 5 * 60_000)), "accepted"],
  ];
  for (const [caller, reason] of cases) {
    await using server = await serve(await party(calleeUri));
    const outcome = await attempt(dial(client(caller), server));
    assert.match(outcome, reason === "accepted" ? /^x$/ : refusedAfterHandshake);
    assert.deepEqual(server.refusals, reason === "accepted" ? [] : [reason]);
    assert.equal(server.admitted.length, reason === "accepted" ? 1 : 0);
  }
});

/** A raw TLS client with a leaf that our own code would not have made an SVID. */
async function withLeaf(uri: string, port: number): Promise<Socket> {
  const key = await generateKey("ecdsa-p256");
  const leaf = createLeaf({ publicKey: key.publicKey, uri, validity: around(now) }, ca.issuer);
  const cert = certificatesPem([leaf, ca.issuer.certificate]);
  return connectTls({
    host: "127.0.0.1",
    port,
    cert,
    key: privateKeyPem(key.privateKey),
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
  });
}

test("no certificate, a forged id, a CA's certificate, plain text and old TLS are refused", async () => {
  await using server = await serve(await party(calleeUri), { handshakeTimeoutMs: 300 });
  const plain = { host: "127.0.0.1", port: server.port, rejectUnauthorized: false, ALPNProtocols: ["h2"] };
  assert.match(await attempt(connectTls(plain)), refusedAfterHandshake);
  assert.match(await attempt(await withLeaf("spiffe://public/ns/default/caller%2F..", server.port)), refusedAfterHandshake);
  assert.match(await attempt(await withLeaf("spiffe://public/ns/../caller", server.port)), refusedAfterHandshake);
  const asCa = createSecureContext({ cert: certificatesPem([ca.issuer.certificate]), key: privateKeyPem(ca.issuer.privateKey) });
  assert.match(await attempt(connectTls({ ...plain, secureContext: asCa })), refusedAfterHandshake);
  assert.deepEqual(server.refusals, ["no_certificate", "spiffe_id", "spiffe_id", "is_a_ca"]);

  assert.match(await attempt(connectTcp(server.port, "127.0.0.1")), /^(closed|ECONNRESET)$/);
  assert.match(
    await attempt(connectTls({ ...plain, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" })),
    /ERR_SSL|EPROTO|ECONNRESET/,
  );
  assert.deepEqual([server.admitted, new Set(server.refusals.slice(4))], [[], new Set(["handshake"])]);
});

test("who is let in is the server's choice; without client authentication nobody is asked", async () => {
  const callee = await party(calleeUri);
  await using strict = await serve(callee, { accept: (peer) => peer.appId === "dapr-sentry" });
  assert.match(await attempt(dial(client(await party(callerUri)), strict)), refusedAfterHandshake);
  assert.deepEqual(strict.refusals, ["unauthorized"]);
  await using open = await serve(callee, { accept: null });
  const anonymous = new ClientTls({ source: null, bundle: callee.bundle });
  assert.equal(await attempt(dial(anonymous, open)), "x");
  assert.deepEqual(open.admitted, [null]);
  await using mutual = await serve(callee);
  assert.match(await attempt(dial(anonymous, mutual)), refusedAfterHandshake);
});

test("a root is rotated with an overlap: new and old identities meet throughout, open connections stay", async () => {
  const next = await testAuthority({ now });
  const [callee, caller] = await Promise.all([party(calleeUri), party(callerUri)]);
  await using server = await serve(callee);
  const from = client(caller);
  const open = dial(from, server);
  assert.equal(await echo(open), "x");
  const renew = async (side: Party, uri: string, authority: TestAuthority) => {
    const { key, chain } = await authority.identity(uri);
    side.svid.set(svidOf(chain, key));
  };
  const steps: (() => unknown)[] = [
    () => callee.bundle.set(readTrustAnchors(ca.rootPem + next.rootPem)),
    () => caller.bundle.set(readTrustAnchors(ca.rootPem + next.rootPem)),
    () => renew(callee, calleeUri, next),
    () => renew(caller, callerUri, next),
    () => caller.bundle.set(readTrustAnchors(next.rootPem)),
    () => callee.bundle.set(readTrustAnchors(next.rootPem)),
  ];
  for (const step of steps) {
    await step();
    assert.equal(await attempt(dial(from, server)), "x");
    assert.equal(await echo(open), "x");
  }
  open.destroy();
  // The old root is really gone.
  assert.match(await attempt(dial(client(await party(callerUri, { trusts: [ca, next] })), server)), refusedAfterHandshake);
  assert.deepEqual(server.refusals, ["untrusted"]);
});

test("sessions are resumed with the same peer, and end with a change of anchors or of identity", async () => {
  const [callee, caller] = await Promise.all([party(calleeUri), party(callerUri)]);
  await using server = await serve(callee);
  const from = client(caller);
  for (let connection = 0; connection < 3; connection++) assert.equal(await attempt(dial(from, server)), "x");
  assert.deepEqual(server.resumed, [false, true, true]);
  assert.deepEqual(server.admitted, [callerUri, callerUri, callerUri]);

  // Another id expected at the same address resumes nothing, and is checked.
  assert.equal(await attempt(dial(from, server, parseSpiffeId("spiffe://public/ns/default/other"))), "spiffe_id");

  // The server trusts another root only: what it admitted before does not come back by a ticket.
  callee.bundle.set(readTrustAnchors(foreign.rootPem));
  assert.match(await attempt(dial(from, server)), refusedAfterHandshake);
  assert.deepEqual(server.refusals.at(-1), "untrusted");
});

test("a resumed peer whose certificate has expired since is refused", async () => {
  const [callee, caller] = await Promise.all([party(calleeUri), party(callerUri)]);
  const clock = new FakeClock(now);
  await using server = await serve(callee, { clock });
  const from = client(caller);
  assert.equal(await attempt(dial(from, server)), "x");
  await clock.advance(25 * 3_600_000);
  assert.match(await attempt(dial(from, server)), refusedAfterHandshake);
  assert.deepEqual([server.refusals, server.resumed], [["expired"], [false]]);
});

test("before there is an identity or an anchor, nothing is served and nothing dialled", async () => {
  const { svid, bundle } = await party(calleeUri);
  assert.throws(() => new ServerTls({ source: new HeldSvid(), bundle, log: silentLogger }).createServer(() => {}), /no identity yet/);
  const without = new ClientTls({ source: svid, bundle: new HeldTrustBundle() });
  assert.throws(() => without.connector(parseSpiffeId(calleeUri))({ host: "127.0.0.1", port: 1 }), /no trust anchors yet/);
});
