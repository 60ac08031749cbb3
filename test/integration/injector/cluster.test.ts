// The webhook on a real API server, with both of the chart's entries, fail closed: what users apply and what they then see.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { isStatus } from "../../../lib/kube/error.ts";
import { arrayOf, at, type Json, type KubeObject } from "../../../lib/kube/object.ts";
import { kubeResources } from "../../../lib/kube/resource.ts";
import { findTool, runOnlyIf } from "../../harness/cluster-tools.ts";
import { findControlPlane, type TestNamespace, testNamespace } from "../../harness/control-plane.ts";
import { type Injector, injector } from "../../harness/injector.ts";
import { sentry } from "../../harness/sentry.ts";

/** Not among the client's, since the operator has no use for them. */
const validatingWebhooks = {
  ...kubeResources.mutatingWebhooks,
  plural: "validatingwebhookconfigurations",
  kind: "ValidatingWebhookConfiguration",
};
const { pods, namespaces, deployments, services, serviceAccounts, mutatingWebhooks } = kubeResources;
const { kubeconfig, reason } = findControlPlane();
const signal = AbortSignal.timeout(300_000);
const webhookName = "dapr-sidecar-injector";
const annotated = "has(object.metadata.annotations) && 'dapr.io/enabled' in object.metadata.annotations";
const on = { "dapr.io/enabled": "true", "dapr.io/app-id": "orders" };
/** What the restricted level asks of an app. */
const restricted = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  capabilities: { drop: ["ALL"] },
  seccompProfile: { type: "RuntimeDefault" },
};
const app = { name: "app", image: "docker.io/local/app:1", securityContext: restricted };

interface Setting extends AsyncDisposable {
  readonly apps: TestNamespace;
  readonly injector: Injector;
  /** Retried until the webhook trusts us and the namespace has its account. */
  create(pod: Json): Promise<KubeObject>;
}

function webhook(name: string, path: string, condition: string, injector: Injector, service: string, selector: Json): Json {
  return {
    name,
    matchConditions: [{ name: "condition", expression: condition }],
    namespaceSelector: selector,
    rules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE"], scope: "Namespaced" }],
    clientConfig: { service: { namespace: service, name: webhookName, path, port: injector.port } },
    failurePolicy: "Fail",
    reinvocationPolicy: "IfNeeded",
    sideEffects: "None",
    timeoutSeconds: 5,
    admissionReviewVersions: ["v1"],
  };
}

function adviceWebhook(injector: Injector, service: string, selector: Json): Json {
  const {
    matchConditions: _,
    reinvocationPolicy: _policy,
    ...common
  } = webhook("advice.sidecar-injector.dapr.io", "/advise", "", injector, service, selector);
  const has = (path: string) => `has(object.spec.${path})`;
  const expression = `${has("template")} && ${has("template.metadata.annotations")} && 'dapr.io/enabled' in object.spec.template.metadata.annotations`;
  const rules = [
    { apiGroups: ["apps"], apiVersions: ["v1"], resources: ["deployments"], operations: ["CREATE", "UPDATE"], scope: "Namespaced" },
  ];
  return { ...common, matchConditions: [{ name: "annotated", expression }], rules, failurePolicy: "Ignore" };
}

async function setting(labels: Readonly<Record<string, string>> = {}): Promise<Setting> {
  const stack = new AsyncDisposableStack();
  const config = kubeconfig ?? "";
  const plane = stack.use(await testNamespace(config, "injector"));
  const apps = stack.use(await testNamespace(config, "apps"));
  const { client } = plane;
  const defaults = { "dapr.io/log-level": "debug" };
  const enforce = { "pod-security.kubernetes.io/enforce": "restricted" };
  await client.patch(
    namespaces,
    null,
    apps.name,
    "merge",
    { metadata: { labels: { ...enforce, ...labels }, annotations: defaults } },
    signal,
  );
  const ca = stack.use(await sentry({ env: { NAMESPACE: plane.name } }));
  const env = { NAMESPACE: plane.name, INJECTION_POLICY: "pods" };
  const its = stack.use(await injector({ sentry: ca, kubeconfig: { file: config }, env }));
  const ports = [{ port: its.port }];
  const external = { type: "ExternalName", externalName: "localhost", ports };
  await client.create(services, plane.name, { metadata: { name: webhookName }, spec: external }, signal);
  const selector = { matchLabels: { "kubernetes.io/metadata.name": apps.name } };
  const byLabel = { matchLabels: { ...selector.matchLabels, "dapr.io/inject": "enabled" } };
  const webhooks = [
    webhook("sidecar-injector.dapr.io", "/mutate", annotated, its, plane.name, selector),
    webhook("namespace.sidecar-injector.dapr.io", "/mutate/namespace", `!(${annotated})`, its, plane.name, byLabel),
  ];
  await client.delete(mutatingWebhooks, null, webhookName, {}, signal);
  await client.create(mutatingWebhooks, null, { metadata: { name: webhookName }, webhooks }, signal);
  stack.defer(() => void client.delete(mutatingWebhooks, null, webhookName, {}, AbortSignal.timeout(10_000)));
  await client.delete(validatingWebhooks, null, webhookName, {}, signal);
  await client.create(
    validatingWebhooks,
    null,
    { metadata: { name: webhookName }, webhooks: [adviceWebhook(its, plane.name, selector)] },
    signal,
  );
  stack.defer(() => void client.delete(validatingWebhooks, null, webhookName, {}, AbortSignal.timeout(10_000)));
  for (const resource of [mutatingWebhooks, validatingWebhooks]) {
    await eventually(`the CA bundle is written into ${resource.plural}`, async () => {
      const read = await client.get(resource, null, webhookName, signal);
      return arrayOf(at(read, "webhooks")).every((entry) => at(entry, "clientConfig", "caBundle") !== undefined);
    });
  }
  await eventually("the account is there", async () => (await client.get(serviceAccounts, apps.name, "default", signal)) !== null);
  const create = async (pod: Json): Promise<KubeObject> => {
    for (;;) {
      try {
        return await client.create(pods, apps.name, pod, signal);
      } catch (error) {
        if (!isStatus(error, 500) || signal.aborted) throw error;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  };
  return { apps, injector: its, create, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function eventually(what: string, check: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await check())) {
    assert.ok(performance.now() < until, `${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const pod = (name: string, annotations: Json | null, spec: Json = {}): Json => ({
  metadata: { name, ...(annotations === null ? {} : { annotations }) },
  spec: { containers: [app], ...spec },
});
const sidecarsOf = (object: KubeObject) =>
  [...arrayOf(at(object, "spec", "initContainers")), ...arrayOf(at(object, "spec", "containers"))].filter(
    (container) => at(container, "name") === "daprd",
  );
const refusalOf = (created: Promise<unknown>) =>
  created.then(
    () => "created",
    (error: Error) => error.message,
  );

describe("the webhook on a real API server", runOnlyIf("kubernetes", reason), () => {
  test("pods get their sidecar, by every spelling of true, where the restricted level is enforced", { timeout: 120_000 }, async () => {
    await using it = await setting();
    for (const [i, text] of ["true", "TRUE", "True", "yes", "Y", "t", "on", "1", " true "].entries()) {
      const created = await it.create(pod(`p${i}`, { "dapr.io/enabled": text }));
      const [sidecar, ...more] = sidecarsOf(created);
      assert.deepEqual([at(sidecar, "restartPolicy"), more.length], ["Always", 0], text);
      assert.equal(created.metadata.labels?.["dapr.io/app-id"], `p${i}`);
    }
    for (const [i, text] of ["false", "no", "0", ""].entries()) {
      assert.deepEqual(sidecarsOf(await it.create(pod(`n${i}`, { "dapr.io/enabled": text }))), []);
    }
    assert.deepEqual(sidecarsOf(await it.create(pod("plain", null))), []);
  });

  test("everything that annotations can ask for is a pod that the API server takes, once and again", { timeout: 120_000 }, async () => {
    await using it = await setting();
    const all = {
      ...on,
      ...{ "dapr.io/app-port": "3000", "dapr.io/app-protocol": "grpc", "dapr.io/config": "c", "dapr.io/log-level": "debug" },
      ...{ "dapr.io/env": "A=1,B=2", "dapr.io/env-from-secret": "C=s:k", "dapr.io/api-token-secret": "a", "dapr.io/app-token-secret": "b" },
      ...{ "dapr.io/sidecar-cpu-request": "10m", "dapr.io/sidecar-cpu-limit": "1", "dapr.io/sidecar-memory-limit": "128Mi" },
      ...{ "dapr.io/volume-mounts": "data:/data", "dapr.io/unix-domain-socket-path": "/sockets", "dapr.io/enable-debug": "true" },
      ...{
        "dapr.io/pluggable-components": "store",
        "dapr.io/sidecar-svc-annotations": "a=b",
        "dapr.io/sidecar-liveness-probe-delay-seconds": "0",
      },
    };
    const spec = {
      containers: [app, { ...app, name: "store" }],
      volumes: [{ name: "data", emptyDir: {} }],
      initContainers: [{ ...app, name: "wait" }],
    };
    const created = await it.create(pod("all", all, spec));
    assert.equal(sidecarsOf(created).length, 1);
    // As from `kubectl get -o yaml`, changed and applied under another name.
    const { name: _, uid: _uid, resourceVersion: _version, ...metadata } = created.metadata as Record<string, unknown>;
    const again = await it.create({ metadata: { ...metadata, name: "again" }, spec: created["spec"] });
    assert.equal(sidecarsOf(again).length, 1);
    const classic = await it.create(pod("classic", { ...all, "dapr.io/enable-native-sidecar": "false" }, spec));
    assert.deepEqual([sidecarsOf(classic).length, arrayOf(at(classic, "spec", "containers")).length], [1, 3]);
  });

  test("a Deployment's pods get theirs; in a labelled namespace without a word of their own", { timeout: 120_000 }, async () => {
    for (const labels of [{}, { "dapr.io/inject": "enabled" }]) {
      await using it = await setting(labels);
      const { client, name } = it.apps;
      const selector = { matchLabels: { run: "cart" } };
      const annotations = "dapr.io/inject" in labels ? {} : { "dapr.io/enabled": "true", "dapr.io/app-id": "cart" };
      const template = { metadata: { labels: { run: "cart" }, annotations }, spec: { containers: [app] } };
      await client.create(deployments, name, { metadata: { name: "cart" }, spec: { selector, template } }, signal);
      let found: KubeObject | undefined;
      await eventually("its pod is there", async () => {
        [found] = (await client.list(pods, { namespace: name, labelSelector: "run=cart" }, signal)).items;
        return found !== undefined;
      });
      const [sidecar, ...more] = sidecarsOf(found as KubeObject);
      const args = arrayOf(at(sidecar, "args"));
      assert.deepEqual([more.length, args[args.indexOf("--log-level") + 1]], [0, "debug"], "the namespace gives defaults");
      assert.deepEqual([found?.metadata.annotations?.["dapr.io/app-id"], found?.metadata.labels?.["dapr.io/app-id"]], ["cart", "cart"]);
    }
  });

  test("what is wrong is told to who applies it", { timeout: 120_000 }, async (context) => {
    await using it = await setting();
    await it.create(pod("first", on));
    const refusal = await refusalOf(it.create(pod("bad", { ...on, "dapr.io/log-level": "loud", "dapr.io/metrics-port": "3500" })));
    assert.match(refusal, /denied the request: .*log-level.*"loud" is not a known value.*; write one of debug/);
    const kubectl = findTool("kubectl");
    if (kubectl === null) return context.diagnostic("NOT RUN: kubectl (not found)");
    const args = ["--kubeconfig", kubeconfig ?? "", "-n", it.apps.name, "apply", "-f", "-"];
    const apply = (manifest: Json) => spawnSync(kubectl, args, { input: JSON.stringify(manifest), encoding: "utf8" });
    const applied = apply({ apiVersion: "v1", kind: "Pod", ...pod("odd", { ...on, "dapr.io/app-prot": "3000" }) });
    assert.equal(applied.status, 0, applied.stderr);
    const template = {
      metadata: { labels: { run: "x" }, annotations: { ...on, "dapr.io/log-level": "loud" } },
      spec: { containers: [app] },
    };
    const spec = { selector: { matchLabels: { run: "x" } }, template };
    const advised = apply({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "x" }, spec });
    assert.equal(advised.status, 0, advised.stderr);
    assert.match(advised.stderr, /Warning: its pods will be refused: .*dapr.io\/log-level.*"loud" is not a known value/);
    assert.match(applied.stderr, /Warning: .*dapr.io\/app-prot.*no effect; did you mean dapr.io\/app-port\?/);
  });

  test("without the injector annotated pods wait, and no others", { timeout: 120_000 }, async () => {
    await using it = await setting();
    await it.create(pod("first", on));
    it.injector.program.signal("SIGKILL");
    await it.injector.program.exited();
    const { client, name } = it.apps;
    assert.match(await refusalOf(client.create(pods, name, pod("second", on), signal)), /failed calling webhook/);
    assert.deepEqual(sidecarsOf(await client.create(pods, name, pod("plain", null), signal)), []);
  });
});
