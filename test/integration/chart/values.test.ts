// Names of values in Dapr's chart mean the same here: each row sets one (or a few), and says what must come of it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { environmentOf, podOf, Render, renderText, value, withHelm } from "./render.ts";

interface Row {
  readonly set: readonly string[];
  readonly kind: string;
  readonly name: string;
  readonly path: string;
  readonly becomes: unknown;
}

const deployments = ["dapr-sentry", "dapr-operator", "dapr-sidecar-injector"];
const service = { "dapr-sentry": "sentry", "dapr-operator": "operator", "dapr-sidecar-injector": "injector" } as Record<string, string>;

const rows: readonly Row[] = [
  ...deployments.flatMap((name): Row[] => {
    const kind = "Deployment";
    const subchart = name.replaceAll("-", "_");
    const pod = "spec.template.spec";
    return [
      { kind, name, set: ["global.ha.enabled=true"], path: "spec.replicas", becomes: 3 },
      { kind, name, set: ["global.ha.enabled=true", "global.ha.replicaCount=5"], path: "spec.replicas", becomes: 5 },
      { kind, name, set: [`${subchart}.replicaCount=2`], path: "spec.replicas", becomes: 2 },
      { kind, name, set: ["global.imagePullPolicy=Always"], path: `${pod}.containers.0.imagePullPolicy`, becomes: "Always" },
      { kind, name, set: ["global.imagePullSecrets=one"], path: `${pod}.imagePullSecrets`, becomes: [{ name: "one" }] },
      {
        kind,
        name,
        set: ["global.imagePullSecrets[0]=one", "global.imagePullSecrets[1].name=two"],
        path: `${pod}.imagePullSecrets`,
        becomes: [{ name: "one" }, { name: "two" }],
      },
      { kind, name, set: ["global.nodeSelector.disk=fast"], path: `${pod}.nodeSelector`, becomes: { disk: "fast" } },
      { kind, name, set: ["global.tolerations[0].key=a"], path: `${pod}.tolerations`, becomes: [{ key: "a" }] },
      { kind, name, set: ["global.priorityClassName=high"], path: `${pod}.priorityClassName`, becomes: "high" },
      { kind, name, set: ["global.labels.team=blue"], path: "spec.template.metadata.labels.team", becomes: "blue" },
      { kind, name, set: ["global.k8sLabels.cost=me"], path: "metadata.labels.cost", becomes: "me" },
      { kind, name, set: [`${subchart}.deploymentAnnotations.a=b`], path: "spec.template.metadata.annotations.a", becomes: "b" },
      { kind, name, set: [`${subchart}.resources.limits.cpu=1`], path: `${pod}.containers.0.resources.limits.cpu`, becomes: 1 },
      {
        kind,
        name,
        set: [`${subchart}.readinessProbe.periodSeconds=9`],
        path: `${pod}.containers.0.readinessProbe.periodSeconds`,
        becomes: 9,
      },
      {
        kind,
        name,
        set: [`global.initContainers.${service[name]}[0].name=first`],
        path: `${pod}.initContainers`,
        becomes: [{ name: "first" }],
      },
      { kind, name, set: [`global.extraContainers.${service[name]}[0].name=more`], path: `${pod}.containers.1.name`, becomes: "more" },
      {
        kind,
        name,
        set: [`${subchart}.debug.enabled=true`, `${subchart}.debug.port=4444`],
        path: `${pod}.containers.0.command`,
        becomes: ["/dlv"],
      },
      {
        kind,
        name,
        set: [`${subchart}.debug.enabled=true`, `${subchart}.debug.port=4444`],
        path: `${pod}.containers.0.args.0`,
        becomes: "--listen=127.0.0.1:4444",
      },
      {
        kind,
        name,
        set: [`${subchart}.runAsNonRoot=false`],
        path: `${pod}.containers.0.securityContext.runAsUser`,
        becomes: 1000,
      },
    ];
  }),
  {
    set: ["global.ha.enabled=true"],
    kind: "PodDisruptionBudget",
    name: "dapr-operator-disruption-budget",
    path: "spec.maxUnavailable",
    becomes: "25%",
  },
  {
    set: ["global.ha.enabled=true", "global.ha.disruption.minimumAvailable=1"],
    kind: "PodDisruptionBudget",
    name: "dapr-sentry-budget",
    path: "spec",
    becomes: { minAvailable: 1, selector: { matchLabels: { app: "dapr-sentry" } } },
  },
  {
    set: ["dapr_operator.apiService.annotations.a=b", "global.prometheus.enabled=false"],
    kind: "Service",
    name: "dapr-api",
    path: "metadata.annotations",
    becomes: { a: "b" },
  },
  { set: ["dapr_sentry.service.type=LoadBalancer"], kind: "Service", name: "dapr-sentry", path: "spec.type", becomes: "LoadBalancer" },
  { set: ["global.mtls.enabled=false"], kind: "Configuration", name: "daprsystem", path: "spec.mtls.enabled", becomes: false },
  {
    set: ["global.mtls.sentryAddress=ca.example:1"],
    kind: "Configuration",
    name: "daprsystem",
    path: "spec.mtls.sentryAddress",
    becomes: "ca.example:1",
  },
  {
    set: ["dapr_config.dapr_default_system_config_name=mine"],
    kind: "Configuration",
    name: "mine",
    path: "spec.mtls.workloadCertTTL",
    becomes: "24h",
  },
  {
    set: ["dapr_rbac.serviceAccount.operator.annotations.role=x"],
    kind: "ServiceAccount",
    name: "dapr-operator",
    path: "metadata.annotations.role",
    becomes: "x",
  },
  {
    set: ["dapr_rbac.secretReader.enabled=true", "dapr_rbac.secretReader.namespace=shop"],
    kind: "Role",
    name: "secret-reader",
    path: "metadata.namespace",
    becomes: "shop",
  },
  {
    set: ["global.priorityClassName=system-cluster-critical"],
    kind: "ResourceQuota",
    name: "system-critical-quota",
    path: "spec.scopeSelector.matchExpressions.0.values.0",
    becomes: "system-cluster-critical",
  },
  {
    set: ["global.prometheus.serviceMonitor.enabled=true"],
    kind: "ServiceMonitor",
    name: "dapr-operator",
    path: "spec.selector.matchLabels.app",
    becomes: "dapr-operator",
  },
];

describe("values of the chart", withHelm, () => {
  test("change what Dapr's do", async (t) => {
    for (const { set, kind, name, path, becomes } of rows) {
      await t.test(`${set.join(" ")}: ${kind} ${name}`, async () => {
        assert.deepEqual(value((await Render.of(...set)).one(kind, name), path), becomes);
      });
    }
  });

  test("become flags of the services", async () => {
    const sets = [
      "global.logAsJson=true",
      "global.prometheus.port=9999",
      "global.mtls.controlPlaneTrustDomain=corp.example",
      "dapr_sentry.jwt.enabled=true",
      "dapr_sentry.jwt.keyID=k1",
      "dapr_operator.logLevel=debug",
      "dapr_operator.watchInterval=once",
      "dapr_operator.watchNamespace=shop",
      "dapr_operator.serviceReconciler.enabled=false",
      "global.operator.watchdogCanPatchPodLabels=true",
      "dapr_sidecar_injector.healthzPort=8181",
      "dapr_sidecar_injector.webhookPort=10250",
      "global.scheduler.enabled=false",
    ];
    const render = await Render.of(...sets);
    const has = (name: string, ...flags: readonly string[]) => {
      const line = render.container(name).args?.join(" ") ?? "";
      for (const flag of flags) assert.ok(line.includes(flag), `${name}: ${flag} in ${line}`);
    };
    for (const name of deployments) has(name, "--log-as-json", "--enable-metrics --metrics-port 9999");
    has("dapr-sentry", "--mode kubernetes", "--trust-domain corp.example", "--jwt-enabled=true", "--jwt-key-id=k1");
    has("dapr-operator", "--log-level debug", "--watch-interval once", "--watch-namespace shop", "--disable-service-reconciler");
    has("dapr-operator", "--watchdog-can-patch-pod-labels", "--trust-anchors-file /var/run/secrets/dapr.io/tls/ca.crt");
    has("dapr-sidecar-injector", "--healthz-port 8181", "--port 10250", "--scheduler-enabled=false");
  });

  test("become the injector's environment", async () => {
    const render = await Render.of(
      "dapr_sidecar_injector.image.name=registry.example/daprd:1.18.3",
      "dapr_sidecar_injector.sidecarRunAsUser=1234",
      "dapr_sidecar_injector.sidecarRunAsGroup=2345",
      "dapr_sidecar_injector.sidecarDropALLCapabilities=false",
      "dapr_sidecar_injector.nativeSidecar=true",
      "dapr_sidecar_injector.allowedServiceAccounts=ns1:sa1\\,ns2:*",
      "dapr_sidecar_injector.extraEnvVars.OTEL_SERVICE_NAME=me",
      "global.actors.enabled=false",
      "global.reminders.serviceName=scheduler",
    );
    const env = environmentOf(render.container("dapr-sidecar-injector"));
    const expected = {
      SIDECAR_IMAGE: "registry.example/daprd:1.18.3",
      SIDECAR_RUN_AS_NON_ROOT: "true",
      SIDECAR_RUN_AS_USER: "1234",
      SIDECAR_RUN_AS_GROUP: "2345",
      SIDECAR_DROP_ALL_CAPABILITIES: "false",
      NATIVE_SIDECAR_ENABLED: "true",
      ALLOWED_SERVICE_ACCOUNTS: "ns1:sa1,ns2:*",
      OTEL_SERVICE_NAME: "me",
      ACTORS_ENABLED: "false",
      REMINDERS_SERVICE_NAME: "scheduler",
      REMINDERS_SERVICE_ADDRESS: "dapr-scheduler-server:50006",
      DAPR_TRUST_ANCHORS_FILE: "/var/run/secrets/dapr.io/tls/ca.crt",
      DAPR_SENTRY_ADDRESS: "dapr-sentry.dapr-system.svc.cluster.local:443",
    };
    assert.deepEqual(Object.fromEntries(Object.keys(expected).map((name) => [name, env.get(name)])), expected);
    const tolerations: unknown = JSON.parse(env.get("IGNORE_ENTRYPOINT_TOLERATIONS") ?? "");
    assert.equal((tolerations as unknown[]).length, 4);
  });

  test("of a certificate authority are all taken, or none", async () => {
    const sets = ["issuer.certPEM=cert", "issuer.keyPEM=key", "root.certPEM=root"].map((set) => `dapr_sentry.tls.${set}`);
    const render = await Render.of(...sets);
    const secret = value(render.one("Secret", "dapr-trust-bundle"), "data") as Record<string, string>;
    const decoded = Object.fromEntries(Object.entries(secret).map(([name, text]) => [name, Buffer.from(text, "base64").toString()]));
    assert.deepEqual(decoded, { "issuer.crt": "cert", "issuer.key": "key", "ca.crt": "root" });
    assert.deepEqual(value(render.one("ConfigMap", "dapr-trust-bundle"), "data"), { "ca.crt": "root" });
    await assert.rejects(renderText(sets[0] as string), /needs all of issuer.certPEM, issuer.keyPEM and root.certPEM/);
  });

  test("of Dapr's chart for placement and scheduler are accepted", async () => {
    await renderText("dapr_placement.cluster.forceInMemoryLog=true", "dapr_scheduler.cluster.storageSize=16Gi", "dapr_placement.ha=true");
  });

  for (const [set, message] of [
    ["dapr_sidecar_injector.webhookFailurePolicy=Maybe", /webhookFailurePolicy/],
    ["dapr_operator.replicaCount=many", /replicaCount/],
    ["global.ha.podAntiAffinityPolicy=required", /podAntiAffinityPolicy/],
    ["global.mtls.workloadCertTTL=soon", /workloadCertTTL/],
    ["dapr_sidecar_injector.sidecarRunAsUser=0", /sidecarRunAsUser must be positive/],
  ] as const) {
    test(`that are wrong are refused by name: ${set}`, async () => {
      await assert.rejects(renderText(set), message);
    });
  }

  test("dapr_sidecar_injector.enabled=false leaves nothing of the injector but its rights", async () => {
    const render = await Render.of("dapr_sidecar_injector.enabled=false");
    const left = render.objects.filter(({ metadata }) => metadata.name === "dapr-sidecar-injector").map(({ kind }) => kind);
    assert.deepEqual(left, []);
    assert.equal(podOf(render.one("Deployment", "dapr-operator")).containers.length, 1);
  });
});
