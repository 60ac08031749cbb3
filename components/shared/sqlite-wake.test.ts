import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { Properties } from "../metadata.ts";
import { openSqlite } from "./sqlite.ts";
import { readSqliteSettings } from "./sqlite-settings.ts";
import { WakeBell, WakeListener, wakePathOf } from "./sqlite-wake.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-wake-"));
after(() => rmSync(folder, { recursive: true }));

/** A promise for the next call of `ring`. */
function bellCounter() {
  let waiting: (() => void)[] = [];
  return {
    onWake() {
      for (const resolve of waiting) resolve();
      waiting = [];
    },
    next: () => new Promise<void>((resolve) => waiting.push(resolve)),
  };
}

test("a ring reaches every listener without the poll", async () => {
  const path = join(folder, "a.db");
  const clock = new FakeClock();
  const counters = [bellCounter(), bellCounter()];
  const listeners = await Promise.all(counters.map((counter) => WakeListener.open(path, counter.onWake, { clock })));
  const bell = new WakeBell(path);
  for (let round = 0; round < 3; round++) {
    const rung = Promise.all(counters.map((counter) => counter.next()));
    bell.ring();
    await rung;
  }
  bell.close();
  for (const listener of listeners) listener.close();
});

test("the slow poll wakes without a ring and finds the file again after it was removed", async () => {
  const path = join(folder, "b.db");
  const clock = new FakeClock();
  const counter = bellCounter();
  const listener = await WakeListener.open(path, counter.onWake, { clock, pollMs: 500 });
  const polled = counter.next();
  await clock.advance(500);
  await polled;
  const removed = counter.next();
  rmSync(wakePathOf(path));
  await removed;
  listener.close();
  assert.equal(clock.waiting, 0);
});

test("a write that asks for it rings after the commit", async () => {
  const path = join(folder, "c.db");
  const settings = readSqliteSettings(new Properties([["connectionString", path]]));
  const signal = new AbortController().signal;
  const database = await openSqlite(settings, systemClock, signal);
  const counter = bellCounter();
  const listener = await WakeListener.open(path, counter.onWake, { clock: new FakeClock() });
  const rung = counter.next();
  await database.write([{ sql: "CREATE TABLE t (v INT)" }], signal, { wake: true });
  await rung;
  listener.close();
  await database.close();
});
