// lock.sqlite on real files.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { driverContext } from "../shared/test-context.ts";
import { lockConformance } from "./conformance.ts";
import { create } from "./sqlite.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-lock-"));
after(() => rmSync(folder, { recursive: true }));
const signal = new AbortController().signal;

async function open(metadata: Readonly<Record<string, string>>, clock = new FakeClock()) {
  const store = create(driverContext("lock.sqlite", metadata, clock));
  await store.init(signal);
  return { store, clock };
}

lockConformance("lock.sqlite, file", () => open({ connectionString: join(folder, "conformance.db") }));
lockConformance("lock.sqlite, in memory", () => open({ connectionString: ":memory:", tableName: "own_name" }));

test("sidecars on the same file share its locks, over restarts", async () => {
  const connectionString = join(folder, "shared.db");
  const clock = new FakeClock();
  const [one, two] = [await open({ connectionString }, clock), await open({ connectionString }, clock)];
  const requests = Array.from({ length: 20 }, (_, n) => ({ resourceId: "r", owner: String(n), expirySeconds: 10 }));
  const got = await Promise.all(requests.map((request, n) => (n % 2 === 0 ? one : two).store.tryLock(request, signal)));
  assert.equal(got.filter(Boolean).length, 1);
  await Promise.all([one.store.close(), two.store.close()]);
  const again = await open({ connectionString }, clock);
  assert.equal(await again.store.tryLock({ resourceId: "r", owner: "later", expirySeconds: 10 }, signal), false);
  assert.equal(await again.store.unlock({ resourceId: "r", owner: String(got.indexOf(true)) }, signal), "success");
  await again.store.close();
});

test("expired locks do not pile up", async () => {
  const connectionString = join(folder, "expired.db");
  const { store, clock } = await open({ connectionString });
  for (let n = 0; n < 20; n++) await store.tryLock({ resourceId: `r${n}`, owner: "o", expirySeconds: 1 }, signal);
  await clock.advance(2000);
  await store.tryLock({ resourceId: "new", owner: "o", expirySeconds: 1 }, signal);
  const db = new DatabaseSync(connectionString, { readOnly: true });
  assert.equal(db.prepare("SELECT count(*) AS n FROM locks").get()?.["n"], 1);
  db.close();
  await store.close();
});

test("bad metadata is reported whole, with names", () => {
  assert.throws(
    () => create(driverContext("lock.sqlite", { connectionString: "file:x.db?mode=ro", tableName: "a b" }, new FakeClock())),
    /invalid identifier: a b.*must be able to write/,
  );
});
