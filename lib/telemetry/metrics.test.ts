import assert from "node:assert/strict";
import { test } from "node:test";
import { certificateFailures, createMetrics } from "./metrics.ts";

test("failed attempts to get a certificate are counted by reason, of which there are eight at most", async () => {
  const metrics = createMetrics({ appId: "shop", recordErrorCodes: false });
  const samples = async () => (await metrics.text()).split("\n").filter((line) => line.startsWith("dapr_runtime_mtls_"));
  assert.deepEqual(await samples(), []);
  metrics.certificate("failed", "unreachable");
  metrics.certificate("failed", "unreachable");
  metrics.certificate("failed", "handshake");
  metrics.certificate("first");
  metrics.certificate("renewed");
  assert.deepEqual(await samples(), [
    'dapr_runtime_mtls_init_total{app_id="shop"} 1',
    'dapr_runtime_mtls_workload_cert_rotated_total{app_id="shop"} 2',
    'dapr_runtime_mtls_workload_cert_rotated_fail_total{app_id="shop",reason="unreachable"} 2',
    'dapr_runtime_mtls_workload_cert_rotated_fail_total{app_id="shop",reason="handshake"} 1',
  ]);
  assert.ok(certificateFailures.length <= 8);
});
