// The verbs with -k as a user calls them: against an API server in memory, and a helm that writes down what it is asked.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { dump, load } from "js-yaml";
import { FakeKubeApi } from "../../lib/kube/fake-api.ts";
import { daprResources, kubeResources } from "../../lib/kube/resource.ts";
import type { Command, Surroundings } from "../console.ts";
import { UsageError } from "../flags.ts";
import { annotateCommand } from "./annotate.ts";
import { checkCommand } from "./check.ts";
import { componentsCommand } from "./components.ts";
import { configurationsCommand } from "./configurations.ts";
import { initCommand } from "./init.ts";
import { logsCommand } from "./logs.ts";
import { statusCommand } from "./status.ts";
import { uninstallCommand } from "./uninstall.ts";

/** A folder with a kubeconfig of `api` and a helm, and a terminal that keeps what is printed. */
class Desk implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "outrigger-cli-"));
  readonly api: FakeKubeApi;
  out = "";
  error = "";

  private constructor(api: FakeKubeApi) {
    this.api = api;
    const [context] = [{ name: "c", context: { cluster: "c", user: "u", namespace: "shop" } }];
    const clusters = [{ name: "c", cluster: { server: api.server, "insecure-skip-tls-verify": true } }];
    this.write("kubeconfig", dump({ "current-context": "c", contexts: [context], clusters, users: [{ name: "u", user: {} }] }));
    chmodSync(this.write("helm", `#!/bin/sh\nprintf '%s\\n' "$@" > "${this.folder}/asked"\nexit "\${HELM_EXIT:-0}"\n`), 0o755);
  }

  static async open(): Promise<Desk> {
    return new Desk(await FakeKubeApi.start());
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** Arguments that helm got. */
  get asked(): readonly string[] | null {
    const path = join(this.folder, "asked");
    return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : null;
  }

  run(command: Command, line: string, env: Readonly<Record<string, string>> = {}): Promise<number> {
    const around: Surroundings = {
      out: (text) => void (this.out += text),
      error: (text) => void (this.error += text),
      isTerminal: false,
      env: { PATH: `${this.folder}:/usr/bin:/bin`, KUBECONFIG: join(this.folder, "kubeconfig"), ...env },
      cwd: this.folder,
      pid: 1,
      daprd: "",
      sentry: "",
      chart: "/chart",
      version: "0.1.0",
      onStop() {},
    };
    return command.run(
      line.split(" ").filter((word) => word !== ""),
      around,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.folder, { recursive: true });
    await this.api[Symbol.asyncDispose]();
  }
}

const needed = [statusCommand, checkCommand, annotateCommand, componentsCommand, configurationsCommand, logsCommand, uninstallCommand];

test("verbs about Kubernetes say so without -k, and show their help", async () => {
  await using desk = await Desk.open();
  for (const command of needed) {
    await assert.rejects(desk.run(command, ""), (error) => error instanceof UsageError && /add -k/.test(error.message), command.name);
    assert.equal(await desk.run(command, "--help"), 0);
  }
  assert.equal(desk.api.requests.length, 0);
});

test("components -k lists those of the context's namespace, of another, or of all", async () => {
  await using desk = await Desk.open();
  const spec = { type: "state.redis", version: "v1", metadata: [] };
  desk.api.put(daprResources.components, { metadata: { name: "store", namespace: "shop" }, spec, scopes: ["a", "b"] });
  desk.api.put(daprResources.components, { metadata: { name: "far", namespace: "bar" }, spec });
  assert.equal(await desk.run(componentsCommand, "-k"), 0);
  const [header, row, ...more] = desk.out
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));
  assert.deepEqual(header, ["NAMESPACE", "NAME", "TYPE", "VERSION", "SCOPES", "CREATED", "AGE"]);
  assert.deepEqual(row?.slice(0, 5), ["shop", "store", "state.redis", "v1", "a,b"]);
  assert.deepEqual(more, []);
  desk.out = "";
  await desk.run(componentsCommand, "-k -A -o json");
  const all = JSON.parse(desk.out) as { kind: string; metadata: { name: string } }[];
  assert.deepEqual(all.map(({ kind, metadata }) => `${kind} ${metadata.name}`).toSorted(), ["Component far", "Component store"]);
  desk.out = "";
  await desk.run(componentsCommand, "-k --namespace bar -o yaml");
  assert.equal((load(desk.out) as unknown[]).length, 1);
  await assert.rejects(desk.run(componentsCommand, "-k -o xml"), /invalid output format "xml"/);
});

test("components -k names the remedy where nothing is installed", async () => {
  await using desk = await Desk.open();
  desk.api.fail("GET", /components$/, 404);
  await assert.rejects(desk.run(componentsCommand, "-k"), /the cluster knows no Components: outrigger init -k/);
});

test("configurations -k shows what is traced and measured", async () => {
  await using desk = await Desk.open();
  const spec = { tracing: { samplingRate: "0.5" }, metric: { enabled: false } };
  desk.api.put(daprResources.configurations, { metadata: { name: "traced", namespace: "shop" }, spec });
  desk.api.put(daprResources.configurations, { metadata: { name: "plain", namespace: "shop" }, spec: {} });
  await desk.run(configurationsCommand, "-k");
  const rows = desk.out
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/).slice(1, 4).join(" "));
  assert.deepEqual(rows.toSorted(), ["NAME TRACING-ENABLED METRICS-ENABLED", "plain false true", "traced true false"]);
});

test("status -k shows one line a service, the unhealthy pod's reason first", async () => {
  await using desk = await Desk.open();
  const pod = (name: string, app: string, state: object) => ({
    metadata: { name, namespace: "dapr-system", labels: { app } },
    spec: { containers: [{ name: app, image: "r.example:5000/outrigger:0.1.0" }] },
    status: { phase: "Running", containerStatuses: [{ ready: "running" in state, state }] },
  });
  desk.api.put(kubeResources.pods, pod("a", "dapr-operator", { running: {} }));
  desk.api.put(kubeResources.pods, pod("b", "dapr-operator", { waiting: { reason: "ImagePullBackOff" } }));
  desk.api.put(kubeResources.pods, pod("c", "dapr-sentry", { running: {} }));
  assert.equal(await desk.run(statusCommand, "-k"), 0);
  const rows = desk.out
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/).slice(0, 6));
  assert.deepEqual(rows, [
    ["NAME", "NAMESPACE", "HEALTHY", "STATUS", "REPLICAS", "VERSION"],
    ["dapr-operator", "dapr-system", "False", "Waiting (ImagePullBackOff)", "2", "0.1.0"],
    ["dapr-sentry", "dapr-system", "True", "Running", "1", "0.1.0"],
  ]);
});

test("status -k of an empty cluster names the remedy and fails", async () => {
  await using desk = await Desk.open();
  assert.equal(await desk.run(statusCommand, "-k"), 1);
  assert.match(desk.error, /outrigger init -k/);
});

test("logs -k needs an app with a sidecar", async () => {
  await using desk = await Desk.open();
  const annotations = { "dapr.io/app-id": "web" };
  desk.api.put(kubeResources.pods, { metadata: { name: "p", namespace: "shop", annotations }, spec: { containers: [{ name: "app" }] } });
  await assert.rejects(desk.run(logsCommand, "-k"), /say whose log/);
  await assert.rejects(desk.run(logsCommand, "-k -a other"), /no pod of app "other" in namespace shop/);
  await assert.rejects(desk.run(logsCommand, "-k -a web"), /have no sidecar: outrigger check -k/);
});

test("init -k asks helm to install the chart that comes with the CLI", async () => {
  await using desk = await Desk.open();
  assert.equal(await desk.run(initCommand, "-k -n mesh --wait --timeout 60 --enable-ha --image-registry r.example --set a=b,c=d"), 0);
  assert.deepEqual(desk.asked?.join(" ").split(" --"), [
    "upgrade",
    "install outrigger /chart",
    "namespace mesh",
    "create-namespace",
    "wait",
    "timeout 60s",
    "set global.tag=0.1.0",
    "set global.registry=r.example",
    "set global.mtls.enabled=true",
    "set global.ha.enabled=true",
    "set a=b",
    "set c=d",
  ]);
  assert.match(desk.error, /outrigger check -k -n mesh/);
});

test("init -k leaves definitions that are there to the operator", async () => {
  await using desk = await Desk.open();
  desk.api.put(kubeResources.customResourceDefinitions, { metadata: { name: "components.dapr.io", namespace: "" } });
  assert.equal(await desk.run(initCommand, "-k"), 0);
  assert.equal(desk.asked?.at(-1), "--skip-crds");
});

test("init -k fails as helm fails, and says where to look", async () => {
  await using desk = await Desk.open();
  assert.equal(await desk.run(initCommand, "-k", { HELM_EXIT: "3" }), 3);
  assert.match(desk.error, /exit code 3.*outrigger check -k/);
});

test("init -k without helm says how to get it", async () => {
  await using desk = await Desk.open();
  await assert.rejects(desk.run(initCommand, "-k", { PATH: "/nowhere" }), /no helm on PATH: install Helm/);
});

test("init takes a certificate authority whole or not at all", async () => {
  await using desk = await Desk.open();
  await assert.rejects(desk.run(initCommand, "-k --ca-root-certificate r.pem"), /a certificate authority is all of/);
  assert.equal(desk.asked, null);
  await desk.run(initCommand, "-k --ca-root-certificate r.pem --issuer-public-certificate i.pem --issuer-private-key k.pem --dry-run");
  assert.match(desk.out, /--set-file dapr_sentry.tls.root.certPEM=r.pem .*issuer.certPEM=i.pem .*issuer.keyPEM=k.pem/);
  assert.equal(desk.asked, null);
});

test("init without -k has nothing to install", async () => {
  await using desk = await Desk.open();
  assert.equal(await desk.run(initCommand, ""), 0);
  assert.equal(desk.asked, null);
});

test("uninstall -k leaves the definitions, and --all takes them too", async () => {
  await using desk = await Desk.open();
  const crd = { metadata: { name: "components.dapr.io", namespace: "" } };
  desk.api.put(kubeResources.customResourceDefinitions, crd);
  assert.equal(await desk.run(uninstallCommand, "-k"), 0);
  assert.deepEqual(desk.asked, ["uninstall", "outrigger", "--namespace", "dapr-system", "--wait", "--timeout", "300s"]);
  assert.notEqual(desk.api.find(kubeResources.customResourceDefinitions, "", "components.dapr.io"), null);
  assert.equal(await desk.run(uninstallCommand, "-k --all"), 0);
  assert.equal(desk.api.find(kubeResources.customResourceDefinitions, "", "components.dapr.io"), null);
  assert.match(desk.error, /Deleted with all their objects: components\.dapr\.io/);
});

test("annotate -k prints the manifest of a file or of a folder", async () => {
  await using desk = await Desk.open();
  desk.write("pod.yaml", dump({ kind: "Pod", metadata: { name: "p" } }));
  await desk.run(annotateCommand, "-k pod.yaml -a shop --cpu-limit 100m --enable-profile --log-level debug");
  assert.deepEqual((load(desk.out) as { metadata: { annotations: object } }).metadata.annotations, {
    "dapr.io/enabled": "true",
    "dapr.io/app-id": "shop",
    "dapr.io/log-level": "debug",
    "dapr.io/enable-profiling": "true",
    "dapr.io/sidecar-cpu-limit": "100m",
  });
  desk.out = "";
  await desk.run(annotateCommand, "-k .");
  assert.match(desk.out, /dapr\.io\/app-id: default-pod-p/);
  await assert.rejects(desk.run(annotateCommand, "-k missing.yaml"), /cannot read missing\.yaml/);
  await assert.rejects(desk.run(annotateCommand, "-k pod.yaml -r other"), /nothing in pod\.yaml makes pods, or has that name/);
  await assert.rejects(desk.run(annotateCommand, "-k pod.yaml -n x"), /--namespace needs --resource/);
});
