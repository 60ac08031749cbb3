// What the services may do in a cluster: exactly what is listed here, and the webhook waits for nobody else's pods.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Render, type Rendered, value, withHelm } from "./render.ts";

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

function rulesOf(role: Rendered): readonly Rule[] {
  return value(role, "rules") as readonly Rule[];
}

/** One line a right: `resource[names] verbs`. */
function rights(role: Rendered): readonly string[] {
  return rulesOf(role).flatMap(({ resources, resourceNames = [], verbs }) =>
    resources.map((resource) => `${resource}${resourceNames.length > 0 ? `[${resourceNames.length}]` : ""} ${verbs.join(",")}`),
  );
}

describe("rights of the control plane", withHelm, () => {
  test("are no wildcards, nor impersonation or escalation", async () => {
    const render = await Render.of("global.argoRolloutServiceReconciler.enabled=true", "global.operator.watchdogCanPatchPodLabels=true");
    const rules = [...render.all("ClusterRole"), ...render.all("Role")].flatMap(rulesOf);
    assert.ok(rules.length > 15);
    const words = rules.flatMap(({ apiGroups, resources, verbs }) => [...apiGroups, ...resources, ...verbs]);
    for (const word of ["*", "impersonate", "escalate", "bind"]) assert.ok(!words.includes(word), word);
  });

  test("of sentry", async () => {
    const render = await Render.of();
    assert.deepEqual(rights(render.one("ClusterRole", "dapr-sentry")), ["tokenreviews create", "pods get", "configurations get"]);
    assert.deepEqual(rights(render.one("Role", "dapr-sentry")), ["secrets[1] get,patch", "configmaps[1] get,patch", "configurations get"]);
  });

  test("of the injector, which reads no Secret", async () => {
    const render = await Render.of();
    assert.deepEqual(rights(render.one("ClusterRole", "dapr-injector")), [
      "mutatingwebhookconfigurations[1] get,patch",
      "validatingwebhookconfigurations[1] get,patch",
      "namespaces get,list,watch",
      "components get,list",
    ]);
    assert.deepEqual(rights(render.one("Role", "dapr-injector")), ["configurations get"]);
  });

  test("of the operator, which lists no Secrets and deletes no CRD", async () => {
    const render = await Render.of();
    const cluster = rights(render.one("ClusterRole", "dapr-operator-admin"));
    assert.ok(cluster.includes("secrets get"));
    assert.ok(cluster.includes("customresourcedefinitions[7] get,create,patch"));
    assert.ok(cluster.includes("pods get,list,watch,delete"));
    assert.deepEqual(rights(render.one("Role", "dapr-operator")), ["leases[2] get,update,patch", "leases create"]);
  });

  test("in namespaced mode reach no other namespace's objects", async () => {
    const render = await Render.of("global.rbac.namespaced=true");
    const everywhere = render
      .all("ClusterRole")
      .filter(({ metadata }) => metadata.name.startsWith("dapr-"))
      .flatMap(rights);
    assert.deepEqual(everywhere.toSorted(), [
      "customresourcedefinitions[7] get,create,patch",
      "mutatingwebhookconfigurations[1] get,patch",
      "namespaces get,list,watch",
      "tokenreviews create",
      "validatingwebhookconfigurations[1] get,patch",
    ]);
    assert.ok(rights(render.one("Role", "dapr-operator")).includes("secrets get"));
  });

  test("let no app read Secrets unless asked for", async () => {
    const names = (await Render.of()).all("RoleBinding").map(({ metadata }) => metadata.name);
    assert.ok(!names.includes("dapr-secret-reader"));
  });
});

interface Webhook {
  readonly name: string;
  readonly failurePolicy: string;
  readonly matchConditions: readonly { readonly expression: string }[];
  readonly namespaceSelector?: unknown;
  readonly objectSelector?: unknown;
  readonly clientConfig: { readonly service: unknown; readonly caBundle?: string };
}

async function webhooks(...settings: readonly string[]): Promise<readonly Webhook[]> {
  const configuration = (await Render.of(...settings)).one("MutatingWebhookConfiguration", "dapr-sidecar-injector");
  return value(configuration, "webhooks") as readonly Webhook[];
}

describe("the injector's webhook", withHelm, () => {
  test("fails closed, in two entries that nothing but Dapr's pods meet", async () => {
    const [annotated, labelled, ...more] = await webhooks();
    assert.deepEqual(more, []);
    assert.equal(annotated?.name, "sidecar-injector.dapr.io");
    assert.equal(annotated.failurePolicy, "Fail");
    assert.deepEqual(
      annotated.matchConditions.map(({ expression }) => expression),
      ["has(object.metadata.annotations) && 'dapr.io/enabled' in object.metadata.annotations"],
    );
    assert.equal(labelled?.failurePolicy, "Fail");
    assert.deepEqual(labelled.namespaceSelector, { matchExpressions: [{ key: "dapr.io/inject", operator: "In", values: ["enabled"] }] });
    const service = { namespace: "dapr-system", name: "dapr-sidecar-injector", port: 443 };
    assert.deepEqual(annotated.clientConfig, { service: { ...service, path: "/mutate" } });
    assert.deepEqual(labelled.clientConfig, { service: { ...service, path: "/mutate/namespace" } });
  });

  test("takes Dapr's selectors in both", async () => {
    const found = await webhooks(
      "dapr_sidecar_injector.namespaceSelector.matchLabels.team=blue",
      "dapr_sidecar_injector.objectSelector.matchLabels.foo=bar",
      "dapr_sidecar_injector.webhookFailurePolicy=Ignore",
    );
    assert.deepEqual(
      found.map(({ failurePolicy }) => failurePolicy),
      ["Ignore", "Ignore"],
    );
    for (const { objectSelector } of found) assert.deepEqual(objectSelector, { matchLabels: { foo: "bar" } });
    assert.deepEqual(found[0]?.namespaceSelector, { matchLabels: { team: "blue" } });
    assert.deepEqual(found[1]?.namespaceSelector, {
      matchLabels: { team: "blue" },
      matchExpressions: [{ key: "dapr.io/inject", operator: "In", values: ["enabled"] }],
    });
  });
});

test("workloads are advised on by a webhook that nothing waits for", withHelm, async () => {
  const advice = (await Render.of()).one("ValidatingWebhookConfiguration", "dapr-sidecar-injector");
  const [webhook, ...more] = value(advice, "webhooks") as readonly Webhook[];
  assert.deepEqual([webhook?.failurePolicy, more.length], ["Ignore", 0]);
  assert.deepEqual(webhook?.clientConfig, {
    service: { namespace: "dapr-system", name: "dapr-sidecar-injector", path: "/advise", port: 443 },
  });
});

describe("network policies", withHelm, () => {
  test("let in connections to the ports of each service only", async () => {
    const ports = (await Render.of()).all("NetworkPolicy").map(({ metadata, ...policy }) => {
      const open = value(policy, "spec.ingress.0.ports") as readonly { port: number }[];
      return `${metadata.name} ${open.map(({ port }) => port).join(" ")}`;
    });
    assert.deepEqual(ports.toSorted(), [
      "dapr-operator 6500 19443 8080 9090",
      "dapr-sentry 50001 8080 9090",
      "dapr-sidecar-injector 4000 8080 9090",
    ]);
  });

  test("can be left out", async () => {
    assert.deepEqual((await Render.of("global.networkPolicy.enabled=false")).all("NetworkPolicy"), []);
  });
});
