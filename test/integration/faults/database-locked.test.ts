// Another process holds the write lock of the sidecar's SQLite files for two seconds: the HTTP API answers within 50 ms all the
// while, since no disk and no lock is ever waited for on the main loop; writes wait, are acknowledged after, and are there.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { component } from "../../build/resource.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";

const heldMs = 2000;
const answersWithinMs = 50;

/** A process of its own that takes the write lock of each file, says so, and lets go after `heldMs`. */
const holder = `
  const { DatabaseSync } = require("node:sqlite");
  const files = process.argv.slice(1).map((file) => new DatabaseSync(file, { timeout: 10000 }));
  for (const file of files) file.exec("BEGIN IMMEDIATE");
  console.log("locked");
  setTimeout(() => { for (const file of files) file.exec("ROLLBACK"); console.log("released"); }, ${heldMs});
`;

const paths = ["/v1.0/healthz", "/v1.0/healthz/outbound", "/v1.0/metadata", "/v1.0/state/store/key"];

test("a write lock held for 2 s by another process delays writes and nothing else", async (t: TestContext) => {
  using folder = new Folder("locked");
  const files = [folder.file("state.sqlite"), folder.file("bus.sqlite")];
  const [state, bus] = files as [string, string];
  await using sidecar = await daprd({
    resources: [
      component("store", "state.sqlite", { metadata: { connectionString: state } }),
      component("bus", "pubsub.sqlite", { metadata: { connectionString: bus } }),
    ],
  });
  // Its answers tell how long the machine itself lets a request wait at the same moments.
  await using free = await daprd({
    resources: [component("store", "state.sqlite", { metadata: { connectionString: folder.file("free.sqlite") } })],
  });
  assert.equal((await sidecar.post("/v1.0/state/store", [{ key: "key", value: 1 }])).status, 204);
  assert.equal((await sidecar.post("/v1.0/publish/bus/orders", {})).status, 204);
  for (const path of paths) await Promise.all([timed(sidecar, path), timed(free, path)]);

  const round = async (key: string) => {
    const lock = await holdLocks(files, t);
    const waiting = writes(sidecar, key);
    const took: number[] = [];
    const control: number[] = [];
    while (!lock.released()) {
      for (const path of paths) {
        took.push(await timed(sidecar, path));
        control.push(await timed(free, path));
      }
    }
    const written = await waiting;
    const [slowest, machine] = [Math.max(...took), Math.max(...control)];
    t.diagnostic(`${took.length} reads while locked: slowest ${slowest.toFixed(1)} ms, of another sidecar ${machine.toFixed(1)} ms`);
    t.diagnostic(`writes acknowledged ${Math.round(written.at - lock.takenAt)} ms after the lock was taken`);
    assert.ok(took.length > 50);
    assert.deepEqual(written.statuses, [204, 204]);
    assert.ok(written.at - lock.takenAt >= heldMs - 100, "a write was acknowledged while another process held the lock");
    assert.equal(await (await sidecar.fetch(`/v1.0/state/store/${key}`)).text(), "2");
    return machine > answersWithinMs / 2 ? slowest - machine : slowest;
  };
  let best = Number.POSITIVE_INFINITY;
  // Other work on the machine only adds: one round within the budget shows that no lock is waited for.
  for (const key of ["first", "second", "third"]) if (best >= answersWithinMs) best = Math.min(best, await round(key));
  assert.ok(best < answersWithinMs, `the slowest answer took ${best} ms`);
});

/** Resolves when another process has the write lock of each file. */
async function holdLocks(files: readonly string[], t: TestContext) {
  const args = ["--disable-warning=ExperimentalWarning", "-e", holder, ...files];
  const other = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => other.kill("SIGKILL"));
  await once(other.stdout, "data");
  let released = false;
  other.stdout.once("data", () => {
    released = true;
  });
  return { takenAt: performance.now(), released: () => released };
}

async function writes(sidecar: Daprd, key: string) {
  const replies = [sidecar.post("/v1.0/state/store", [{ key, value: 2 }]), sidecar.post("/v1.0/publish/bus/orders", { key })];
  const statuses = (await Promise.all(replies)).map(({ status }) => status);
  return { statuses, at: performance.now() };
}

async function timed(sidecar: Daprd, path: string): Promise<number> {
  const started = performance.now();
  const reply = await sidecar.fetch(path);
  await reply.arrayBuffer();
  assert.ok(reply.status < 300, `${path} answered ${reply.status}`);
  return performance.now() - started;
}
