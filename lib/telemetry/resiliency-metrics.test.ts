import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "./metrics.ts";

test("what policies do is counted under Dapr's names and labels; one status of a breaker is 1", async () => {
  const metrics = createMetrics({ appId: "client", recordErrorCodes: false });
  metrics.resiliency.loaded("mine", "");
  const labels = { name: "mine", namespace: "", flow: "outbound", target: "app_server" } as const;
  metrics.resiliency.counters(labels).executed("circuitbreaker", "closed");
  metrics.resiliency.counters(labels).executed("circuitbreaker", "open");
  metrics.resiliency.counters(labels).executed("retry", "");
  metrics.resiliency.counters(labels).activated("circuitbreaker", "open");
  const lines = (await metrics.text()).split("\n").filter((line) => line.startsWith("dapr_resiliency"));
  const common = 'app_id="client",flow_direction="outbound",name="mine",namespace=""';
  const breaker = (status: string) => `{${common},policy="circuitbreaker",status="${status}",target="app_server"}`;
  assert.deepEqual(lines, [
    'dapr_resiliency_loaded{app_id="client",name="mine",namespace=""} 1',
    `dapr_resiliency_count${breaker("closed")} 1`,
    `dapr_resiliency_count${breaker("open")} 1`,
    `dapr_resiliency_count{${common},policy="retry",status="",target="app_server"} 1`,
    `dapr_resiliency_activations_total${breaker("open")} 1`,
    `dapr_resiliency_cb_state${breaker("closed")} 0`,
    `dapr_resiliency_cb_state${breaker("half-open")} 0`,
    `dapr_resiliency_cb_state${breaker("open")} 1`,
    `dapr_resiliency_cb_state${breaker("unknown")} 0`,
  ]);
});

test("targets made up by callers do not add series without end", async () => {
  const metrics = createMetrics({ appId: "client", recordErrorCodes: false });
  for (let i = 0; i < 5000; i++) {
    metrics.resiliency.counters({ name: "mine", namespace: "", flow: "outbound", target: `app_${i}` }).executed("retry", "");
  }
  const series = (await metrics.text()).split("\n").filter((line) => line.startsWith("dapr_resiliency_count{"));
  assert.equal(series.length, 2000);
});
