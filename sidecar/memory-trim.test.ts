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

test("growth of a burst is given back once, after the lull has lasted", async () => {
  const { clock, world } = subject();
  world.resident = 200 * mib;
  world.busy = 0.9;
  await clock.advance(20_000);
  assert.equal(world.collections, 0);
  world.busy = 0.1;
  await clock.advance(8_000);
  assert.equal(world.collections, 0);
  await clock.advance(2_000);
  assert.equal(world.collections, 1);
  world.resident = 200 * mib;
  await clock.advance(60_000);
  assert.equal(world.collections, 1, "no burst since");
});

test("a lull that is broken begins anew", async () => {
  const { clock, world } = subject();
  world.resident = 200 * mib;
  for (const busy of [0.9, 0.1, 0.25, 0.1]) {
    world.busy = busy;
    await clock.advance(8_000);
  }
  assert.equal(world.collections, 0);
  await clock.advance(2_000);
  assert.equal(world.collections, 1);
});

test("memory that is in use is collected no more than once for each burst", async () => {
  const { clock, world } = subject();
  world.resident = 200 * mib;
  world.after = 199 * mib;
  for (const busy of [0.9, 0, 0.9, 0]) {
    world.busy = busy;
    await clock.advance(20_000);
  }
  assert.equal(world.collections, 1, "the floor is what is left");
});

test("small growth is left alone, and stop ends the looking", async () => {
  const { clock, world, trim } = subject();
  world.resident = 100 * mib;
  for (const busy of [0.9, 0]) {
    world.busy = busy;
    await clock.advance(60_000);
  }
  assert.equal(world.collections, 0);
  trim.stop();
  assert.equal(clock.waiting, 0);
});
