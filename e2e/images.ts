// The images that the suites run: Outrigger's own, and one of redis-server. E2E_IMAGE and E2E_REDIS_IMAGE name ones that the
// cluster can pull; for a cluster that takes archives both are made here, Redis of the machine's own redis-server.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import type { ClusterScripts } from "../test/harness/cluster-tools.ts";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "..");
const folder = join(root, "build/e2e");

export interface Images {
  readonly outrigger: string;
  /** The command that starts Node in it. */
  readonly node: readonly string[];
  readonly redis: string;
  /** To be loaded into the cluster. */
  readonly archives: readonly string[];
}

const node: readonly string[] = ["/usr/bin/node"];
const redisName = "docker.io/local/redis:e2e";
const outriggerName = "docker.io/local/outrigger:e2e";

/** Null `scripts`: the cluster pulls. */
export async function buildImages(scripts: ClusterScripts | null): Promise<Images> {
  const outrigger = process.env["E2E_IMAGE"] ?? outriggerName;
  const redis = process.env["E2E_REDIS_IMAGE"] ?? (scripts === null ? "docker.io/library/redis:7" : redisName);
  if (scripts === null) return { outrigger, node, redis, archives: [] };
  mkdirSync(folder, { recursive: true });
  return { outrigger, node, redis: redisName, archives: [await outriggerArchive(outrigger), await redisArchive(scripts)] };
}

/** Of what is in dist/. */
async function outriggerArchive(name: string): Promise<string> {
  const given = process.env["E2E_IMAGE_ARCHIVE"];
  if (given) return given;
  const archive = join(folder, "outrigger.tar");
  await run(process.execPath, [join(root, "tools/build-image.ts"), "--out", archive, "--tag", name]);
  return archive;
}

async function redisArchive({ folder: scripts }: ClusterScripts): Promise<string> {
  const archive = join(folder, "redis.tar");
  if (existsSync(archive)) return archive;
  const server = "/usr/bin/redis-server";
  const { stdout } = await run("ldd", [server]);
  // `name => /path (address)`, or the loader's own path.
  const libraries = [...stdout.matchAll(/(?:=>\s*)?(\/\S+)\s+\(0x/g)].map(([, path]) => path as string);
  const files = [server, ...libraries].map((path) => `${realpathSync(path)}:${path}`);
  const entry = ["--entrypoint", JSON.stringify([server]), "--user", "65532:65532"];
  await run("python3", [join(scripts, "mkimage.py"), archive, redisName, ...entry, ...files]);
  return archive;
}
