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
  assert.equal((await sidecar.post("/v1.0/state/store", [{ key: "key", value: 1 }])).status, 204);
  assert.equal((await sidecar.post("/v1.0/publish/bus/orders", {})).status, 204);
  for (const path of paths) await timed(sidecar, path);

  const other = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "-e", holder, ...files], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => other.kill("SIGKILL"));
  let released = false;
  await once(other.stdout, "data");
  const lockedAt = performance.now();
  other.stdout.once("data", () => (released = true));

  const writes = [
    sidecar.post("/v1.0/state/store", [{ key: "waited", value: 2 }]),
    sidecar.post("/v1.0/publish/bus/orders", { waited: true }),
  ];
  const doneAt = Promise.all(writes).then((replies) => ({
    statuses: replies.map(({ status }) => status),
    ms: performance.now() - lockedAt,
  }));
  const took: number[] = [];
  while (!released) for (const path of paths) took.push(await timed(sidecar, path));
  const done = await doneAt;

  took.sort((a, b) => a - b);
  const slowest = took.at(-1) as number;
  t.diagnostic(`${took.length} reads while locked: median ${took[took.length >> 1]?.toFixed(1)} ms, slowest ${slowest.toFixed(1)} ms`);
  t.diagnostic(`writes acknowledged ${Math.round(done.ms)} ms after the lock was taken`);
  assert.ok(took.length > 100);
  assert.ok(slowest < answersWithinMs, `the slowest answer took ${slowest} ms`);
  assert.deepEqual(done.statuses, [204, 204]);
  assert.ok(done.ms >= heldMs - 100, "a write was acknowledged while another process held the lock");
  assert.equal(await (await sidecar.fetch("/v1.0/state/store/waited")).text(), "2");
});

async function timed(sidecar: Daprd, path: string): Promise<number> {
  const started = performance.now();
  const reply = await sidecar.fetch(path);
  await reply.arrayBuffer();
  assert.ok(reply.status < 300, `${path} answered ${reply.status}`);
  return performance.now() - started;
}
