// The root is rotated under two sidecars that call each other all the time, 200 calls a second in all: no call fails, whether sentry
// lives through it or is killed in every phase. In every phase a sidecar that has just started is called by an old one and calls it,
// so that both sides also shake hands anew. With ROTATION_FULL=1 certificates live longer and sentry stays away longer.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Daprd, foreignDaprd } from "../../harness/daprd.ts";
import { Mesh } from "../mtls/mesh.ts";
import { call, SteadyLoad } from "./load.ts";

const skip = foreignDaprd && "the binary may lack the SQLite resolver";
const full = process.env.ROTATION_FULL === "1";

/**
 * Seconds. A phase takes leaf life, skew and overlap; the first begins `ttl - before` after the start, and the next rotation as long after
 * the first, which must leave time to see that this one is done.
 */
const short = { leaf: 5, skew: 0.5, overlap: 0.5, before: 13, ttl: 30, away: 0.2 };
const times = full ? { leaf: 30, skew: 5, overlap: 5, before: 82, ttl: 182, away: 8 } : short;
const rate = 200;
const pollMs = 50;
const timeoutMs = full ? 400_000 : 110_000;

const config = `
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: { name: sentry }
spec:
  mtls: { workloadCertTTL: ${times.leaf}s, allowedClockSkew: ${times.skew * 1000}ms }
`;
const flags = {
  "root-ttl": `${times.ttl}s`,
  "root-rotation-before": `${times.before}s`,
  "root-rotation-overlap": `${times.overlap * 1000}ms`,
};

/** Runs a whole rotation, doing `inPhase` once in each phase, and checks that every call went well. */
async function rotate(context: TestContext, inPhase: (mesh: Mesh) => Promise<void>): Promise<void> {
  await using mesh = await Mesh.start({ config, flags });
  const [one, two] = await Promise.all([mesh.httpCallee(), mesh.httpCallee()]);
  await Promise.all([call(one, two, 0), call(two, one, 0)]);
  const [old] = (await mesh.ca.rotation()).anchors;
  await using load = new SteadyLoad(
    [
      { from: one, to: two },
      { from: two, to: one },
    ],
    rate,
  );
  const phases: string[] = [];
  for (let whole = false; !whole; await sleep(pollMs)) {
    assert.deepEqual(load.failures, []);
    const { phase, anchors, problem } = await mesh.ca.rotation();
    assert.equal(problem, null);
    whole = phase === "steady" && anchors.every(({ sha256 }) => sha256 !== old?.sha256);
    if (phases.at(-1) === phase) continue;
    phases.push(String(phase));
    await inPhase(mesh);
    await meetNewcomer(mesh, one);
  }
  const { calls, failures, p99Ms, maxMs } = await load.stop();
  context.diagnostic(`${calls} calls, ${failures.length} failed, p99 ${p99Ms} ms, slowest ${maxMs} ms, phases ${phases.join(" ")}`);
  assert.deepEqual(failures, []);
  assert.deepEqual(phases, ["steady", "distributing", "retiring", "steady"]);
  // Not one of them was refused for a moment: renewals went on, and each took over the new root without a word of warning.
  for (const sidecar of [one, two]) {
    assert.doesNotMatch(sidecar.program.output, /Refused a TLS connection|identity expired/);
    await sidecar.program.line(/Successfully renewed workload identity/);
  }
}

/** The old sidecar has renewed its trust, the new one begins with that of now; each must accept the other. */
async function meetNewcomer(mesh: Mesh, old: Daprd): Promise<void> {
  const newcomer = await mesh.httpCallee();
  await Promise.all([call(old, newcomer, -1), call(newcomer, old, -2)]);
  await newcomer[Symbol.asyncDispose]();
}

test(
  "a root is rotated under load, with sentry killed and started again in each phase: no call fails",
  { skip, timeout: timeoutMs },
  (context) =>
    rotate(context, async (mesh) => {
      await mesh.ca.kill();
      await sleep(times.away * 1000);
      await mesh.ca.startProcess();
    }),
);

test(
  "a root is rotated under load for minutes: no call fails",
  { skip: skip || (!full && "ROTATION_FULL=1 is not set"), timeout: timeoutMs },
  (context) => rotate(context, async () => {}),
);
