// Runs a command with KUBECONFIG set to an API server of its own: etcd and kube-apiserver from the folder KUBEBUILDER_ASSETS, on
// free ports of loopback, with nothing kept afterwards. Called by test/with-control-plane.sh. Where KUBECONFIG is given,
// or KUBEBUILDER_ASSETS is not, the command runs as it is.
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const readyTimeoutMs = 60_000;
const pollMs = 100;
const issuer = "https://kubernetes.default.svc.cluster.local";

const [command = "", ...args] = process.argv.slice(2);
const assets = process.env["KUBEBUILDER_ASSETS"] ?? "";
if (command === "") {
  process.stderr.write("own-control-plane: name the command to run\n");
  process.exit(2);
}
const isNeeded = assets !== "" && !process.env["KUBECONFIG"];
process.exit(isNeeded ? await runWithOwn() : await run({}));

async function runWithOwn(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-control-plane-"));
  const children: ChildProcess[] = [];
  try {
    return await run({ KUBECONFIG: await start(folder, children) });
  } catch (error) {
    process.stderr.write(`own-control-plane: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await Promise.all(children.map(stop));
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function run(env: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn(command, args, { stdio: "inherit", env: { ...process.env, ...env } });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

/** Answers the path of a kubeconfig. */
async function start(folder: string, children: ChildProcess[]): Promise<string> {
  const [client = 0, peer = 0, api = 0] = await freePorts(3);
  const etcd = `http://127.0.0.1:${client}`;
  const peers = `http://127.0.0.1:${peer}`;
  children.push(
    program("etcd", folder, {
      "data-dir": join(folder, "etcd"),
      "listen-client-urls": etcd,
      "advertise-client-urls": etcd,
      "listen-peer-urls": peers,
      "initial-advertise-peer-urls": peers,
      "initial-cluster": `default=${peers}`,
      "unsafe-no-fsync": "true",
    }),
  );
  const token = randomBytes(24).toString("hex");
  const serviceAccountKey = join(folder, "sa.key");
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(serviceAccountKey, privateKey.export({ type: "pkcs8", format: "pem" }));
  writeFileSync(join(folder, "tokens.csv"), `${token},admin,admin,"system:masters"\n`, { mode: 0o600 });
  const apiserver = program("kube-apiserver", folder, {
    "etcd-servers": etcd,
    "bind-address": "127.0.0.1",
    "advertise-address": "127.0.0.1",
    "endpoint-reconciler-type": "none",
    "secure-port": String(api),
    "cert-dir": join(folder, "tls"),
    "token-auth-file": join(folder, "tokens.csv"),
    "authorization-mode": "RBAC",
    "service-account-issuer": issuer,
    "service-account-key-file": serviceAccountKey,
    "service-account-signing-key-file": serviceAccountKey,
    "service-cluster-ip-range": "10.96.0.0/16",
    // There is no controller that would make the default account of a namespace.
    "disable-admission-plugins": "ServiceAccount",
  });
  children.push(apiserver);
  const server = `https://127.0.0.1:${api}`;
  await ready(apiserver, server, token, folder);
  return writeKubeconfig(folder, server, token);
}

function program(name: string, folder: string, flags: Readonly<Record<string, string>>): ChildProcess {
  const path = join(assets, name);
  if (!existsSync(path)) throw new Error(`there is no ${name} in KUBEBUILDER_ASSETS=${assets}`);
  const child = spawn(
    path,
    Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const log = join(folder, `${name}.log`);
  child.stderr?.on("data", (chunk: Buffer) => writeFileSync(log, chunk, { flag: "a" }));
  child.on("error", () => {});
  return child;
}

async function ready(apiserver: ChildProcess, server: string, token: string, folder: string): Promise<void> {
  // Its certificate is made by itself, on loopback, a moment ago: there is nobody else to trust yet.
  const { request } = await import("node:https");
  const isReady = () =>
    new Promise<boolean>((resolve) => {
      const options = { rejectUnauthorized: false, headers: { authorization: `Bearer ${token}` }, timeout: 2000 };
      const sent = request(`${server}/readyz`, options, (response) => resolve(response.resume().statusCode === 200));
      sent.on("error", () => resolve(false)).end();
    });
  const until = Date.now() + readyTimeoutMs;
  while (!(await isReady())) {
    if (apiserver.exitCode !== null || Date.now() > until) {
      const log = join(folder, "kube-apiserver.log");
      throw new Error(`kube-apiserver did not become ready\n${existsSync(log) ? readFileSync(log, "utf8").slice(-2000) : ""}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

function writeKubeconfig(folder: string, server: string, token: string): string {
  const cluster = { server, "certificate-authority": join(folder, "tls", "apiserver.crt"), "tls-server-name": "kubernetes" };
  const path = join(folder, "kubeconfig");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "own",
    contexts: [{ name: "own", context: { cluster: "own", user: "admin" } }],
    clusters: [{ name: "own", cluster }],
    users: [{ name: "admin", user: { token } }],
  };
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
