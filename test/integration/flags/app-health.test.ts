// App health checks: when the app counts as healthy, what an unhealthy one is spared, and how it comes back.
import assert from "node:assert/strict";
import { component } from "../../build/resource.ts";
import { app } from "../../harness/app.ts";
import { daprd, type FlagValue } from "../../harness/daprd.ts";
import { grpcApp } from "../../harness/grpc-app.ts";
import { observes } from "./observes.ts";

const healthFlags: Readonly<Record<string, FlagValue>> = {
  "enable-app-health-check": true,
  "app-health-probe-interval": 1,
  "app-health-probe-timeout": 200,
  "app-health-threshold": 1,
};
const unhealthy = /App entered un-healthy status/;

observes(
  ["enable-app-health-check", "app-health-check-path"],
  "gates calls and deliveries by the path given, and lets them in again",
  async () => {
    let well = true;
    await using shop = await app({
      subscriptions: [{ pubsubname: "pubsub", topic: "orders", route: "/orders" }],
      http: { "/well": () => ({ status: well ? 200 : 503 }), "/x": () => ({}), "/orders": () => ({}) },
    });
    await using sidecar = await daprd({
      app: shop,
      ready: "all",
      resources: [component("pubsub", "pubsub.in-memory")],
      flags: { ...healthFlags, "app-health-check-path": "/well" },
    });
    const invoke = async () => {
      const response = await sidecar.fetch(`/v1.0/invoke/${sidecar.appId}/method/x`);
      return { status: response.status, text: await response.text() };
    };
    await shop.called("/dapr/subscribe");
    await sidecar.eventually("a healthy app was called", async () => (await invoke()).status === 200);

    well = false;
    await sidecar.program.line(unhealthy);
    const refused = await invoke();
    assert.equal(refused.status, 500);
    assert.match(refused.text, /app is not in a healthy state/);
    const before = shop.calls.filter((call) => call.path === "/x").length;
    await invoke();
    assert.equal(shop.calls.filter((call) => call.path === "/x").length, before);

    well = true;
    await sidecar.eventually("a recovered app was called", async () => (await invoke()).status === 200);
    await sidecar.eventually("a recovered app heard of an event", async () => {
      await sidecar.post("/v1.0/publish/pubsub/orders", { id: 1 });
      return shop.calls.some((call) => call.path === "/orders");
    });
  },
);

observes(["enable-app-health-check"], "asks a gRPC app for its HealthCheck", async () => {
  let well = true;
  await using shop = await grpcApp({ healthy: () => well });
  await using sidecar = await daprd({ app: shop.port, ready: "all", flags: { ...healthFlags, "app-protocol": "grpc" } });
  const invoke = async () => (await sidecar.fetch(`/v1.0/invoke/${sidecar.appId}/method/x`)).status;
  await sidecar.eventually("a healthy app was called", async () => (await invoke()) === 200);
  well = false;
  await sidecar.program.line(unhealthy);
  assert.equal(await invoke(), 500);
  well = true;
  await sidecar.eventually("a recovered app was called", async () => (await invoke()) === 200);
  assert.ok((await shop.called("HealthCheck")).length >= 3);
});

observes(["app-health-probe-interval"], "is the time between probes", async () => {
  const times: number[] = [];
  await using shop = await app({ http: { "/healthz": () => void times.push(performance.now()) } });
  await using _sidecar = await daprd({ app: shop, flags: { ...healthFlags, "app-health-probe-interval": 2 } });
  await shop.called("/healthz", 2);
  const [first, second] = times as [number, number];
  assert.ok(second - first > 1800 && second - first < 4000, `${second - first} ms between probes; 5000 is the default`);
});

observes(["app-health-threshold"], "that many failures in a row make the app unhealthy", async () => {
  let answered = 0;
  let failed = 0;
  await using shop = await app({
    http: { "/healthz": () => (++answered === 1 ? { status: 200 } : { status: 500 + 0 * ++failed }) },
  });
  await using sidecar = await daprd({ app: shop, ready: "all", flags: { ...healthFlags, "app-health-threshold": 2 } });
  await sidecar.program.line(unhealthy);
  assert.equal(failed, 2);
});

observes(["app-health-probe-timeout"], "is how long a probe may take", async () => {
  const never = Promise.withResolvers<void>();
  let probes = 0;
  await using shop = await app({
    http: {
      "/healthz": async () => {
        // Too slow for the default of 500 ms, then for any.
        await (++probes === 1 ? new Promise((resolve) => setTimeout(resolve, 700)) : never.promise);
        return {};
      },
    },
  });
  const flags = { ...healthFlags, "app-health-probe-interval": 2, "app-health-probe-timeout": 1500 };
  await using sidecar = await daprd({ app: shop, ready: "all", flags });
  await sidecar.program.line(/App entered healthy status/);
  await sidecar.program.line(unhealthy);
  never.resolve();
});
