// `check` on installations that are well and on broken ones: every fault is found by the step that is about it, and a fix named.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KubeClient } from "../../lib/kube/client.ts";
import { KubeError } from "../../lib/kube/error.ts";
import { FakeKubeApi } from "../../lib/kube/fake-api.ts";
import { at, type Json } from "../../lib/kube/object.ts";
import { daprResources, type KubeResource, kubeResources } from "../../lib/kube/resource.ts";
import { testAuthority } from "../../lib/security/test-authority.ts";
import { type Result, runSections } from "./check-list.ts";
import { crdNames } from "./crds.ts";
import { injectionSection, sidecarsSection } from "./injection-checks.ts";
import { type CheckOptions, definitionsSection, kubernetesSection, servicesSection, trustSection } from "./installation-checks.ts";

const namespace = "dapr-system";
const never = new AbortController().signal;

/** A cluster as the chart and the services leave it; `break` changes one thing. */
class Installation implements AsyncDisposable {
  readonly api: FakeKubeApi;
  version: Json = { major: "1", minor: "34", gitVersion: "v1.34.4" };
  /** What the API server makes of a pod. */
  admit: (pod: Json) => Json = (pod) => (at(pod, "metadata", "annotations", "dapr.io/enabled") === "true" ? withSidecar(pod) : pod);

  private constructor(api: FakeKubeApi) {
    this.api = api;
  }

  static async start(): Promise<Installation> {
    const installation = new Installation(await FakeKubeApi.start());
    const { rootPem } = await authority;
    installation.put(kubeResources.namespaces, { metadata: { name: namespace, namespace: "" } });
    for (const name of crdNames) installation.put(kubeResources.customResourceDefinitions, definition(name));
    installation.put(daprResources.configurations, { metadata: { name: "daprsystem", namespace }, spec: { mtls: { enabled: true } } });
    installation.put(kubeResources.configMaps, { metadata: { name: "dapr-trust-bundle", namespace }, data: { "ca.crt": rootPem } });
    for (const name of ["dapr-sentry", "dapr-operator", "dapr-sidecar-injector"])
      installation.put(kubeResources.deployments, deployment(name));
    installation.put(kubeResources.mutatingWebhooks, webhooks());
    return installation;
  }

  put(resource: KubeResource, object: Json): void {
    this.api.put(resource, object);
  }

  /** Lines of the steps that are not passed: `state: step: cause`. */
  async check(now = Date.now()): Promise<readonly string[]> {
    const client = this.api.client();
    const options: CheckOptions = { client: this.#client(client), namespace, version: "0.1.0", now };
    const sections = [kubernetesSection, definitionsSection, trustSection, servicesSection, injectionSection, sidecarsSection];
    const results: Result[] = [];
    const report = { begin() {}, result: (result: Result) => void results.push(result) };
    const good = await runSections(
      sections.map((section) => section(options)),
      report,
      never,
    );
    client.close();
    assert.equal(good, !results.some(({ outcome }) => outcome.state === "failed"));
    for (const { outcome } of results) if ("fix" in outcome) assert.ok(outcome.fix.length > 10);
    return results.flatMap(({ step, outcome }) => (outcome.state === "passed" ? [] : [`${outcome.state}: ${step.name}: ${outcome.cause}`]));
  }

  #client(client: KubeClient): CheckOptions["client"] {
    return {
      server: "https://cluster.example",
      get: client.get,
      list: client.list,
      request: async ({ path, body }) => {
        if (path === "/version") return this.version;
        assert.equal(path, `/api/v1/namespaces/${namespace}/pods?dryRun=All`);
        return this.admit(body as Json);
      },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.api[Symbol.asyncDispose]();
  }
}

const authority = testAuthority();

function definition(name: string): Json {
  const clientConfig = { caBundle: "Y2E=", service: { namespace, name: "dapr-webhook" } };
  const conversion = name.startsWith("subscriptions") ? { conversion: { webhook: { clientConfig } } } : {};
  return { metadata: { name, namespace: "" }, spec: conversion, status: { conditions: [{ type: "Established", status: "True" }] } };
}

function deployment(name: string, { ready = 1, tag = "0.1.0" } = {}): Json {
  const template = { spec: { containers: [{ name, image: `registry.example:5000/outrigger:${tag}` }] } };
  return { metadata: { name, namespace }, spec: { replicas: 1, template }, status: { readyReplicas: ready } };
}

function webhooks(change: Json = {}): Json {
  const webhook = (name: string) => ({
    name,
    failurePolicy: "Fail",
    clientConfig: { caBundle: "Y2E=", service: { namespace, name: "dapr-sidecar-injector" } },
    ...change,
  });
  return { metadata: { name: "dapr-sidecar-injector", namespace: "" }, webhooks: [webhook("a.dapr.io"), webhook("b.dapr.io")] };
}

function withSidecar(pod: Json): Json {
  return { ...pod, spec: { initContainers: [{ name: "daprd" }], containers: at(pod, "spec", "containers") } };
}

function pod(name: string, annotations: Json, containers: readonly string[], phase = "Running"): Json {
  const spec = { containers: containers.map((container) => ({ name: container })) };
  return { metadata: { name, namespace: "shop", annotations }, spec, status: { phase } };
}

describe("check", () => {
  test("finds nothing at a healthy installation", async () => {
    await using installation = await Installation.start();
    installation.put(kubeResources.pods, pod("with", { "dapr.io/enabled": "true" }, ["app", "daprd"]));
    installation.put(kubeResources.pods, pod("done", { "dapr.io/enabled": "true" }, ["app"], "Succeeded"));
    installation.put(kubeResources.pods, pod("other", {}, ["app"]));
    assert.deepEqual(await installation.check(), []);
  });

  const faults: readonly [string, (installation: Installation) => void, RegExp][] = [
    ["an old cluster", (it) => (it.version = { minor: "27+", gitVersion: "v1.27.1" }), /^failed: the cluster is Kubernetes.*v1\.27\.1/],
    ["a cluster without native sidecars", (it) => (it.version = { minor: "28" }), /^warning: the cluster is Kubernetes/],
    [
      "no definition",
      (it) => it.api.remove(kubeResources.customResourceDefinitions, "", "components.dapr.io"),
      /^failed: the definition components/,
    ],
    [
      "a definition that is not established",
      (it) => it.put(kubeResources.customResourceDefinitions, { metadata: { name: "resiliencies.dapr.io", namespace: "" } }),
      /^failed: the definition resiliencies/,
    ],
    [
      "no CA bundle for conversion",
      (it) => it.put(kubeResources.customResourceDefinitions, { ...definition("subscriptions.dapr.io"), spec: {} }),
      /^failed: the API server can convert/,
    ],
    [
      "mTLS switched off",
      (it) => it.put(daprResources.configurations, { metadata: { name: "daprsystem", namespace }, spec: { mtls: { enabled: false } } }),
      /^warning: the Configuration daprsystem/,
    ],
    [
      "an empty trust bundle",
      (it) => it.put(kubeResources.configMaps, { metadata: { name: "dapr-trust-bundle", namespace } }),
      /^failed: the trust bundle.*no ca\.crt/,
    ],
    [
      "a trust bundle of nonsense",
      (it) => it.put(kubeResources.configMaps, { metadata: { name: "dapr-trust-bundle", namespace }, data: { "ca.crt": "x" } }),
      /^failed: the trust bundle.*cannot be read/,
    ],
    [
      "no operator",
      (it) => it.api.remove(kubeResources.deployments, namespace, "dapr-operator"),
      /^failed: dapr-operator is ready: there is no such/,
    ],
    [
      "a sentry that is not ready",
      (it) => it.put(kubeResources.deployments, deployment("dapr-sentry", { ready: 0 })),
      /^failed: dapr-sentry is ready: 0 of 1/,
    ],
    [
      "another version",
      (it) => it.put(kubeResources.deployments, deployment("dapr-sentry", { tag: "9" })),
      /^warning: dapr-sentry is of the CLI's version: it is 9/,
    ],
    ["no webhook", (it) => it.api.remove(kubeResources.mutatingWebhooks, "", "dapr-sidecar-injector"), /^failed: the injector's webhook/],
    [
      "a webhook without CA bundle",
      (it) => it.put(kubeResources.mutatingWebhooks, webhooks({ clientConfig: { service: { namespace } } })),
      /^failed: the injector's webhook.*a\.dapr\.io, b\.dapr\.io has no CA bundle/,
    ],
    [
      "a webhook that fails open",
      (it) => it.put(kubeResources.mutatingWebhooks, webhooks({ failurePolicy: "Ignore" })),
      /^warning: the injector's webhook.*lets pods start/,
    ],
    ["pods that are not injected", (it) => (it.admit = (made) => made), /^failed: an annotated pod gets a sidecar: the API server took/],
    ["pods that are all injected", (it) => (it.admit = withSidecar), /^failed: a pod without annotations is left alone/],
    [
      "an injector out of reach",
      (it) => {
        it.admit = (made) => {
          if (at(made, "metadata", "annotations", "dapr.io/enabled") === undefined) return made;
          throw new KubeError(500, "failed calling webhook: context deadline exceeded");
        };
      },
      /^failed: an annotated pod gets a sidecar: .*deadline exceeded/,
    ],
    [
      "a pod without its sidecar",
      (it) => it.put(kubeResources.pods, pod("p", { "dapr.io/enabled": " YES " }, ["app"])),
      /^failed: every pod that asks.*1 have none: shop\/p/,
    ],
    [
      "a sidecar that crashes",
      (it) => {
        const status = { phase: "Running", containerStatuses: [{ state: { waiting: { reason: "CrashLoopBackOff" } } }] };
        it.put(kubeResources.pods, { ...pod("p", {}, ["app", "daprd"]), status });
      },
      /^warning: the pods with a sidecar are ready: 1 are not: shop\/p/,
    ],
  ];

  for (const [name, spoil, expected] of faults) {
    test(`finds ${name}`, async () => {
      await using installation = await Installation.start();
      spoil(installation);
      const found = await installation.check();
      assert.match(found[0] ?? "nothing found", expected);
    });
  }

  test("goes no further without the namespace", async () => {
    await using installation = await Installation.start();
    installation.api.remove(kubeResources.namespaces, "", namespace);
    assert.deepEqual(await installation.check(), [`failed: the namespace ${namespace} exists: there is none of that name`]);
  });

  test("warns of roots that end soon, and fails when they have ended", async () => {
    await using installation = await Installation.start();
    const { root } = await authority;
    const day = 86_400_000;
    assert.deepEqual(await installation.check(root.notAfter - 10 * day), [
      "warning: the trust bundle has roots that are in force: they end in 10 days",
    ]);
    assert.deepEqual(await installation.check(root.notAfter + 2 * day), [
      "failed: the trust bundle has roots that are in force: they ended 2 days ago",
    ]);
  });

  test("judges nothing that it may not look at", async () => {
    await using installation = await Installation.start();
    installation.api.fail("GET", /^\/api\/v1\/pods$/, 403, 2);
    const found = await installation.check();
    assert.equal(found.length, 2);
    assert.match(found[0] as string, /^skipped: every pod that asks/);
  });
});
