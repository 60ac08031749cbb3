// What every user of the chart may rely on: it renders to the same bytes each time, makes nothing secret, its names are those
// a Go sidecar looks for, and its pods pass the restricted Pod Security level.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { load } from "js-yaml";
import { chartFolder, helmRun, namespace, podOf, Render, renderText, value, withHelm } from "./render.ts";

const root = resolve(chartFolder, "../..");

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesBelow(path) : [path];
  });
}

describe("the chart", withHelm, () => {
  test("passes helm lint --strict", async () => {
    await helmRun(["lint", "--strict", "--quiet", chartFolder]);
  });

  test("renders to the same bytes twice, in HA mode too", async () => {
    assert.equal(await renderText(), await renderText());
    assert.equal(await renderText("global.ha.enabled=true"), await renderText("global.ha.enabled=true"));
  });

  test("has no secret in it", async () => {
    const { one, all } = bound(await Render.of());
    assert.deepEqual(
      all("Secret").map(({ metadata }) => metadata.name),
      ["dapr-trust-bundle"],
    );
    assert.equal(value(one("Secret", "dapr-trust-bundle"), "data"), undefined);
    assert.equal(value(one("ConfigMap", "dapr-trust-bundle"), "data"), undefined);
  });

  test("has the Services that sidecars look for, with their ports", async () => {
    const services = (await Render.of()).all("Service").map((service) => {
      const ports = value(service, "spec.ports") as readonly { name?: string; port: number; targetPort: unknown }[];
      const shown = ports.map(({ name = "", port, targetPort }) => `${name} ${port}→${targetPort}`);
      return [service.metadata.name, value(service, "spec.selector.app"), shown.join(", ")].join(" | ");
    });
    assert.deepEqual(services.toSorted(), [
      "dapr-api | dapr-operator | grpc 443→6500, legacy 80→6500, metrics 9090→9090",
      "dapr-sentry | dapr-sentry | grpc 443→50001, metrics 9090→9090",
      "dapr-sidecar-injector | dapr-sidecar-injector | https 443→https, metrics 9090→9090",
      "dapr-webhook | dapr-operator |  443→19443",
    ]);
  });

  test("has the Configuration daprsystem", async () => {
    assert.deepEqual(value((await Render.of()).one("Configuration", "daprsystem"), "spec.mtls"), {
      enabled: true,
      workloadCertTTL: "24h",
      allowedClockSkew: "15m",
      controlPlaneTrustDomain: "cluster.local",
      sentryAddress: `dapr-sentry.${namespace}.svc.cluster.local:443`,
    });
  });

  test("puts all into the namespace of the release, or into none", async () => {
    const { objects } = await Render.of();
    assert.deepEqual([...new Set(objects.map(({ metadata }) => metadata.namespace))].toSorted(), [namespace, undefined]);
  });

  test("starts each service of the one image by its own command", async () => {
    const render = await Render.of("global.registry=registry.example:5000/team", "global.tag=7");
    const started = render.all("Deployment").map(({ metadata: { name } }) => {
      const { image, command } = render.container(name);
      return `${name} ${image} ${command?.join(" ")}`;
    });
    assert.deepEqual(started.toSorted(), [
      "dapr-operator registry.example:5000/team/outrigger:7 /operator",
      "dapr-sentry registry.example:5000/team/outrigger:7 /sentry",
      "dapr-sidecar-injector registry.example:5000/team/outrigger:7 /injector",
    ]);
  });

  test("runs pods that pass the restricted Pod Security level, the one of helm test too", async () => {
    const render = await Render.of();
    const pods = [...render.all("Deployment"), ...render.all("Pod")];
    assert.equal(pods.length, 4);
    for (const pod of pods) {
      const { containers, ...spec } = podOf(pod);
      for (const field of ["hostNetwork", "hostPID", "hostIPC"]) assert.equal(spec[field], undefined, `${pod.metadata.name} ${field}`);
      for (const { name, securityContext } of containers) {
        assert.deepEqual(
          securityContext,
          {
            runAsNonRoot: true,
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"] },
            seccompProfile: { type: "RuntimeDefault" },
          },
          `${pod.metadata.name} ${name}`,
        );
      }
    }
  });

  test("keeps rights for helm test out of the release", async () => {
    const render = await Render.of();
    const checks = render.objects.filter(({ metadata }) => metadata.name.startsWith("outrigger-check"));
    assert.equal(checks.length, 6);
    for (const { kind, metadata } of checks) assert.equal(metadata.annotations?.["helm.sh/hook"], "test", kind);
  });
});

describe("the chart's files", () => {
  test("call nothing that answers differently each time", () => {
    const banned =
      /\b(lookup|genCA\w*|genSelfSignedCert\w*|genSignedCert\w*|genPrivateKey|rand[A-Z]\w*|uuidv4|shuffle|now|date\w*|getHostByName)\b/;
    const templates = filesBelow(chartFolder).filter((file) => file.includes("/templates/"));
    assert.ok(templates.length > 20);
    const actions = templates.flatMap((file) =>
      (readFileSync(file, "utf8").match(/\{\{[\s\S]*?\}\}/g) ?? [])
        .filter((action) => !/^\{\{-?\s*\/\*/.test(action) && banned.test(action))
        .map((action) => `${file}: ${action}`),
    );
    assert.deepEqual(actions, []);
  });

  test("carry the version of the package", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const charts = filesBelow(chartFolder).filter((file) => file.endsWith("/Chart.yaml"));
    assert.equal(charts.length, 6);
    for (const file of charts) {
      const chart = load(readFileSync(file, "utf8")) as { version: string; appVersion: string; dependencies?: { version: string }[] };
      const versions = [chart.version, chart.appVersion, ...(chart.dependencies ?? []).map((dependency) => dependency.version)];
      assert.deepEqual([...new Set(versions)], [version], file);
    }
    const values = load(readFileSync(join(chartFolder, "values.yaml"), "utf8"));
    assert.equal(value(values, "global.tag"), version);
  });
});

function bound(render: Render): { one: Render["one"]; all: Render["all"] } {
  return { one: render.one.bind(render), all: render.all.bind(render) };
}
