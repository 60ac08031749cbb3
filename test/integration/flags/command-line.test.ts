// What daprd says and ends with before there is a sidecar: versions, --wait, and every refusal of a command line.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { app } from "../../harness/app.ts";
import { daprdPath, foreignDaprd } from "../../harness/daprd.ts";
import { reservePorts } from "../../harness/ports.ts";
import { Program } from "../../harness/program.ts";
import { observes } from "./observes.ts";
import { runDaprd, runSidecar } from "./run-daprd.ts";

observes(["version"], "prints the Dapr version alone", async () => {
  const { code, stdout, stderr } = await runDaprd(["--version"]);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  assert.deepEqual([code, stderr], [0, ""]);
});

observes(["build-info"], "prints version and commit", async () => {
  const { code, stdout } = await runDaprd(["-build-info"]);
  assert.match(stdout, /^Version: \d+\.\d+\.\d+\nGit Commit: .*\nGit Version: .*\n$/);
  assert.equal(code, 0);
});

observes(["wait"], "polls outbound health until it answers 204, then ends with 0", async () => {
  const [port] = (await reservePorts(1)) as [number];
  const args = ["--wait", `--dapr-http-port=${port}`];
  await using waiting = await Program.start({ name: "daprd --wait", command: daprdPath, args });
  let answers = 0;
  const handler = () => ({ status: ++answers < 3 ? 500 : 204 });
  await using sidecar = await app({ port, http: { "/v1.0/healthz/outbound": handler } });
  assert.equal((await waiting.exited()).code, 0);
  assert.deepEqual(
    sidecar.calls.map((call) => `${call.method} ${call.path}`),
    Array(3).fill("GET /v1.0/healthz/outbound"),
  );
});

observes(["mode"], "a mode there is not ends with 1", async () => {
  const { code, stdout } = await runSidecar(["--mode=bogus"]);
  assert.match(stdout, /invalid mode: bogus/);
  assert.equal(code, 1);
});

test("an unknown flag ends with 2, the usage and its name", async () => {
  const { code, stdout, stderr } = await runDaprd(["--no-such-flag"]);
  assert.equal(code, 2);
  assert.match(`${stdout}${stderr}`, /Usage of .*daprd:[\s\S]*--app-id string[\s\S]*unknown flag: --no-such-flag/);
});

test("a value of the wrong kind ends with 2 and the flag's name", async () => {
  const { code, stderr } = await runDaprd(["--app-max-concurrency", "many"]);
  assert.equal(code, 2);
  assert.match(stderr, /invalid argument "many" for "--app-max-concurrency" flag/);
});

test("--help shows the flags and ends with 0", async () => {
  const { code, stderr, stdout } = await runDaprd(["--help"]);
  assert.equal(code, 0);
  assert.match(`${stdout}${stderr}`, /--dapr-http-port string/);
});

/** Refusals of a well-formed flag's value: a fatal log line and exit code 1. The words are Dapr's. */
const refusals: readonly { readonly flags: readonly string[]; readonly words: RegExp; readonly onlyOurs?: true }[] = [
  { flags: ["--app-id="], words: /app-id.*cannot be empty/ },
  { flags: ["--app-id=a.b"], words: /app-id.*cannot contain dots/ },
  { flags: ["--app-protocol=soap"], words: /invalid value for 'app-protocol': soap/ },
  { flags: ["--dapr-http-port=4001", "--app-port=4001"], words: /'dapr-http-port' argument value 4001 conflicts with 'app-port'/ },
  { flags: ["--dapr-grpc-port=4001", "--app-port=4001"], words: /'dapr-grpc-port' argument value 4001 conflicts with 'app-port'/ },
  { flags: ["--dapr-http-port=x"], words: /error parsing dapr-http-port flag/ },
  { flags: ["--dapr-grpc-port=x"], words: /error parsing dapr-grpc-port flag/ },
  { flags: ["--dapr-internal-grpc-port=x"], words: /error parsing dapr-internal-grpc-port/ },
  { flags: ["--dapr-public-port=x"], words: /error parsing dapr-public-port/ },
  { flags: ["--profile-port=x"], words: /error parsing profile-port/ },
  { flags: ["--metrics-port=x"], words: /failed to parse metrics port/ },
  { flags: ["--app-port=x"], words: /error parsing app-port/ },
  { flags: ["--app-port=70000"], words: /70000 is not a port; give --app-port a number from 0 to 65535/, onlyOurs: true },
  { flags: ["--max-body-size=huge"], words: /invalid value for 'max-body-size' option/ },
  { flags: ["--read-buffer-size=huge"], words: /invalid value for 'read-buffer-size' option/ },
  { flags: ["--disable-init-endpoints=bogus"], words: /invalid value for 'disable-init-endpoints': bogus/ },
  { flags: ["--app-health-probe-interval=1", "--app-health-probe-timeout=1001"], words: /must be smaller than 'health-probe-interval'/ },
  { flags: ["--log-level=loud"], words: /loud/ },
  { flags: ["--config=/no/such/file.yaml"], words: /error loading configuration: .*\/no\/such\/file\.yaml/ },
  { flags: ["--resources-path=/no/such/folder"], words: /\/no\/such\/folder/ },
  { flags: ["--mode=kubernetes"], words: /--mode kubernetes without trust anchors|current user UID\(0\) is root/, onlyOurs: true },
];

describe("a bad value ends with 1 and its reason", { concurrency: 2 }, () => {
  for (const { flags, words, onlyOurs } of refusals) {
    const skip = onlyOurs === true && foreignDaprd ? "these words are ours" : false;
    test(flags.join(" "), { skip }, async () => {
      const { code, stdout, stderr } = await runSidecar(flags);
      assert.match(`${stdout}${stderr}`, words);
      assert.equal(code, 1);
    });
  }
});
