// What two thousand sidecars cost the operator, and how soon they all know of a change. The sidecars are another process.
// OPERATOR_WATCHERS asks for another number than the few hundred of an ordinary run.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { daprResources } from "../../../lib/kube/resource.ts";
import { runOnlyIf } from "../../harness/cluster-tools.ts";
import { findControlPlane, testNamespace } from "../../harness/control-plane.ts";
import { type Operator, operator } from "../../harness/operator.ts";
import { Program } from "../../harness/program.ts";
import { sentry } from "../../harness/sentry.ts";
import type { Watching } from "./watchers.ts";

const { components, configurations } = daprResources;
const { kubeconfig, reason } = findControlPlane();
const signal = AbortSignal.timeout(300_000);
const count = Number(process.env["OPERATOR_WATCHERS"] ?? 300);
const residentMaxMb = 350;
const reachedWithinMs = 2_000;

function residentMb({ program }: Operator): number {
  const status = readFileSync(`/proc/${program.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1000;
}

test(
  "a change reaches every sidecar in time, and they are cheap",
  runOnlyIf("the operator's watchers on Kubernetes", reason),
  async (t) => {
    await using namespace = await testNamespace(kubeconfig ?? "", "watchers");
    await using ca = await sentry({ env: { NAMESPACE: namespace.name } });
    const mtls = { enabled: true, controlPlaneTrustDomain: "localhost", sentryAddress: ca.address };
    await namespace.client.create(configurations, namespace.name, { metadata: { name: "daprsystem" }, spec: { mtls } }, signal);
    await using it = await operator({ kubeconfig: kubeconfig ?? "", namespace: namespace.name, sentry: ca });
    const idle = residentMb(it);
    const watching: Watching = { count, port: it.port, namespace: namespace.name, sentryAddress: ca.address, anchors: ca.anchors() };
    const script = fileURLToPath(new URL("./watchers.ts", import.meta.url));
    await using sidecars = await Program.start({ name: "watchers", command: process.execPath, args: [script, JSON.stringify(watching)] });
    await sidecars.line(/^open$/, 120_000);
    const streams = async () =>
      /streams\{kind="components"\} (\d+)/.exec(await (await fetch(`http://127.0.0.1:${it.metricsPort}`)).text())?.[1];
    await it.eventually(`all ${count} streams are open`, async () => (await streams()) === String(count), 60_000);
    const spans: number[] = [];
    for (const name of ["one", "two", "three"]) {
      const begun = Date.now();
      await namespace.client.create(
        components,
        namespace.name,
        { metadata: { name }, spec: { type: "state.in-memory", version: "v1", metadata: [] } },
        signal,
      );
      const line = await sidecars.line(new RegExp(`^${name} `), 30_000);
      spans.push(Number(line.split(" ")[1]) - begun);
    }
    const busy = residentMb(it);
    t.diagnostic(
      `${count} sidecars: ${Math.round(idle)} MB idle, ${Math.round(busy)} MB with them; a change reached all in ${spans.join(", ")} ms`,
    );
    assert.ok(Math.max(...spans) <= reachedWithinMs, `${spans.join(", ")} ms`);
    assert.ok(busy <= residentMaxMb, `${busy} MB`);
  },
);
