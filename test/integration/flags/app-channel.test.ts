// The way to the app: port, address, protocols and TLS, and how many calls it works on at once.
import assert from "node:assert/strict";
import { createServer as createHttp2 } from "node:http2";
import { createServer as createHttps } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { app } from "../../harness/app.ts";
import { selfSigned } from "../../harness/certificate.ts";
import { type Daprd, daprd, type FlagValue, foreignDaprd } from "../../harness/daprd.ts";
import { grpcApp } from "../../harness/grpc-app.ts";
import { observes } from "./observes.ts";

const certificate = selfSigned();

interface Listening extends AsyncDisposable {
  readonly port: number;
}

async function listening(server: Server, host = "127.0.0.1"): Promise<Listening> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return { port, [Symbol.asyncDispose]: async () => void server.close() };
}

function httpsApp(): Promise<Listening> {
  return listening(createHttps({ ...certificate }, (request, response) => response.end(`https ${request.url}`)));
}

/** What the sidecar answers for a call of its own app. */
async function invoke(sidecar: Daprd, method: string): Promise<[number, string]> {
  const response = await sidecar.fetch(`/v1.0/invoke/${sidecar.appId}/method/${method}`);
  return [response.status, await response.text()];
}

async function invoked(port: number, flags: Readonly<Record<string, FlagValue>>): Promise<[number, string]> {
  await using sidecar = await daprd({ app: port, ready: "all", flags });
  return await invoke(sidecar, "x");
}

observes(["app-port", "app-protocol"], "http, the default, at the port given; without a port there is no channel", async () => {
  await using shop = await app({ http: { "/x": () => ({ body: "plain" }) } });
  assert.deepEqual(await invoked(shop.port, {}), [200, "plain"]);
  await using alone = await daprd();
  const [status, text] = await invoke(alone, "x");
  assert.equal(status, 500);
  assert.match(text, /ERR_DIRECT_INVOKE/);
});

observes(["app-protocol"], "https does not verify the app's certificate", async () => {
  await using shop = await httpsApp();
  assert.deepEqual(await invoked(shop.port, { "app-protocol": "https" }), [200, "https /x"]);
});

observes(["app-protocol"], "h2c speaks HTTP/2 with prior knowledge", async () => {
  const server = createHttp2((request, response) => response.end(`${request.httpVersion} ${request.url}`));
  await using shop = await listening(server);
  assert.deepEqual(await invoked(shop.port, { "app-protocol": "H2C" }), [200, "2.0 /x"]);
});

observes(["app-protocol"], "grpc and grpcs call OnInvoke", async () => {
  const onInvoke = ({ method }: { method: string }) => Buffer.from(`grpc ${method}`);
  await using plain = await grpcApp({ onInvoke });
  assert.deepEqual(await invoked(plain.port, { "app-protocol": "grpc" }), [200, "grpc x"]);
  await using secure = await grpcApp({ onInvoke, certificate });
  assert.deepEqual(await invoked(secure.port, { "app-protocol": "grpcs" }), [200, "grpc x"]);
});

observes(["app-ssl"], "turns http into https and grpc into grpcs", async () => {
  await using shop = await httpsApp();
  assert.deepEqual(await invoked(shop.port, { "app-ssl": true }), [200, "https /x"]);
  await using secure = await grpcApp({ onInvoke: () => Buffer.from("grpcs"), certificate });
  assert.deepEqual(await invoked(secure.port, { "app-ssl": true, "app-protocol": "grpc" }), [200, "grpcs"]);
});

observes(["app-channel-address"], "is where the app is called", async () => {
  const server = createHttps({ ...certificate }, (_request, response) => response.end("elsewhere"));
  await using shop = await listening(server, "127.0.0.8");
  const flags = { "app-channel-address": "127.0.0.8", "app-protocol": "https" };
  assert.deepEqual(await invoked(shop.port, flags), [200, "elsewhere"]);
});

/** Counts who is inside, lets each wait until `others` further calls have reached the sidecar, and keeps the maximum. */
class Crowd {
  most = 0;
  #inside = 0;

  async enter(): Promise<void> {
    this.#inside++;
    this.most = Math.max(this.most, this.#inside);
    // Long enough for the next call to overlap if nothing holds it back.
    await new Promise((resolve) => setTimeout(resolve, 30));
    this.#inside--;
  }
}

async function crowded(port: number, crowd: Crowd, flags: Readonly<Record<string, FlagValue>>): Promise<number> {
  await using sidecar = await daprd({ app: port, ready: "all", flags });
  const calls = await Promise.all(Array.from({ length: 8 }, () => invoke(sidecar, "slow")));
  assert.deepEqual(new Set(calls.map(([status]) => status)), new Set([200]));
  return crowd.most;
}

observes(["app-max-concurrency"], "an HTTP app works on that many calls at once, the rest wait", async () => {
  const limited = new Crowd();
  await using first = await app({ http: { "/slow": async () => void (await limited.enter()) } });
  assert.equal(await crowded(first.port, limited, { "app-max-concurrency": 2 }), 2);
  const free = new Crowd();
  await using second = await app({ http: { "/slow": async () => void (await free.enter()) } });
  assert.ok((await crowded(second.port, free, {})) > 2, "no limit by default");
});

observes(
  ["app-max-concurrency"],
  "a gRPC app too",
  async () => {
    const crowd = new Crowd();
    await using shop = await grpcApp({
      async onInvoke() {
        await crowd.enter();
        return new Uint8Array(0);
      },
    });
    assert.equal(await crowded(shop.port, crowd, { "app-protocol": "grpc", "app-max-concurrency": 2 }), 2);
  },
  { skip: foreignDaprd && "Go daprd 1.18 stalls here" },
);
