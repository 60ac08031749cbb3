// `outrigger run --enable-mtls`: two runs of one home are one mesh over mutual TLS, whose authority each starts and ends.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { foreignDaprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { outrigger, outriggerDone } from "../../harness/outrigger.ts";
import { reservePorts } from "../../harness/ports.ts";
import type { Program } from "../../harness/program.ts";
import { appSource } from "./fixtures.ts";

const skip = foreignDaprd && "the binary may lack the SQLite resolver of our defaults";

/** The first bytes that a plain-text peer gets from a port; empty when it is hung up on. */
function plainAnswer(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    socket.once("data", (bytes) => resolve(bytes.toString("hex")));
    socket.on("error", () => {}).once("close", () => resolve(""));
  });
}

function run(home: Folder, appId: string, flags: readonly string[], command: readonly string[] = []): Promise<Program> {
  const rest = command.length === 0 ? [] : ["--", ...command];
  return outrigger(["run", "--app-id", appId, "--enable-mtls", ...flags, ...rest], { home });
}

test("two runs find and trust each other; nothing speaks plain text; sentry ends with its run", { skip }, async () => {
  using home = new Folder("cli-mtls");
  home.write("app.mjs", appSource);
  const [appPort, httpPort, internalPort] = (await reservePorts(3)) as [number, number, number];
  await using shop = await run(
    home,
    "shop",
    ["--app-port", `${appPort}`, "--dapr-internal-grpc-port", `${internalPort}`],
    [process.execPath, "app.mjs"],
  );
  await shop.line(/You're up and running/, 60_000);
  await shop.line(/== DAPRD == .*dapr initialized\. Status: Running/);
  await using caller = await run(home, "caller", ["--dapr-http-port", `${httpPort}`]);
  await caller.line(/is up and running/, 60_000);
  const response = await fetch(`http://127.0.0.1:${httpPort}/v1.0/invoke/shop/method/pid`);
  assert.equal(response.status, 200, await response.text());
  assert.doesNotMatch(await plainAnswer(internalPort), /^0000..04/, "HTTP/2 SETTINGS in plain text");
  assert.equal(statSync(home.file("home/certs")).mode & 0o077, 0);
  assert.equal(statSync(home.file("home/certs/issuer.key")).mode & 0o077, 0);
  const expiry = await outriggerDone(["mtls", "expiry"], { home });
  assert.match(expiry.output, /^Root certificate expires in 36\d\d days.*\nIssuer certificate expires in \d+ days/);
  assert.deepEqual((await outriggerDone(["mtls", "export", "-o", "copy"], { home })).code, 0);
  assert.equal(readFileSync(home.file("copy/issuer.key"), "utf8"), readFileSync(home.file("home/certs/issuer.key"), "utf8"));
  assert.equal((await outriggerDone(["mtls", "check"], { home })).code, 0);
  for (const program of [caller, shop]) {
    program.signal("SIGTERM");
    assert.equal((await program.exited(30_000)).code, 0);
    assert.doesNotMatch(program.output, /The certificate authority ended/);
  }
  const other = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
  home.write("home/certs/issuer.key", String(other));
  const bad = await outriggerDone(["mtls", "check"], { home });
  assert.deepEqual([bad.code, bad.output], [1, "❌ issuer.key is not the key of the issuer certificate"]);
});

test("without an authority the commands say what makes one", async () => {
  using home = new Folder("cli-mtls");
  const { code, output } = await outriggerDone(["mtls", "check"], { home });
  assert.equal(code, 1);
  assert.match(output, /no ca\.crt, issuer\.crt, issuer\.key in .*: outrigger run --enable-mtls makes them/);
});
