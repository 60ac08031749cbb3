import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { initialRenewal, type Life, type RenewalEvent, type RenewalState, stepRenewal } from "./renewal.ts";

const second = 1_000;
const start = Date.UTC(2026, 0, 1);
const life = (from: number, to: number, jwtExpiry: number | null = null): Life => ({
  notBefore: start + from,
  notAfter: start + to,
  jwtExpiry,
});

/** Runs events, each at its time, and gives what the machine did last. */
function run(steps: readonly (readonly [number, RenewalEvent])[], chance = 0) {
  let state: RenewalState = initialRenewal;
  let effects: ReturnType<typeof stepRenewal>[1] = [];
  const logs: string[] = [];
  for (const [at, event] of steps) {
    [state, effects] = stepRenewal(state, event, start + at, chance);
    for (const effect of effects) if (effect.kind === "log") logs.push(`${effect.level} ${effect.message}`);
  }
  return { state, effects, logs };
}
const waitOf = (result: ReturnType<typeof run>): number =>
  result.effects.flatMap((effect) => (effect.kind === "wait" ? [effect.ms] : []))[0] ?? -1;
const started = [0, { kind: "started" }] as const;
const failure = { kind: "failed", cause: "unreachable", definite: false } as const;

test("renews at 70 % of what the certificate has to live", () => {
  assert.equal(waitOf(run([started, [0, { kind: "issued", life: life(0, 100 * second) }]])), 70 * second);
  assert.equal(waitOf(run([started, [40 * second, { kind: "issued", life: life(0, 140 * second) }]])), 70 * second);
});

test("a backdated certificate that lives shorter than it is backdated is not renewed without a pause", () => {
  assert.equal(waitOf(run([started, [0, { kind: "issued", life: life(-900 * second, 10 * second) }]])), 7 * second);
  assert.equal(waitOf(run([started, [0, { kind: "issued", life: life(-900 * second, -10 * second) }]])), second / 2);
});

test("a token that expires earlier brings the renewal forward", () => {
  assert.equal(waitOf(run([started, [0, { kind: "issued", life: life(0, 100 * second, start + 10 * second) }]])), 7 * second);
});

test("a refusal ends the start, but not a process that has an identity", () => {
  const refused = { kind: "failed", cause: "no", definite: true } as const;
  assert.deepEqual(run([started, [0, refused]]).effects, [{ kind: "give_up", cause: "no" }]);
  const later = run([
    started,
    [0, { kind: "issued", life: life(0, 100 * second) }],
    [70 * second, { kind: "timer" }],
    [70 * second, refused],
  ]);
  assert.equal(waitOf(later), 250);
});

test("backs off with chance, and oftener as the end of the certificate nears", () => {
  const failing = (count: number, chance: number) =>
    waitOf(run([started, ...Array.from({ length: count }, () => [0, failure] as const)], chance));
  assert.deepEqual([failing(1, 0), failing(2, 0), failing(3, 0), failing(20, 0)], [250, 500, 1_000, 15_000]);
  assert.equal(failing(20, 0.5), 22_500);
  const issued = [0, { kind: "issued", life: life(0, 100 * second) }] as const;
  assert.equal(waitOf(run([started, issued, ...Array.from({ length: 9 }, () => [80 * second, failure] as const)])), 500);
});

test("one log line per change, in Dapr's words", () => {
  const issuedAt = (at: number) => [at * second, { kind: "issued", life: life(at * second, (at + 100) * second) }] as const;
  const { logs } = run([
    started,
    [0, failure],
    [second, failure],
    issuedAt(2),
    [72 * second, failure],
    [73 * second, failure],
    [102 * second, failure],
    [103 * second, failure],
    issuedAt(104),
  ]);
  assert.deepEqual(logs, [
    "info Fetching initial identity",
    "warn Cannot fetch the initial identity, trying again: unreachable",
    "info Security is initialized successfully",
    "info Starting workload identity expiry watcher; cert expires on: 2026-01-01T00:01:42.000Z, renewal at: 2026-01-01T00:01:12.000Z",
    "error Error renewing identity, trying again until it expires on 2026-01-01T00:01:42.000Z: unreachable",
    "error Workload identity expired on 2026-01-01T00:01:42.000Z, peers refuse it; still trying to renew: unreachable",
    "info Successfully renewed workload identity; cert expires on: 2026-01-01T00:03:24.000Z, renewal at: 2026-01-01T00:02:54.000Z",
  ]);
});

test("whatever happens, every event leads to exactly one of request, wait and end, and no wait is shorter than a quarter of a second", () => {
  const issued = fc.record({
    kind: fc.constant("issued" as const),
    life: fc.tuple(fc.integer(), fc.integer()).map(([a, b]) => life(a, b)),
  });
  const event: fc.Arbitrary<RenewalEvent> = fc.oneof(fc.constant(failure), fc.constant({ kind: "timer" } as const), issued);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1e9), event)), fc.double({ min: 0, max: 0.999, noNaN: true }), (steps, chance) => {
      let state: RenewalState = initialRenewal;
      for (const [at, happened] of steps) {
        const [next, effects] = stepRenewal(state, happened, start + at, chance);
        const moves = effects.filter(({ kind }) => kind !== "log");
        assert.equal(moves.length, 1);
        assert.ok(moves.every((move) => move.kind !== "wait" || move.ms >= 250));
        state = next;
      }
    }),
  );
});
