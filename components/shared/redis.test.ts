// The login to Redis, against real servers: what is refused and how, outages, TLS, sentinels and clusters.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { createLogger } from "../../lib/telemetry/log.ts";
import { Properties } from "../metadata.ts";
import { RedisConnection } from "./redis.ts";
import { readRedisSettings, stateDefaults } from "./redis-settings.ts";
import { RedisTestServer } from "./redis-test-server.ts";

const signal = new AbortController().signal;
const secret = "s3cret-of-the-test";

interface Opened extends AsyncDisposable {
  readonly connection: RedisConnection;
  readonly lines: readonly string[];
}

const lines: string[] = [];
const log = createLogger({ level: "debug", json: false, file: null, appId: "app", instance: "host", version: "v" }, (line) =>
  lines.push(line),
);

async function open(metadata: Readonly<Record<string, string>>, within = signal): Promise<Opened> {
  const properties = new Properties(Object.entries({ redisMinRetryInterval: "10ms", redisMaxRetryInterval: "50ms", ...metadata }));
  const settings = readRedisSettings(properties, stateDefaults);
  properties.check();
  const from = lines.length;
  const connection = await RedisConnection.open(settings, { clock: systemClock, log }, within);
  return {
    connection,
    get lines() {
      return lines.slice(from);
    },
    async [Symbol.asyncDispose]() {
      connection.close();
    },
  };
}

function text(reply: unknown): string {
  return String(reply);
}

/** Polls; the servers of these tests are not ours to ask for an event. */
async function eventually(what: string, check: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await check().catch(() => false))) {
    assert.ok(performance.now() < until, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("a login to redis", { timeout: 120_000 }, () => {
  it("names cause and remedy when nobody listens", async () => {
    const server = await RedisTestServer.start();
    const { address } = server;
    await server[Symbol.asyncDispose]();
    await assert.rejects(open({ redisHost: address, redisPassword: secret }), (error: Error) => {
      assert.match(
        error.message,
        new RegExp(`error connecting to redis at ${address}: connect ECONNREFUSED .*; check that the server runs`),
      );
      assert.doesNotMatch(error.message, new RegExp(secret));
      return true;
    });
  });

  it("is refused at once with a wrong password, which nobody is told", async () => {
    await using server = await RedisTestServer.start({ password: secret });
    await using _good = await open({ redisHost: server.address, redisPassword: secret });
    for (const redisPassword of [`not-${secret}`, ""]) {
      const from = lines.length;
      await assert.rejects(open({ redisHost: server.address, redisPassword, redisMaxRetries: "1000" }), (error: Error) => {
        assert.match(error.message, /(WRONGPASS|NOAUTH).*check redisUsername and redisPassword/);
        assert.doesNotMatch(`${error.stack}${String(error.cause)}`, new RegExp(secret));
        return true;
      });
      assert.doesNotMatch(lines.slice(from).join(), new RegExp(secret));
    }
  });

  it("knows users and databases", async () => {
    await using server = await RedisTestServer.start({ config: [`user shop on >${secret} ~* &* +@all`, "user default off"] });
    const login = { redisHost: server.address, redisUsername: "shop", redisPassword: secret };
    await using seven = await open({ ...login, redisDB: "7" });
    await using zero = await open(login);
    await seven.connection.send("k", ["SET", "k", "seven"], signal);
    assert.equal(await zero.connection.send("k", ["GET", "k"], signal), null);
    assert.equal(text(await zero.connection.send(null, ["ACL", "WHOAMI"], signal)), "shop");
    await assert.rejects(open({ ...login, redisDB: "99" }), /DB index is out of range; check redisDB/);
  });

  it("ends early when its signal aborts", async () => {
    await using server = await RedisTestServer.start();
    server.signal("SIGSTOP");
    const aborting = new AbortController();
    const opening = open({ redisHost: server.address }, aborting.signal);
    aborting.abort(new Error("no more time"));
    await assert.rejects(opening, /no more time/);
    server.signal("SIGCONT");
  });

  it("gives up on a server that accepts and says nothing", async () => {
    await using server = await RedisTestServer.start();
    server.signal("SIGSTOP");
    await assert.rejects(open({ redisHost: server.address, dialTimeout: "100ms" }), /no connection within \d+ ms/);
    server.signal("SIGCONT");
  });
});

describe("an open connection", { timeout: 120_000 }, () => {
  it("survives the server's absence, says so once, and waits for a short one", async () => {
    await using server = await RedisTestServer.start();
    await using opened = await open({ redisHost: server.address, redisMaxRetries: "100" });
    await opened.connection.send("k", ["SET", "k", "1"], signal);
    await server.stop();
    const waiting = opened.connection.send("k", ["SET", "k", "2"], signal);
    await server.restart();
    assert.equal(text(await waiting), "OK");
    assert.equal(text(await opened.connection.send("k", ["GET", "k"], signal)), "2");
    const told = opened.lines.filter((line) => line.includes("the connection to redis"));
    assert.deepEqual(
      [told.filter((line) => line.includes("was lost")).length, told.filter((line) => line.includes("is back")).length],
      [1, 1],
    );
  });

  it("rejects within its retries while the server is away, and forgets what it rejected", async () => {
    await using server = await RedisTestServer.start();
    await using opened = await open({ redisHost: server.address, redisMaxRetries: "2" });
    await server.stop();
    await assert.rejects(opened.connection.send("k", ["SET", "k", "stale"], signal), /redis cannot be reached/);
    await server.restart();
    await eventually("the connection is back", async () => (await opened.connection.send(null, ["PING"], signal)) === "PONG");
    assert.equal(await opened.connection.send("k", ["GET", "k"], signal), null);
  });

  it("rejects what gets no answer in time, and what is aborted", async () => {
    await using server = await RedisTestServer.start();
    await using opened = await open({ redisHost: server.address, readTimeout: "300ms" });
    server.signal("SIGSTOP");
    const aborting = new AbortController();
    const aborted = opened.connection.send("k", ["GET", "k"], aborting.signal);
    aborting.abort(new Error("changed my mind"));
    await assert.rejects(aborted, /changed my mind/);
    await assert.rejects(opened.connection.send("k", ["GET", "k"], signal), /did not answer within 300 ms/);
    server.signal("SIGCONT");
    await eventually("it answers again", async () => (await opened.connection.send("k", ["GET", "k"], signal)) === null);
  });

  it("repeats nothing that may have been executed, unless it may", async () => {
    await using server = await RedisTestServer.start();
    // As many tries as a slow restart may take.
    await using opened = await open({ redisHost: server.address, redisMaxRetries: "100" });
    server.signal("SIGSTOP");
    const options = { idempotent: false };
    const lost = opened.connection.send("n", ["INCR", "n"], signal, options);
    const repeated = opened.connection.send("k", ["SET", "k", "again"], signal);
    const settled = Promise.allSettled([lost, repeated]);
    await server.stop();
    await server.restart();
    const [first, second] = await settled;
    assert.deepEqual([first.status, second.status], ["rejected", "fulfilled"]);
    assert.equal(await server.command("GET", "n"), null);
  });

  it("rejects what is in flight when it is closed", async () => {
    await using server = await RedisTestServer.start();
    await using opened = await open({ redisHost: server.address });
    server.signal("SIGSTOP");
    const pending = opened.connection.send("k", ["GET", "k"], signal);
    opened.connection.close();
    await assert.rejects(pending, /closed/);
    await assert.rejects(opened.connection.send("k", ["GET", "k"], signal), /closed/);
    server.signal("SIGCONT");
  });
});

describe("redis over TLS", { timeout: 120_000 }, () => {
  const pems = makeCertificates();

  it("checks the server's certificate unless told not to, and shows its own", async () => {
    await using server = await RedisTestServer.start({ tls: pems });
    const tls = { redisHost: server.address, enableTLS: "true" };
    await assert.rejects(open(tls), /certificate.*check enableTLS and the certificates/);
    await assert.rejects(open({ ...tls, insecureSkipTLSVerify: "true" }), /error connecting to redis/);
    const { cert: clientCert, key: clientKey } = pems;
    await using opened = await open({ ...tls, insecureSkipTLSVerify: "true", clientCert, clientKey });
    assert.equal(text(await opened.connection.send("k", ["SET", "k", "1"], signal)), "OK");
    await assert.rejects(open({ redisHost: server.address }), /check that the server runs and that redisHost, redisPort and enableTLS fit/);
  });

  it("refuses a key that does not belong to its certificate, without printing it", async () => {
    const metadata = { redisHost: "localhost", enableTLS: "true", clientCert: pems.cert, clientKey: makeCertificates().key };
    await assert.rejects(open(metadata), (error: Error) => {
      assert.match(error.message, /clientCert and clientKey are no matching pair/);
      assert.doesNotMatch(error.message, /BEGIN/);
      return true;
    });
  });
});

function makeCertificates(): { readonly ca: string; readonly cert: string; readonly key: string } {
  const folder = mkdtempSync(join(tmpdir(), "redis-tls-"));
  const make = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=127.0.0.1",
  ];
  execFileSync("openssl", [...make, "-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")], { stdio: "ignore" });
  const [cert, key] = ["cert.pem", "key.pem"].map((name) => readFileSync(join(folder, name), "utf8")) as [string, string];
  rmSync(folder, { recursive: true });
  return { ca: cert, cert, key };
}
