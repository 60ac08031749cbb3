import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../lib/kit/fake-clock.ts";
import { FakeKubeApi } from "../lib/kube/fake-api.ts";
import { daprResources } from "../lib/kube/resource.ts";
import { silentLogger } from "../lib/telemetry/log.ts";
import { loadControlPlaneSettings } from "./control-plane-settings.ts";

const { configurations } = daprResources;
const configuration = (namespace: string, mtls: object) => ({ metadata: { namespace, name: "daprsystem" }, spec: { mtls } });

test("the Configuration is that of the operator's own namespace; another's changes nothing; until it is there, it waits", async () => {
  await using api = await FakeKubeApi.start();
  const client = api.client();
  const clock = new FakeClock();
  const stop = new AbortController();
  api.put(configurations, configuration("evil", { controlPlaneTrustDomain: "evil", sentryAddress: "evil:443" }));
  api.fail("GET", /configurations/, 403, 1);
  const options = { client, namespace: "system", name: "daprsystem", clock, log: silentLogger };
  const loading = loadControlPlaneSettings(options, stop.signal);
  for (let round = 0; round < 2; round++) {
    await clock.untilWaiting(1);
    await clock.advance(10_000);
  }
  api.put(configurations, configuration("system", { controlPlaneTrustDomain: "mine", sentryAddress: "" }));
  await clock.untilWaiting(1);
  await clock.advance(10_000);
  assert.deepEqual(await loading, { trustDomain: "mine", sentryAddress: "dapr-sentry.system.svc:443" });
  client.close();
});

test("stopping ends the wait", async () => {
  await using api = await FakeKubeApi.start();
  const client = api.client();
  const stop = new AbortController();
  const clock = new FakeClock();
  const loading = loadControlPlaneSettings({ client, namespace: "system", name: "daprsystem", clock, log: silentLogger }, stop.signal);
  await clock.untilWaiting(1);
  const reason = new Error("enough");
  stop.abort(reason);
  await assert.rejects(loading, reason);
  client.close();
});
