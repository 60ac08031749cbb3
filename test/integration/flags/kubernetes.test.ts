// Flags and variables of Kubernetes mode.
import assert from "node:assert/strict";
import { ControlPlane, component, components } from "../kubernetes-mode/kubernetes.ts";
import { observes } from "./observes.ts";

observes(["control-plane-address"], "resources come from the operator there", async () => {
  await using plane = await ControlPlane.start();
  plane.operator.resources.Component.push(component("store", "state.in-memory"));
  await using sidecar = await plane.sidecar();
  assert.deepEqual(await components(sidecar), ["store state.in-memory"]);
  await using none = await plane.sidecar({ flags: { "control-plane-address": null }, ready: "none" });
  const { code } = await none.program.exited();
  assert.equal(code, 1);
  assert.ok(none.lines.some((line) => line.includes("--mode kubernetes without an operator: set --control-plane-address")));
});

observes(["disable-builtin-k8s-secret-store"], "there is a store named kubernetes unless it is given", async () => {
  await using plane = await ControlPlane.start();
  const env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: "1" };
  await using withStore = await plane.sidecar({ flags: { "disable-builtin-k8s-secret-store": null }, env });
  assert.deepEqual(await components(withStore), ["kubernetes secretstores.kubernetes"]);
  await using without = await plane.sidecar({ flags: { "disable-builtin-k8s-secret-store": true }, env });
  assert.deepEqual(await components(without), []);
});

observes(["hot-reload-reconcile-interval"], "what no event told of is found by the listing", async () => {
  await using plane = await ControlPlane.start();
  await using sidecar = await plane.sidecar({ flags: { "hot-reload-reconcile-interval": "200ms" } });
  plane.operator.resources.Component.push(component("untold", "state.in-memory"));
  await sidecar.eventually("it is there", async () => (await components(sidecar)).length === 1);
  plane.operator.resources.Component.length = 0;
  await sidecar.eventually("it is gone", async () => (await components(sidecar)).length === 0);
});

observes(
  ["DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK"],
  "lets the sidecar run as root, which it refuses otherwise",
  async () => {
    await using plane = await ControlPlane.start();
    await using refused = await plane.sidecar({ env: { DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK: "1" }, ready: "none" });
    assert.equal((await refused.program.exited()).code, 1);
    assert.ok(refused.lines.some((line) => line.includes("current user UID(0) is root")));
    await using allowed = await plane.sidecar({ env: { DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK: "true" } });
    assert.ok(allowed.lines.some((line) => line.includes("Skipping container UID/GID check due to env override.")));
  },
  { skip: process.getuid?.() !== 0 && "only root can see it" },
);
