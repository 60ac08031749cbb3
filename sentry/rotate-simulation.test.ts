// The rotation under a mesh of simulated workloads with clocks that differ, and a sentry that dies at any step: before it
// saves, after it has saved, in the middle of waiting. Time, chance and keys are the test's; a failure prints its seed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type IssuerMaterial, type RotationSettings, type RotationState, settingsProblem, step } from "./rotate.ts";

/** mulberry32: small and good enough to choose with. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Workload {
  readonly clockOffsetMs: number;
  anchors: readonly string[];
  root: string;
  expires: number;
  renewAt: number;
}

interface World {
  readonly chance: () => number;
  readonly settings: RotationSettings;
  readonly rootTtlMs: number;
  now: number;
  saved: RotationState;
  /** Null while the process is dead. */
  running: { state: RotationState; servingSince: number } | null;
  backAt: number;
  workloads: Workload[];
  roots: number;
  readonly phases: string[];
  crashes: number;
}

class Crash extends Error {}

function newWorld(seed: number): World {
  const chance = random(seed);
  const leafTtlMs = 60_000 + Math.floor(chance() * 600_000);
  const clockSkewMs = Math.floor(chance() * leafTtlMs * 0.05);
  const overlapMs = Math.floor(leafTtlMs * (0.15 + chance() * 0.2));
  const phases = 2 * (leafTtlMs + clockSkewMs + overlapMs);
  const settings = { leafTtlMs, clockSkewMs, overlapMs, distributeMs: 0, retireMs: 0, beforeMs: Math.floor(phases * 1.6) };
  const rootTtlMs = settings.beforeMs + Math.floor(phases * (1 + chance()));
  const world: World = {
    chance,
    settings,
    rootTtlMs,
    now: 1_700_000_000_000,
    saved: undefined as unknown as RotationState,
    running: null,
    backAt: 0,
    workloads: [],
    roots: 0,
    phases: [],
    crashes: 0,
  };
  const issuer = make(world);
  world.saved = { phase: "steady", anchors: [issuer.root], issuer, longestLeafMs: leafTtlMs, since: world.now };
  start(world);
  world.workloads = Array.from({ length: 8 }, () => join(world, (chance() * 2 - 1) * clockSkewMs));
  return world;
}

function make(world: World): IssuerMaterial {
  const name = `root ${++world.roots}`;
  return { root: name, issuerChain: name, issuerKey: name, endsAt: world.now + world.rootTtlMs };
}

function start(world: World): void {
  world.running = { state: world.saved, servingSince: world.now };
}

/** A new pod: its anchors are the published ones. */
function join(world: World, clockOffsetMs: number): Workload {
  const workload = { clockOffsetMs, anchors: world.saved.anchors, root: "", expires: 0, renewAt: 0 };
  renew(world, workload);
  return workload;
}

function renew(world: World, workload: Workload): void {
  const { settings, chance, now } = world;
  const { running } = world;
  if (running === null) {
    workload.renewAt = now + chance() * settings.overlapMs * 0.5;
    return;
  }
  const { issuer, anchors } = running.state;
  assert.ok(workload.anchors.includes(issuer.root), "a workload does not trust sentry's own certificate");
  assert.ok(anchors.includes(issuer.root), "invariant 1: the signing root is not among the anchors");
  workload.anchors = anchors;
  workload.root = issuer.root;
  workload.expires = Math.min(now + settings.leafTtlMs, issuer.endsAt);
  assert.ok(workload.expires > now, "a certificate was signed by an issuer that has expired");
  workload.renewAt = now + (workload.expires - now) * (0.6 + chance() * 0.1) - workload.clockOffsetMs;
}

function tick(world: World): void {
  const { running, settings, now } = world;
  if (running === null) return;
  const perform = (event: Parameters<typeof step>[1]): void => {
    const { state, effects } = step(running.state, event, settings);
    for (const effect of effects) {
      if (effect.kind === "make") perform({ kind: "made", at: now, material: make(world) });
      if (effect.kind !== "save") continue;
      mayCrash(world, 0.3);
      world.saved = state;
      world.phases.push(effect.reason);
      mayCrash(world, 0.3);
      running.state = state;
    }
  };
  perform({ kind: "tick", at: now, servingSince: running.servingSince });
}

function mayCrash(world: World, likelihood: number): void {
  if (world.chance() < likelihood) throw new Crash();
}

function advance(world: World): void {
  const { settings, chance } = world;
  world.now += settings.leafTtlMs / 60;
  if (world.running === null && world.now >= world.backAt) start(world);
  try {
    tick(world);
    mayCrash(world, 0.01);
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
    world.crashes++;
    world.running = null;
    world.backAt = world.now + chance() * settings.leafTtlMs * 0.15;
  }
  for (const workload of world.workloads) if (world.now >= workload.renewAt) renew(world, workload);
  if (world.running !== null && chance() < 0.05) world.workloads.splice(0, 1, join(world, (chance() * 2 - 1) * settings.clockSkewMs));
}

/** Who lost its certificate in an outage of sentry is out of the mesh, but back soon after sentry is. */
function check(world: World): void {
  const { running, now, settings, workloads } = world;
  const recovered = running !== null && now - running.servingSince > settings.overlapMs * 0.6;
  const alive = workloads.filter(({ expires, clockOffsetMs }) => now + clockOffsetMs < expires);
  assert.ok(!recovered || alive.length === workloads.length, "a workload was left without a certificate");
  for (const caller of alive) {
    for (const callee of alive) {
      assert.ok(callee.anchors.includes(caller.root), `a workload trusts ${callee.anchors} and is called by one of ${caller.root}`);
    }
  }
}

for (const block of [0, 1, 2, 3]) {
  test(`no call fails while roots rotate under crashes (seeds ${block * 50} to ${block * 50 + 49})`, () => {
    for (let seed = block * 50; seed < block * 50 + 50; seed++) {
      const world = newWorld(seed);
      assert.equal(settingsProblem({ ...world.settings, rootTtlMs: world.rootTtlMs }), null, `seed ${seed}`);
      try {
        while (world.phases.filter((phase) => phase === "retire").length < 3) {
          advance(world);
          check(world);
          assert.ok(world.now < 1_700_000_000_000 + 40 * world.rootTtlMs, "the rotation stands still");
        }
      } catch (error) {
        throw new Error(`seed ${seed}, after ${world.phases.join(", ")} and ${world.crashes} crashes`, { cause: error });
      }
      assert.ok(world.crashes > 0, `seed ${seed} has no crash`);
    }
  });
}

test("a simulation without the distribution phase fails: the check can fail", () => {
  const failing = (seed: number): boolean => {
    const world = newWorld(seed);
    Object.assign(world.settings, { distributeMs: 1, overlapMs: 1 });
    try {
      while (world.phases.filter((phase) => phase === "retire").length < 2) {
        advance(world);
        check(world);
      }
      return false;
    } catch {
      return true;
    }
  };
  assert.ok([1, 2, 3, 4, 5].every(failing));
});
