import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../lib/kit/fake-clock.ts";
import { startMemoryTrim } from "./memory-trim.ts";

const mib = 1024 * 1024;

function subject() {
  const clock = new FakeClock();
  const world = { resident: 80 * mib, busy: 0, collections: 0, after: 82 * mib };
  const trim = startMemoryTrim({
    clock,
    residentBytes: () => world.resident,
    busy: () => world.busy,
    collect: async () => {
      world.collections++;
      world.resident = world.after;
    },
  });
  return { clock, world, trim };
}

test("growth is given back once the sidecar is idle, not before", async () => {
  const { clock, world } = subject();
  world.resident = 200 * mib;
  world.busy = 0.9;
  await clock.advance(10_000);
  assert.equal(world.collections, 0);
  world.busy = 0.01;
  await clock.advance(5_000);
  assert.equal(world.collections, 1);
  await clock.advance(60_000);
  assert.equal(world.collections, 1);
});

test("memory that is in use is not collected again and again", async () => {
  const { clock, world } = subject();
  world.resident = 200 * mib;
  world.after = 199 * mib;
  await clock.advance(60_000);
  assert.equal(world.collections, 1);
});

test("small growth is left alone, and stop ends the looking", async () => {
  const { clock, world, trim } = subject();
  world.resident = 100 * mib;
  await clock.advance(60_000);
  assert.equal(world.collections, 0);
  trim.stop();
  assert.equal(clock.waiting, 0);
});
