import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttp1, type IncomingMessage, type RequestListener, request, type Server } from "node:http";
import { connect as connectHttp2, createServer as createHttp2, type Http2Server } from "node:http2";
import { connect, createServer as createTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FakeClock } from "../kit/fake-clock.ts";
import { createListener, type Listener, type ListenerOptions } from "./listener.ts";
import { silentLog } from "./log.ts";

const local = { host: "127.0.0.1", port: 0 };
const folder = mkdtempSync(join(tmpdir(), "outrigger-listener-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const echoHttp1: RequestListener = async (incoming, response) => void response.end(await text(incoming));

function http2Echo(): Http2Server {
  const server = createHttp2();
  server.on("stream", (stream) => stream.pipe(stream));
  return server;
}

function options(over: Partial<ListenerOptions> = {}): ListenerOptions {
  return { http1: createHttp1(echoHttp1), http2: http2Echo(), log: silentLog, ...over };
}

function portOf(listener: Listener): number {
  const [address] = listener.addresses;
  assert.ok(address !== undefined && "port" in address);
  return address.port;
}

function dial(listener: Listener): Socket {
  return connect(portOf(listener), "127.0.0.1");
}

async function text(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function http1Echo(target: { port: number } | { socketPath: string }, body: string): Promise<string> {
  const outgoing = request({ ...target, method: "POST", agent: false });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  return text(response);
}

async function http2EchoCall(port: number, body: string): Promise<string> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const stream = session.request({ ":method": "POST" });
  stream.end(body);
  const reply = await text(stream);
  session.close();
  return reply;
}

test("one port serves HTTP/1.1 and HTTP/2, bodies beyond one read included", async () => {
  const listener = await createListener([local], options());
  const big = "x".repeat(300_000);
  assert.equal(await http1Echo({ port: portOf(listener) }, big), big);
  assert.equal(await http2EchoCall(portOf(listener), big), big);
  await listener.close({ graceMs: 5000 });
});

test("an HTTP/1.1 request that comes byte by byte is whole", async () => {
  const listener = await createListener([local], options());
  const socket = dial(listener);
  socket.setNoDelay(true);
  for (const byte of "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi") {
    await new Promise<void>((resolve) => socket.write(byte, () => setImmediate(resolve)));
  }
  assert.match(await text(socket), /^HTTP\/1\.1 200 OK[\s\S]*hi/);
  await listener.close({ graceMs: 5000 });
});

test("an HTTP/2 preface that comes in pieces is recognised", async () => {
  const listener = await createListener([local], options());
  const socket = dial(listener);
  socket.setNoDelay(true);
  for (const piece of ["PR", "I * HTTP/2.0\r\n", "\r\nSM\r\n\r", "\n", "\0\0\0\x04\0\0\0\0\0"]) {
    await new Promise<void>((resolve) => socket.write(piece, "latin1", () => setImmediate(resolve)));
  }
  const [settings] = (await once(socket, "data")) as [Buffer];
  assert.equal(settings[3], 4, "the server's first frame is SETTINGS");
  socket.destroy();
  await listener.close({ graceMs: 5000 });
});

test("many requests on one kept HTTP/1.1 connection, pipelined", async () => {
  const listener = await createListener([local], options());
  const socket = dial(listener);
  const one = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
  socket.write(one.repeat(49) + one.replace("host: a", "host: a\r\nconnection: close"));
  assert.equal((await text(socket)).match(/HTTP\/1\.1 200 OK/g)?.length, 50);
  await listener.close({ graceMs: 5000 });
});

test("a connection that says nothing is closed after the deadline", async () => {
  const clock = new FakeClock();
  const listener = await createListener([local], options({ clock, firstByteTimeoutMs: 10_000 }));
  const socket = dial(listener);
  socket.on("error", () => {});
  await clock.untilWaiting();
  const closed = once(socket, "close");
  await clock.advance(10_000);
  await closed;
  await listener.close({ graceMs: 0 });
});

test("a listener without HTTP/1.1 closes such a connection", async () => {
  const listener = await createListener([local], options({ http1: null }));
  await assert.rejects(http1Echo({ port: portOf(listener) }, "x"), /socket hang up|ECONNRESET/);
  await listener.close({ graceMs: 0 });
});

test("closing lets a running request end, says goodbye to it, and closes idle connections at once", async () => {
  let finish: () => void = () => {};
  const begun = Promise.withResolvers<void>();
  const http1 = createHttp1((_incoming, response) => {
    finish = () => response.end("done");
    begun.resolve();
  });
  const listener = await createListener([local], options({ http1 }));
  const idle = dial(listener);
  await once(idle, "connect");
  const answer = http1Echo({ port: portOf(listener) }, "");
  await begun.promise;
  const idleClosed = once(idle.resume(), "close");
  const closing = listener.close({ graceMs: 60_000 });
  await idleClosed;
  await assert.rejects(http1Echo({ port: portOf(listener) }, ""), /ECONNREFUSED/);
  finish();
  assert.equal(await answer, "done");
  await closing;
  assert.equal(listener.connections, 0);
});

test("closing tells HTTP/2 clients by GOAWAY and waits for their streams", async () => {
  const begun = Promise.withResolvers<() => void>();
  const http2 = createHttp2();
  http2.on("stream", (stream) => begun.resolve(() => stream.end("done")));
  const listener = await createListener([local], options({ http2 }));
  const session = connectHttp2(`http://127.0.0.1:${portOf(listener)}`);
  const goaway = once(session, "goaway");
  const stream = session.request({});
  const finish = await begun.promise;
  const closing = listener.close({ graceMs: 60_000 });
  await goaway;
  finish();
  assert.equal(await text(stream), "done");
  await closing;
});

test("what is left after the grace is destroyed", async () => {
  const begun = Promise.withResolvers<void>();
  const listener = await createListener([local], options({ http1: createHttp1(() => begun.resolve()) }));
  const answer = http1Echo({ port: portOf(listener) }, "");
  answer.catch(() => {});
  await begun.promise;
  await listener.close({ graceMs: 1 });
  await assert.rejects(answer);
});

test("a taken port is an error that names it and the setting", async () => {
  const first = await createListener([local], options());
  const taken = { host: "127.0.0.1", port: portOf(first) };
  await assert.rejects(createListener([taken], options({ setting: "--dapr-http-port" })), (error: Error) => {
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${taken.port}.*address already in use.*--dapr-http-port`));
    return true;
  });
  await first.close({ graceMs: 0 });
});

test("one address of several is enough", async () => {
  const first = await createListener([local], options());
  const taken = { host: "127.0.0.1", port: portOf(first) };
  const second = await createListener([taken, local], options());
  assert.equal(second.addresses.length, 1);
  assert.equal(await http1Echo({ port: portOf(second) }, "hi"), "hi");
  await Promise.all([first.close({ graceMs: 0 }), second.close({ graceMs: 0 })]);
});

test("a Unix socket whose owner died is taken over, a living one is not, a plain file is not touched", async () => {
  const path = join(folder, "a.socket");
  leaveStaleSocket(path);
  const listener = await createListener([{ path }], options());
  assert.equal(await http1Echo({ socketPath: path }, "hi"), "hi");
  await assert.rejects(createListener([{ path }], options()), /address already in use/);
  await listener.close({ graceMs: 0 });
  assert.equal(existsSync(path), false);
  writeFileSync(path, "precious");
  await assert.rejects(createListener([{ path }], options()), /address already in use/);
  assert.equal(existsSync(path), true);
});

/** Binds in a process that ends without closing, as a killed sidecar does. */
function leaveStaleSocket(path: string): void {
  const program = `require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["-e", program, path], { stdio: "ignore" });
  assert.equal(existsSync(path), true);
}

test("the timeouts of node:http hold although its server does not listen", async () => {
  const http1: Server = createHttp1({ connectionsCheckingInterval: 10, headersTimeout: 20, requestTimeout: 40 }, echoHttp1);
  const listener = await createListener([local], options({ http1 }));
  const socket = dial(listener);
  socket.write("POST / HTTP/1.1\r\nx: ");
  assert.match(await text(socket), /^HTTP\/1\.1 408/);
  await listener.close({ graceMs: 0 });
});

test("a port that someone else holds is not ours to close", async () => {
  const other = createTcp().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as { port: number };
  await assert.rejects(createListener([{ host: "127.0.0.1", port }], options()), /EADDRINUSE/);
  assert.equal(other.listening, true);
  other.close();
});
