// The image as it is shipped: built from dist/, unpacked, and started as a container would be: another root, another user, no
// write access. Needs root for the start (chroot); without it those tests say so.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Folder } from "../../harness/folder.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const unpackedMaxBytes = 220e6;
const compressedMaxBytes = 80e6;
const services = ["daprd", "sentry", "injector"];
const isRoot = process.getuid?.() === 0;
const needsRoot = isRoot ? false : "chroot needs root";

describe("the image", () => {
  const folder = new Folder("image");
  const archive = folder.file("image.tar");
  const rootfs = folder.file("rootfs");
  let unpackedBytes = 0;
  let layerBytes = 0;

  before(() => {
    execFileSync(process.execPath, [join(root, "tools/build-image.ts"), "--out", archive, "--tag", "docker.io/local/outrigger:test"]);
    mkdirSync(rootfs);
    for (const layer of docker().Layers) {
      const compressed = execFileSync("tar", ["-xOf", archive, layer], { maxBuffer: compressedMaxBytes * 2 });
      layerBytes += compressed.length;
      execFileSync("tar", ["-xzf", "-", "-C", rootfs], { input: compressed });
    }
    unpackedBytes = Number(execFileSync("du", ["-sb", rootfs], { encoding: "utf8" }).split("\t")[0]);
  });
  after(() => folder[Symbol.dispose]());

  const config = (): { User: string; Env: string[]; Entrypoint?: unknown; Cmd?: unknown } =>
    JSON.parse(execFileSync("tar", ["-xOf", archive, docker().Config], { encoding: "utf8" })).config;
  const docker = (): { Config: string; RepoTags: string[]; Layers: string[] } =>
    JSON.parse(execFileSync("tar", ["-xOf", archive, "manifest.json"], { encoding: "utf8" }))[0];
  /** As a container runtime would: the image's user and variables, its root, nothing else. */
  const inside = (...command: string[]) => {
    const env = Object.fromEntries(config().Env.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
    return spawnSync("/usr/sbin/chroot", ["--userspec=65532:65532", rootfs, ...command], { encoding: "utf8", env });
  };

  test("is within its budget", () => {
    assert.ok(unpackedBytes <= unpackedMaxBytes, `${unpackedBytes} bytes unpacked`);
    assert.ok(layerBytes <= compressedMaxBytes, `${layerBytes} bytes compressed`);
  });

  test("has a user that is not root and no entrypoint, as Dapr's", () => {
    assert.deepEqual(
      [config().User, config().Entrypoint, config().Cmd, docker().RepoTags],
      ["65532:65532", undefined, undefined, ["docker.io/local/outrigger:test"]],
    );
  });

  test("holds nothing that is not needed", () => {
    const top = readdirSync(rootfs).filter((name) => !services.includes(name));
    const known = ["dlv", "etc", "lib", "lib64", "licenses", "node", "operator", "outrigger", "placement", "scheduler", "tmp", "usr"];
    assert.deepEqual(
      top.filter((name) => !known.includes(name)),
      [],
    );
    assert.deepEqual(readdirSync(join(rootfs, "usr/bin")), ["node"]);
    assert.deepEqual(readdirSync(join(rootfs, "usr/lib")), ["outrigger"]);
    assert.ok(!readdirSync(join(rootfs, "usr/lib/outrigger")).some((name) => name.endsWith(".json") || name.startsWith(".")));
  });

  test("links nothing that is outside", () => {
    const loader = "/lib64/ld-linux-x86-64.so.2";
    const listed = isRoot
      ? inside(loader, "--list", "/usr/bin/node")
      : spawnSync(join(rootfs, loader), ["--library-path", join(rootfs, "lib/x86_64-linux-gnu"), "--list", join(rootfs, "usr/bin/node")], {
          encoding: "utf8",
        });
    assert.equal(listed.status, 0, listed.stderr);
    const lines = listed.stdout.trim().split("\n");
    assert.ok(lines.length >= 6 && !listed.stdout.includes("not found"), listed.stdout);
  });

  test("has CA certificates that Node takes", () => {
    const pem = readFileSync(join(rootfs, "etc/ssl/certs/ca-certificates.crt"), "utf8");
    assert.ok(pem.split("BEGIN CERTIFICATE").length > 100);
  });

  test("has a bill of materials that names what is inside", () => {
    const sbom = JSON.parse(readFileSync(`${archive}.spdx.json`, "utf8"));
    const names = new Set(sbom.packages.map(({ name }: { name: string }) => name));
    for (const name of ["node", "node/openssl", "express", "@bufbuild/protobuf"]) assert.ok(names.has(name), name);
    assert.ok(sbom.packages.every(({ versionInfo }: { versionInfo: string }) => versionInfo !== ""));
  });

  for (const service of services) {
    test(`/${service} starts`, { skip: needsRoot }, () => {
      const started = inside(`/${service}`, "--version");
      assert.deepEqual([started.status, started.stdout.trim()], [0, "1.18.3"], started.stderr);
    });
  }

  test("/injector says what it misses", { skip: needsRoot }, () => {
    const started = inside("/injector");
    assert.deepEqual([started.status, /required key NAMESPACE missing value/.test(started.stdout)], [1, true], started.stdout);
  });

  test("/dlv opens the inspector and goes on as the program", { skip: needsRoot }, () => {
    const started = inside("/dlv", "--listen", "127.0.0.1:0", "--headless=true", "exec", "/sentry", "--", "--mode=nonsense");
    assert.match(started.stderr, /Debugger listening on ws:\/\/127.0.0.1/);
    assert.match(started.stdout, /invalid mode: nonsense/);
    assert.equal(inside("/dlv", "exec", "/dlv").status, 2);
  });
});
