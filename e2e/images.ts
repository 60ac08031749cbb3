// The images that the suites run: Outrigger's own, and one of redis-server. E2E_IMAGE and E2E_REDIS_IMAGE name ones that the
// cluster can pull; for a cluster that takes archives both are made here, Redis of the machine's own redis-server.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { promisify } from "node:util";
import { sharedLibraries } from "../images/shared-libraries.ts";
import type { ClusterScripts } from "../test/harness/cluster-tools.ts";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "..");
const folder = join(root, "build/e2e");

export interface Images {
  readonly outrigger: string;
  /** The command that starts Node in it. */
  readonly node: readonly string[];
  readonly redis: string;
  /** Of the quickstart's two apps. */
  readonly helloNode: string;
  readonly helloPython: string;
  /** Of another daprd; null without E2E_PEER_DAPRD. */
  readonly peer: string | null;
  /** To be loaded into the cluster. */
  readonly archives: readonly string[];
}

const node: readonly string[] = ["/usr/bin/node"];
const helloNode = "docker.io/local/hello-node:e2e";
const helloPython = "docker.io/local/hello-python:e2e";
const peerName = "docker.io/local/peer-daprd:e2e";
const redisName = "docker.io/local/redis:e2e";
const outriggerName = "docker.io/local/outrigger:e2e";

/** Null `scripts`: the cluster pulls. */
export async function buildImages(scripts: ClusterScripts | null): Promise<Images> {
  const outrigger = process.env["E2E_IMAGE"] ?? outriggerName;
  const redis = process.env["E2E_REDIS_IMAGE"] ?? (scripts === null ? "docker.io/library/redis:7" : redisName);
  const program = process.env["E2E_PEER_DAPRD"] ?? "";
  const names = { outrigger, node, redis, helloNode, helloPython, peer: program === "" || scripts === null ? null : peerName };
  if (scripts === null) return { ...names, archives: [] };
  mkdirSync(folder, { recursive: true });
  const app = (file: string) => join(import.meta.dirname, "hello-kubernetes", file);
  const archives = [
    await outriggerArchive(outrigger),
    await redisArchive(scripts),
    await programArchive(scripts, helloNode, process.execPath, [app("node-app.js")]),
    await programArchive(scripts, helloPython, process.execPath, [app("python-app.js")]),
    ...(program === "" ? [] : [await peerArchive(scripts, program)]),
  ];
  return { ...names, archives };
}

/** Of what is in dist/. */
async function outriggerArchive(name: string): Promise<string> {
  const given = process.env["E2E_IMAGE_ARCHIVE"];
  if (given) return given;
  const archive = join(folder, "outrigger.tar");
  await run(process.execPath, [join(root, "tools/build-image.ts"), "--out", archive, "--tag", name]);
  return archive;
}

async function redisArchive(scripts: ClusterScripts): Promise<string> {
  return programArchive(scripts, redisName, "/usr/bin/redis-server", []);
}

/** An image of one program of this machine, and of scripts that it is started with; made once. */
async function programArchive(
  { folder: scripts }: ClusterScripts,
  name: string,
  program: string,
  files: readonly string[],
): Promise<string> {
  const archive = join(folder, `${name.replaceAll(/[^a-z0-9]+/g, "-")}.tar`);
  if (existsSync(archive)) return archive;
  const libraries = sharedLibraries(program).map(({ path, file }) => `${file}:${path}`);
  const inside = files.map((file) => `/app/${basename(file)}`);
  const entry = ["--entrypoint", JSON.stringify([`/usr/bin/${basename(program)}`, ...inside]), "--user", "65532:65532"];
  const contents = [`${program}:/usr/bin/${basename(program)}`, ...libraries, ...files.map((file, at) => `${file}:${inside[at]}`)];
  await run("python3", [join(scripts, "mkimage.py"), archive, name, ...entry, ...contents]);
  return archive;
}

/** As Dapr's own image is: a static daprd at the root, no entrypoint. */
async function peerArchive({ folder: scripts }: ClusterScripts, program: string): Promise<string> {
  const archive = join(folder, "peer-daprd.tar");
  await run("python3", [join(scripts, "mkimage.py"), archive, peerName, "--user", "65532:65532", `${program}:/daprd`]);
  return archive;
}
