// The whole way on a real API server: what is applied there comes by our operator to a sidecar with sentry's identity.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { daprResources, kubeResources } from "../../../lib/kube/resource.ts";
import { runOnlyIf } from "../../harness/cluster-tools.ts";
import { findControlPlane, testNamespace } from "../../harness/control-plane.ts";
import { type Daprd, daprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { operator } from "../../harness/operator.ts";
import { sentry } from "../../harness/sentry.ts";
import { components } from "./kubernetes.ts";

const { kubeconfig, reason } = findControlPlane();
const signal = AbortSignal.timeout(120_000);
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** Says `apply` of the namespace's objects, and a sidecar in it. */
async function setting() {
  const stack = new AsyncDisposableStack();
  const config = kubeconfig ?? "";
  const namespace = stack.use(await testNamespace(config, "sidecar"));
  const { name, client } = namespace;
  const ca = stack.use(await sentry({ env: { NAMESPACE: name } }));
  const mtls = { enabled: true, controlPlaneTrustDomain: "localhost", sentryAddress: ca.address };
  await client.create(daprResources.configurations, name, { metadata: { name: "daprsystem" }, spec: { mtls } }, signal);
  const running = stack.use(await operator({ kubeconfig: config, namespace: name, sentry: ca }));
  const sidecar = async (flags: Readonly<Record<string, string>> = {}): Promise<Daprd> =>
    stack.use(
      await daprd({
        flags: {
          mode: "kubernetes",
          "sentry-address": ca.address,
          "control-plane-address": `127.0.0.1:${running.port}`,
          "control-plane-namespace": name,
          ...flags,
        },
        env: {
          DAPR_TRUST_ANCHORS: ca.anchors(),
          NAMESPACE: name,
          KUBECONFIG: config,
          DAPR_UNSAFE_SKIP_CONTAINER_UID_GID_CHECK: "true",
        },
      }),
    );
  return { namespace, sidecar, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const stateStore = (name: string, metadata: readonly object[] = [], type = "state.in-memory") => ({
  metadata: { name },
  spec: { type, version: "v1", metadata },
});

describe("a sidecar on a real API server", runOnlyIf("kubernetes", reason), () => {
  test("uses a component within 2 s of its apply, and lets go of it", { timeout: 60_000 }, async () => {
    await using on = await setting();
    const { client, name } = on.namespace;
    const sidecar = await on.sidecar();
    assert.deepEqual(await components(sidecar), ["kubernetes secretstores.kubernetes"]);
    const since = performance.now();
    await client.create(daprResources.components, name, stateStore("applied"), signal);
    await sidecar.eventually("the store takes a value", async () => {
      const response = await sidecar.post("/v1.0/state/applied", [{ key: "k", value: 1 }]);
      return response.status === 204;
    });
    const tookMs = performance.now() - since;
    assert.ok(tookMs < 2_000, `${tookMs} ms`);
    await client.delete(daprResources.components, name, "applied", {}, signal);
    await sidecar.eventually("it is gone", async () => (await components(sidecar)).length === 1);
  });

  test("reads secrets of its namespace, and is given those that its components refer to", { timeout: 60_000 }, async () => {
    await using on = await setting();
    using folder = new Folder("database");
    const { client, name } = on.namespace;
    const data = { path: base64(folder.file("state.db")), other: base64("ü") };
    await client.create(kubeResources.secrets, name, { metadata: { name: "db" }, data }, signal);
    const pair = { name: "connectionString", secretKeyRef: { name: "db", key: "path" } };
    await client.create(daprResources.components, name, stateStore("store", [pair], "state.sqlite"), signal);
    const sidecar = await on.sidecar();
    assert.equal((await sidecar.post("/v1.0/state/store", [{ key: "k", value: 1 }])).status, 204);
    const secret = await (await sidecar.fetch("/v1.0/secrets/kubernetes/db")).json();
    assert.deepEqual(secret, { path: folder.file("state.db"), other: "ü" });
    const all = (await (await sidecar.fetch("/v1.0/secrets/kubernetes/bulk")).json()) as Record<string, object>;
    assert.deepEqual(all["db"], secret);
    assert.equal((await sidecar.fetch("/v1.0/secrets/kubernetes/gone")).status, 500);
  });

  test("follows its own Configuration and no other", { timeout: 60_000 }, async () => {
    await using on = await setting();
    const { client, name } = on.namespace;
    const configuration = (named: string, feature: string) => ({
      metadata: { name: named },
      spec: { features: [{ name: feature, enabled: true }] },
    });
    await client.create(daprResources.configurations, name, configuration("mine", "One"), signal);
    // The operator tells a sidecar of the Configuration that its pod names.
    await client.create(kubeResources.serviceAccounts, name, { metadata: { name: "default" } }, signal).catch(() => null);
    const annotations = { "dapr.io/enabled": "true", "dapr.io/app-id": "myapp", "dapr.io/config": "mine" };
    const labels = { "dapr.io/sidecar-injected": "true", "dapr.io/app-id": "myapp" };
    const spec = { automountServiceAccountToken: false, containers: [{ name: "daprd", image: "docker.io/local/daprd:1" }] };
    await client.create(kubeResources.pods, name, { metadata: { name: "myapp", labels, annotations }, spec }, signal);
    const sidecar = await on.sidecar({ "app-id": "myapp", config: "mine" });
    const features = async () => {
      const response = await sidecar.fetch("/v1.0/metadata").catch(() => null);
      return response === null ? "" : ((await response.json()) as { enabledFeatures: string[] }).enabledFeatures.join();
    };
    assert.match(await features(), /One/);
    await client.create(daprResources.configurations, name, configuration("others", "Three"), signal);
    await client.create(daprResources.components, name, stateStore("marker"), signal);
    await sidecar.eventually("what came after is there", async () => (await components(sidecar)).includes("marker state.in-memory"));
    assert.ok(!sidecar.lines.some((line) => line.includes("triggering SIGHUP reload")));
    await client.patch(daprResources.configurations, name, "mine", "merge", configuration("mine", "Two"), signal);
    await sidecar.eventually("the new one is in force", async () => (await features()).includes("Two"));
  });
});
