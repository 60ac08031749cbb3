import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "./metrics.ts";

async function lines(metrics: ReturnType<typeof createMetrics>, start: string): Promise<string[]> {
  return (await metrics.text()).split("\n").filter((line) => line.startsWith(`dapr_component_pubsub_${start}`));
}

const labels = (more: string) => `{app_id="shop",component="mypub",namespace="ns",${more},topic="t"}`;

test("messages and bulks are counted and timed under Dapr's names and labels", async () => {
  const metrics = createMetrics({ appId: "shop", recordErrorCodes: false, namespace: "ns", latencyBuckets: [1, 10] });
  metrics.pubsub.published("mypub", "t", true, 0.5);
  metrics.pubsub.published("mypub", "t", true, 1);
  metrics.pubsub.published("mypub", "t", true, 50);
  metrics.pubsub.bulkPublished("mypub", "t", false, 3);
  metrics.pubsub.delivered("mypub", "t", "drop", "success", null);
  metrics.pubsub.bulkDelivered("mypub", "t", { success: 2, drop: 0, retry: 1 }, 4);
  const egress = labels('success="true"');
  assert.deepEqual(await lines(metrics, "egress_count"), [`dapr_component_pubsub_egress_count${egress} 3`]);
  const bucket = (le: string) => `dapr_component_pubsub_egress_latencies_bucket${egress.replace("}", `,le="${le}"}`)}`;
  assert.deepEqual(await lines(metrics, "egress_latencies"), [
    `${bucket("1")} 2`,
    `${bucket("10")} 2`,
    `${bucket("+Inf")} 3`,
    `dapr_component_pubsub_egress_latencies_sum${egress} 51.5`,
    `dapr_component_pubsub_egress_latencies_count${egress} 3`,
  ]);
  assert.deepEqual(await lines(metrics, "egress_bulk_count"), [`dapr_component_pubsub_egress_bulk_count${labels('success="false"')} 1`]);
  assert.deepEqual(await lines(metrics, "ingress_count"), [
    `dapr_component_pubsub_ingress_count${labels('process_status="drop",status="success"')} 1`,
  ]);
  assert.deepEqual(await lines(metrics, "ingress_latencies"), []);
  assert.deepEqual(await lines(metrics, "ingress_bulk_event_count"), [
    `dapr_component_pubsub_ingress_bulk_event_count${labels('process_status="SUCCESS"')} 2`,
    `dapr_component_pubsub_ingress_bulk_event_count${labels('process_status="RETRY"')} 1`,
  ]);
});

test("topics made up by callers do not add series without end, and the total stays right", async () => {
  const metrics = createMetrics({ appId: "shop", recordErrorCodes: false });
  for (let n = 0; n < 5000; n++) metrics.pubsub.published("mypub", `t${n}`, true, 1);
  const series = await lines(metrics, "egress_count{");
  assert.equal(series.length, 251);
  assert.match(series.at(-1) ?? "", /topic="others"} 4750$/);
});
