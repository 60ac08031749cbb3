// The launchers of design.md §1.1: they work from any directory, through links, for any user, from a read-only checkout; they keep
// their pid, so that signals and limits meet the service itself; what is missing is one line.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readlinkSync, rmSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { copyCheckout, root } from "./built.ts";

const launcher = (name: string) => join(root, "bin", name);
/** Debian's nobody. */
const otherUser = 65534;
const isRoot = process.getuid?.() === 0;

function run(command: string, cwd: string, args: readonly string[] = ["--version"]) {
  return spawnSync(command, args, { cwd, encoding: "utf8", env: { PATH: process.env.PATH } });
}

for (const name of ["daprd", "outrigger"]) {
  test(`${name} starts from any working directory, by any path`, () => {
    using folder = new Folder("launch");
    for (const [command, cwd] of [
      [launcher(name), "/"],
      [launcher(name), folder.path],
      [`./${name}`, join(root, "bin")],
      [`bin/${name}`, root],
    ] as const) {
      const { status, stdout, stderr } = run(command, cwd);
      assert.deepEqual([status, stderr], [0, ""], `${command} in ${cwd}`);
      assert.match(stdout, /\d+\.\d+\.\d+/);
    }
  });

  test(`${name} starts through symbolic links, relative and chained, in a path with spaces`, () => {
    using folder = new Folder("launch with spaces");
    symlinkSync(launcher(name), folder.file("first"));
    symlinkSync("first", folder.file("second"));
    for (const link of ["first", "second"]) assert.equal(run(folder.file(link), "/").status, 0, link);
  });

  test(`${name} takes single-dash long flags`, () => {
    assert.equal(run(launcher(name), "/", ["-version"]).stdout, run(launcher(name), "/", ["--version"]).stdout);
  });

  test(`${name} says in one line what is missing`, () => {
    using folder = new Folder("launch");
    const checkout = copyCheckout(folder);
    const command = join(checkout, "bin", name);
    rmSync(join(checkout, "node_modules"), { recursive: true });
    const noNode = run(command, "/");
    assert.deepEqual([noNode.status, noNode.stdout], [1, ""]);
    assert.match(noNode.stderr, /^[^\n]+\/bin\/node is missing: run 'npm ci' in [^\n]+\n$/);
    rmSync(join(checkout, "dist"), { recursive: true });
    const noDist = run(command, "/");
    assert.deepEqual([noDist.status, noDist.stdout], [1, ""]);
    assert.match(noDist.stderr, new RegExp(`^${name}: [^\\n]+/dist/${name}\\.mjs is missing: run 'make build' in [^\\n]+\\n$`));
  });
}

test("a launcher becomes the service: same pid, and no shell stays behind", async () => {
  await using sidecar = await daprd({});
  assert.match(basename(readlinkSync(`/proc/${sidecar.pid}/exe`)), /^node/);
  assert.equal((await sidecar.fetch("/v1.0/healthz")).status, 204);
  assert.ok(sidecar.program.signal("SIGTERM"));
  assert.deepEqual(await sidecar.program.exited(), { code: 0, signal: null });
});

test("daprd runs from a read-only checkout as another user", { skip: isRoot ? false : "changing the user needs root" }, async () => {
  using folder = new Folder("launch");
  const checkout = copyCheckout(folder);
  execFileSync("chmod", ["-R", "a-w,a+rX", checkout]);
  const binary = folder.write(
    "as-other",
    `#!/bin/sh\nexec setpriv --reuid ${otherUser} --regid ${otherUser} --clear-groups '${checkout}/bin/daprd' "$@"\n`,
  );
  execFileSync("chmod", ["755", binary]);
  await using sidecar = await daprd({ binary, cwd: "/", ready: "all" });
  const status = execFileSync("ps", ["-o", "uid=", "-p", String(sidecar.pid)], { encoding: "utf8" });
  assert.equal(Number(status), otherUser);
  assert.doesNotMatch(sidecar.program.output, /EACCES|EROFS|level=(warn|error)[^\n]*cache/);
});
