import assert from "node:assert/strict";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { systemClock } from "../../../lib/kit/clock.ts";
import { FakeClock } from "../../../lib/kit/fake-clock.ts";
import { diskFiles } from "../disk-files.ts";
import { filesInMemory, keptLog } from "../test-surroundings.ts";
import { DiskFeed } from "./disk-feed.ts";
import type { Change, Listing } from "./feed.ts";

const component = (name: string) =>
  `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: ${name}}\nspec: {type: state.a, version: v1}\n`;

/** Files that the test changes, in /r and /etc; `touch` is what the platform says of a directory. */
async function scene(files: Record<string, string>) {
  const clock = new FakeClock();
  const { log, lines } = keptLog();
  const told: Listing[] = [];
  const fatal: string[] = [];
  const watched = new Map<string, (name: string | null) => void>();
  const failures = new Map<string, (error: unknown) => void>();
  const feed = new DiskFeed({
    paths: ["/r"],
    configPaths: ["/etc/config.yaml"],
    files: filesInMemory(files),
    appId: "app1",
    namespace: "default",
    namespaceGiven: false,
    clock,
    log,
    watchDirectory(path, onChange, onFailure) {
      watched.set(path, onChange);
      failures.set(path, onFailure);
    },
  });
  const stop = new AbortController();
  await feed.watch(
    (change: Change | Listing) => void told.push(change as Listing),
    (error) => void fatal.push((error as Error).message),
    stop.signal,
  );
  const touch = async (directory: string, name: string | null) => {
    watched.get(directory)?.(name);
    await clock.advance(200);
    for (let i = 0; i < 5; i++) await turn();
  };
  return { clock, feed, lines, told, fatal, touch, watched, failures, stop, files };
}

test("what happens in a directory is listed a moment later, once for many signs", async () => {
  const on = await scene({ "/r/a.yaml": component("a"), "/etc/config.yaml": "spec: {}" });
  for (let i = 0; i < 50; i++) on.watched.get("/r")?.("a.yaml");
  assert.equal(on.clock.waiting, 1);
  await on.touch("/r", "a.yaml");
  assert.deepEqual(
    on.told.map(({ Component, complete }) => [Component?.map(({ name }) => name), complete]),
    [[["a"], true]],
  );
  on.files["/r/b.yml"] = component("b");
  await on.touch("/r", null);
  assert.equal(on.told[1]?.Component?.length, 2);
  await on.touch("/r", "notes.txt");
  await on.touch("/etc", "other.yaml");
  assert.equal(on.told.length, 2);
  await on.touch("/r", "..data");
  await on.touch("/etc", "config.yaml");
  assert.equal(on.told.length, 4);
  on.stop.abort();
  await on.touch("/r", "a.yaml");
  assert.equal(on.told.length, 4);
});

test("a file that cannot be understood makes the listing incomplete, and is complained about once", async () => {
  const on = await scene({ "/r/a.yaml": component("a"), "/etc/config.yaml": "" });
  on.files["/r/a.yaml"] = "kind: [";
  await on.touch("/r", "a.yaml");
  await on.touch("/r", "a.yaml");
  assert.deepEqual(
    on.told.map(({ Component, complete }) => [Component?.length, complete]),
    [
      [0, false],
      [0, false],
    ],
  );
  const complaints = () => on.lines.filter((line) => line.startsWith("warning") && line.includes("/r/a.yaml")).length;
  assert.equal(complaints(), 1);
  on.files["/r/a.yaml"] = component("a");
  await on.touch("/r", "a.yaml");
  on.files["/r/a.yaml"] = "kind: [";
  await on.touch("/r", "a.yaml");
  assert.equal(complaints(), 2);
});

test("a name that is used twice ends the sidecar, as in Dapr; a directory that is gone is said and waited for", async () => {
  const on = await scene({ "/r/a.yaml": `${component("a")}---\n${component("a")}`, "/etc/config.yaml": "" });
  await on.touch("/r", "a.yaml");
  const duplicate = "duplicate definition of Component name a (state.a/v1) with existing a (state.a/v1)";
  assert.deepEqual([on.fatal, on.told], [[`failed to load resources from disk: ${duplicate}`], []]);
  delete on.files["/r/a.yaml"];
  await on.touch("/r", "a.yaml");
  assert.ok(on.lines.some((line) => line.startsWith("error failed to load resources from disk: failed to load components: open /r")));
  on.failures.get("/r")?.(new Error("no space for watches"));
  assert.ok(on.lines.includes("warning /r is not watched any more, only listed: no space for watches"));
  assert.equal(on.fatal.length, 1);
});

test("the configuration files are compared by what stands in them", async () => {
  const on = await scene({ "/r/a.yaml": component("a"), "/etc/config.yaml": "one" });
  assert.deepEqual(await on.feed.configurationFiles(), [{ name: "/etc/config.yaml", text: "one" }]);
  delete on.files["/etc/config.yaml"];
  assert.deepEqual(await on.feed.configurationFiles(), [{ name: "/etc/config.yaml", text: "missing" }]);
});

test("real directories are watched, also those that Kubernetes swaps by a link", { timeout: 20_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "outrigger-feed-"));
  const stop = new AbortController();
  try {
    const versions = await Promise.all(
      ["one", "two"].map(async (name) => {
        const version = await mkdtemp(join(directory, "..version-"));
        await writeFile(join(version, "c.yaml"), component(name));
        return version;
      }),
    );
    await symlink(versions[0] as string, join(directory, "..data"));
    await symlink(join("..data", "c.yaml"), join(directory, "c.yaml"));
    const { log } = keptLog();
    const scope = { appId: "a", namespace: "default", namespaceGiven: false };
    const feed = new DiskFeed({ ...scope, paths: [directory], configPaths: [], files: diskFiles, clock: systemClock, log });
    assert.deepEqual(
      (await feed.load(stop.signal)).components.map(({ name }) => name),
      ["one"],
    );
    const listed = Promise.withResolvers<Listing>();
    await feed.watch((change) => listed.resolve(change as Listing), listed.reject, stop.signal);
    await symlink(versions[1] as string, join(directory, "..data_tmp"));
    await rename(join(directory, "..data_tmp"), join(directory, "..data"));
    assert.deepEqual(
      (await listed.promise).Component?.map(({ name }) => name),
      ["two"],
    );
  } finally {
    stop.abort();
    await rm(directory, { recursive: true });
  }
});
