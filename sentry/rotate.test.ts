// Single steps of the rotation, one invariant each.
import assert from "node:assert/strict";
import { test } from "node:test";
import { nextChangeAt, type RotationSettings, type RotationState, settingsProblem, step } from "./rotate.ts";

const settings: RotationSettings = { leafTtlMs: 100, clockSkewMs: 10, overlapMs: 20, distributeMs: 0, retireMs: 0, beforeMs: 400 };
const old = { root: "old", issuerChain: "old", issuerKey: "old", endsAt: 1000 };
const next = { root: "new", issuerChain: "new", issuerKey: "new", endsAt: 2000 };
const steady: RotationState = { phase: "steady", anchors: ["old"], issuer: old, longestLeafMs: 100, since: 0 };
const distributing: RotationState = { ...steady, phase: "distributing", anchors: ["old", "new"], since: 600, next };
const tick = (at: number, servingSince = 0) => ({ kind: "tick", at, servingSince }) as const;

test("a steady root waits until it is old enough, then asks for a new one", () => {
  assert.deepEqual(step(steady, tick(599), settings).effects, [{ kind: "wake", at: 600 }]);
  assert.deepEqual(step(steady, tick(600), settings).effects, [{ kind: "make" }]);
});

test("a new root is handed out while the old issuer signs", () => {
  const { state, effects } = step(steady, { kind: "made", at: 600, material: next }, settings);
  assert.deepEqual(state, distributing);
  assert.deepEqual(effects[0], { kind: "save", reason: "distribute" });
});

test("a second new root is refused while one is handed out", () => {
  const third = { ...next, root: "third" };
  assert.equal(step(distributing, { kind: "made", at: 601, material: third }, settings).state, distributing);
});

test("invariant 2: the issuer switches after life, skew and overlap, and after a restart has served for the overlap", () => {
  assert.equal(step(distributing, tick(729), settings).state.phase, "distributing");
  assert.equal(step(distributing, tick(730), settings).state.phase, "retiring");
  assert.equal(step(distributing, tick(740, 725), settings).state.phase, "distributing");
  assert.equal(step(distributing, tick(745, 725), settings).state.phase, "retiring");
});

test("invariant 2: an issuer near its end is replaced at once", () => {
  assert.equal(step(distributing, tick(969, 969), settings).state.phase, "distributing");
  assert.equal(step(distributing, tick(970, 970), settings).state.phase, "retiring");
  const late = step(steady, { kind: "made", at: 970, material: next }, settings).state;
  assert.deepEqual([late.phase, late.issuer.root, late.anchors], ["retiring", "new", ["old", "new"]]);
});

test("invariant 3: the old anchor stays until all that it vouched for has expired", () => {
  const { state } = step(distributing, tick(730), { ...settings, retireMs: 1 });
  assert.equal(nextChangeAt(state, 0, settings), 730 + 100 + 10);
  assert.equal(step(state, tick(839), settings).state.phase, "retiring");
  const gone = step(state, tick(840), settings);
  assert.deepEqual([gone.state.phase, gone.state.anchors], ["steady", ["new"]]);
});

test("invariant 3: longer certificates of an earlier setting count", () => {
  const before = step(steady, tick(1), { ...settings, leafTtlMs: 500 });
  assert.deepEqual(before.effects[0], { kind: "save", reason: "longer_leaves" });
  const state = { ...distributing, longestLeafMs: before.state.longestLeafMs, issuer: { ...old, endsAt: 9000 } };
  assert.equal(step(state, tick(600 + 500 + 30), settings).state.phase, "retiring");
  assert.equal(step(state, tick(600 + 500 + 29), settings).state.phase, "distributing");
});

test("anchors that somebody else added survive the rotation", () => {
  const theirs = { ...distributing, anchors: ["theirs", "old", "new"] };
  const { state } = step(theirs, tick(730), settings);
  assert.deepEqual(step(state, tick(2000), settings).state.anchors, ["theirs", "new"]);
});

test("invariant 5: time that runs backwards moves nothing", () => {
  assert.equal(step(distributing, tick(5), settings).state, distributing);
});

test("settings that leave no time for a rotation are named", () => {
  assert.equal(settingsProblem({ ...settings, rootTtlMs: 660 }), null);
  assert.match(settingsProblem({ ...settings, rootTtlMs: 660, beforeMs: 200 }) ?? "", /raise --root-rotation-before/);
  assert.match(settingsProblem({ ...settings, rootTtlMs: 659 }) ?? "", /raise --root-ttl/);
});
