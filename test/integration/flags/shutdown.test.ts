// How a sidecar ends: grace, block, signals, the shutdown API, and reload by SIGHUP.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { component, yaml } from "../../build/resource.ts";
import { type App, app } from "../../harness/app.ts";
import { type Daprd, type DaprdOptions, daprd } from "../../harness/daprd.ts";
import { GrpcClient } from "../../harness/grpc-client.ts";
import { reservePorts } from "../../harness/ports.ts";
import { metadataOf } from "./metadata-of.ts";
import { observes } from "./observes.ts";

const stopping = /beginning shutdown/i;

/** The exit code; null after a signal. */
async function exitCode(sidecar: Daprd): Promise<number | null> {
  return (await sidecar.program.exited()).code;
}

interface SlowCall {
  readonly sidecar: Daprd;
  readonly shop: App;
  /** Lets the app answer. */
  readonly answer: () => void;
  /** What the caller gets; 0 when the connection broke. */
  readonly status: Promise<number>;
}

/** Runs `body` while the app works on one call that came through the sidecar. */
async function duringSlowCall(flags: DaprdOptions["flags"], body: (slow: SlowCall) => Promise<void>): Promise<void> {
  const answer = Promise.withResolvers<void>();
  await using shop = await app({
    http: {
      "/slow": async () => {
        await answer.promise;
        return {};
      },
    },
  });
  await using sidecar = await daprd({ app: shop, ready: "all", ...(flags === undefined ? {} : { flags }) });
  const status = sidecar.fetch(`/v1.0/invoke/${sidecar.appId}/method/slow`).then(
    (response) => response.status,
    () => 0,
  );
  await shop.called("/slow");
  try {
    await body({ sidecar, shop, answer: answer.resolve, status });
  } finally {
    answer.resolve();
  }
}

observes(["dapr-graceful-shutdown-seconds"], "a call in flight is answered within the grace, then the end is 0", async () => {
  await duringSlowCall({ "dapr-graceful-shutdown-seconds": 10 }, async ({ sidecar, answer, status }) => {
    sidecar.program.signal("SIGTERM");
    await sidecar.program.line(stopping);
    answer();
    assert.equal(await status, 200);
    assert.equal(await exitCode(sidecar), 0);
  });
});

observes(["dapr-graceful-shutdown-seconds"], "when the grace is over, the end is 1 and says so", async () => {
  await duringSlowCall({ "dapr-graceful-shutdown-seconds": 1 }, async ({ sidecar, status }) => {
    sidecar.program.signal("SIGTERM");
    // The default is 5 s.
    assert.equal((await sidecar.program.exited(4000)).code, 1);
    assert.equal(await status, 0);
    await sidecar.program.line(/Graceful shutdown timeout exceeded/i);
  });
});

observes(["dapr-graceful-shutdown-seconds"], "0 sets no limit", async () => {
  await duringSlowCall({ "dapr-graceful-shutdown-seconds": 0 }, async ({ sidecar, answer, status }) => {
    sidecar.program.signal("SIGTERM");
    await sidecar.program.line(stopping);
    // Longer than a sidecar without limit would need to end if 0 meant at once.
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(sidecar.program.exit, null);
    answer();
    assert.equal(await status, 200);
    assert.equal(await exitCode(sidecar), 0);
  });
});

test("a second signal ends with 1 at once", async () => {
  await duringSlowCall({ "dapr-graceful-shutdown-seconds": 60 }, async ({ sidecar }) => {
    sidecar.program.signal("SIGTERM");
    await sidecar.program.line(stopping);
    sidecar.program.signal("SIGINT");
    assert.equal(await exitCode(sidecar), 1);
  });
});

observes(["dapr-block-shutdown-duration"], "keeps the APIs up for that long, deliveries stopped", async () => {
  await using shop = await app({
    subscriptions: [{ pubsubname: "pubsub", topic: "orders", route: "/orders" }],
    http: { "/orders": () => ({}), "/x": () => ({}) },
  });
  const resources = [component("pubsub", "pubsub.in-memory")];
  await using sidecar = await daprd({ app: shop, ready: "all", resources, flags: { "dapr-block-shutdown-duration": "1500ms" } });
  await sidecar.post("/v1.0/publish/pubsub/orders", { id: 1 });
  await shop.called("/orders");
  const signalled = performance.now();
  sidecar.program.signal("SIGTERM");
  await sidecar.program.line(/Blocking graceful shutdown for 1\.5s or until app reports unhealthy/);
  assert.equal((await sidecar.fetch(`/v1.0/invoke/${sidecar.appId}/method/x`)).status, 200);
  assert.equal((await sidecar.post("/v1.0/publish/pubsub/orders", { id: 2 })).status, 204);
  assert.equal(await exitCode(sidecar), 0);
  assert.ok(performance.now() - signalled >= 1500);
  await sidecar.program.line(/Block shutdown period expired, entering shutdown/);
  assert.equal(shop.calls.filter((call) => call.path === "/orders").length, 1);
});

observes(["dapr-block-shutdown-duration"], "ends earlier when the app turns unhealthy", async () => {
  let well = true;
  await using shop = await app({ http: { "/healthz": () => ({ status: well ? 200 : 503 }) } });
  await using sidecar = await daprd({
    app: shop,
    ready: "all",
    flags: {
      "dapr-block-shutdown-duration": "180s",
      "enable-app-health-check": true,
      "app-health-probe-interval": 1,
      "app-health-threshold": 1,
    },
  });
  await sidecar.program.line(/App entered healthy status/);
  sidecar.program.signal("SIGTERM");
  await sidecar.program.line(/Blocking graceful shutdown for 3m0s/);
  well = false;
  assert.equal(await exitCode(sidecar), 0);
  await sidecar.program.line(/App reported unhealthy, entering shutdown/);
});

test("SIGTERM while the app's port is awaited ends promptly with 0", async () => {
  const [port] = (await reservePorts(1)) as [number];
  await using sidecar = await daprd({ app: port });
  await sidecar.program.line(/waiting on port/);
  sidecar.program.signal("SIGTERM");
  assert.deepEqual(await sidecar.program.exited(3000), { code: 0, signal: null });
});

test("SIGHUP starts everything anew in the same process", async () => {
  await using sidecar = await daprd({ ready: "all", resources: [component("one", "state.in-memory")] });
  sidecar.folder.write("resources/two.yaml", yaml(component("two", "state.in-memory")));
  sidecar.program.signal("SIGHUP");
  const starts = () => sidecar.lines.filter((line) => line.includes("dapr initialized. Status: Running")).length;
  await sidecar.program.until(() => starts() === 2, "a second start", 10_000, true);
  assert.equal((await metadataOf(sidecar)).components.length, 2);
  sidecar.program.signal("SIGTERM");
  assert.equal(await exitCode(sidecar), 0);
});

test("the shutdown API answers, finishes what is in flight and ends with 0", async () => {
  await duringSlowCall({}, async ({ sidecar, answer, status }) => {
    assert.equal((await sidecar.fetch("/v1.0/shutdown", { method: "POST" })).status, 204);
    await sidecar.program.line(/shutting down/i);
    answer();
    assert.equal(await status, 200);
    assert.equal(await exitCode(sidecar), 0);
  });
});

test("the shutdown API over gRPC ends with 0", async () => {
  await using sidecar = await daprd();
  using client = new GrpcClient(sidecar.grpcAddress);
  await client.call(Dapr.method.shutdown, {});
  assert.equal(await exitCode(sidecar), 0);
});

test("dapr-force-shutdown ends with 1 whatever is in flight", async () => {
  await duringSlowCall({ "dapr-graceful-shutdown-seconds": 60 }, async ({ sidecar }) => {
    const response = await sidecar.fetch("/v1.0/shutdown", { method: "POST", headers: { "dapr-force-shutdown": "true" } });
    assert.equal(response.status, 204);
    assert.equal(await exitCode(sidecar), 1);
  });
  await duringSlowCall({ "dapr-graceful-shutdown-seconds": 60 }, async ({ sidecar }) => {
    using client = new GrpcClient(sidecar.grpcAddress);
    await client.call(Dapr.method.shutdown, {}, { "dapr-force-shutdown": "true" });
    assert.equal(await exitCode(sidecar), 1);
  });
});
