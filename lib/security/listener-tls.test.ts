// lib/wire's listener with our TLS in front: HTTP/1.1 and HTTP/2 on one secured port, and its closing.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp1, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { silentLogger } from "../telemetry/log.ts";
import { createH2cServer } from "../wire/http2-server.ts";
import { createListener } from "../wire/listener.ts";
import { peerIdentityOf } from "../wire/secure.ts";
import { ClientTls } from "./client-tls.ts";
import { ServerTls } from "./server-tls.ts";
import { parseSpiffeId } from "./spiffe.ts";
import { HeldSvid, svidOf } from "./svid-source.ts";
import { type TestAuthority, testAuthority } from "./test-authority.ts";
import { HeldTrustBundle, readTrustAnchors } from "./trust-bundle.ts";

const uri = "spiffe://public/ns/default/app";
let ca: TestAuthority;
before(async () => {
  ca = await testAuthority();
});

async function secured() {
  const { key, chain } = await ca.identity(uri);
  const source = new HeldSvid(svidOf(chain, key));
  const bundle = new HeldTrustBundle(readTrustAnchors(ca.rootPem));
  const http1 = createHttp1((incoming, outgoing) => outgoing.end(`1 ${peerIdentityOf(incoming.socket)}`));
  const http2 = createH2cServer({ maxHeaderListBytes: 65_536 });
  http2.on("request", (incoming, outgoing) => outgoing.end(`2 ${peerIdentityOf(incoming.stream.session?.socket)}`));
  const secure = new ServerTls({ source, bundle, log: silentLogger });
  const listener = await createListener([{ host: "127.0.0.1", port: 0 }], { http1, http2, secure, log: silentLogger });
  const { port } = listener.addresses[0] as { readonly port: number };
  const client = new ClientTls({ source, bundle });
  const dial = (...protocols: string[]) => client.connector(parseSpiffeId(uri), protocols)({ host: "127.0.0.1", port }) as TLSSocket;
  return { listener, dial };
}

async function overHttp1(socket: TLSSocket): Promise<string> {
  const [response] = await once(request({ createConnection: () => socket, path: "/" }).end(), "response");
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function overHttp2(socket: TLSSocket): Promise<string> {
  const session = connectHttp2("https://localhost", { createConnection: () => socket });
  const stream = session.request({ ":path": "/" }).setEncoding("utf8");
  let body = "";
  for await (const chunk of stream) body += chunk;
  await new Promise<void>((resolve) => session.close(resolve));
  return body;
}

test("ALPN decides between HTTP/1.1 and HTTP/2; without it the first bytes do", async () => {
  const { listener, dial } = await secured();
  assert.equal(await overHttp2(dial("h2")), `2 ${uri}`);
  assert.equal(await overHttp1(dial("http/1.1")), `1 ${uri}`);
  assert.equal(await overHttp1(dial("something-else", "http/1.1")), `1 ${uri}`);
  await listener.close({ graceMs: 1_000 });
  assert.equal(listener.connections, 0);
});

test("closing ends idle connections, those that said nothing, and those in the midst of a handshake", async () => {
  const { listener, dial } = await secured();
  const silent = dial("http/1.1");
  await once(silent, "secureConnect");
  const session = connectHttp2("https://localhost", { createConnection: () => dial("h2") });
  await once(session, "remoteSettings");
  const handshaking = dial("h2");
  handshaking.on("error", () => {});
  silent.on("error", () => {});
  const gone = Promise.all([once(silent, "close"), once(session, "close"), once(handshaking, "close")]);
  await once(handshaking, "connect");
  await listener.close({ graceMs: 200 });
  await gone;
  assert.equal(listener.connections, 0);
});
