// The operator as a process, on a real API server and a real sentry: what sidecars get of what is applied, and how it fares
// when it is killed, doubled, cut off and refused.
import assert from "node:assert/strict";
import { mkdtempDisposable, readFile, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { arrayOf, at, type KubeObject, objectOf, textOf } from "../../../lib/kube/object.ts";
import { daprResources, kubeResources } from "../../../lib/kube/resource.ts";
import {
  ComponentUpdateRequestSchema,
  ListComponentsRequestSchema,
  ListSubscriptionsRequestSchema,
  Operator as OperatorService,
} from "../../../lib/proto/gen/dapr/proto/operator/v1/operator_pb.ts";
import { parseYaml } from "../../../lib/resources/yaml.ts";
import { type GrpcChannel, GrpcCode, GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import { runOnlyIf } from "../../harness/cluster-tools.ts";
import { findControlPlane, type TestNamespace, testNamespace } from "../../harness/control-plane.ts";
import { type Operator, type OperatorOptions, operator } from "../../harness/operator.ts";
import { type Sentry, sentry } from "../../harness/sentry.ts";

const { components, configurations } = daprResources;
const { deployments, leases, secrets, services } = kubeResources;
const { kubeconfig, reason } = findControlPlane();
const signal = AbortSignal.timeout(300_000);

interface Setting extends AsyncDisposable {
  readonly namespace: TestNamespace;
  readonly ca: Sentry;
  readonly run: (more?: Partial<OperatorOptions>) => Promise<Operator>;
}

/** A namespace with a control plane's Configuration in it, and sentry. */
async function setting(): Promise<Setting> {
  // Disposed at the end of this function unless it is moved into what it returns.
  await using all = new AsyncDisposableStack();
  const namespace = all.use(await testNamespace(kubeconfig ?? "", "operator"));
  const ca = all.use(await sentry({ env: { NAMESPACE: namespace.name } }));
  const mtls = { enabled: true, controlPlaneTrustDomain: "localhost", sentryAddress: ca.address };
  await namespace.client.create(configurations, namespace.name, { metadata: { name: "daprsystem" }, spec: { mtls } }, signal);
  const stack = all.move();
  return {
    namespace,
    ca,
    run: async (more = {}) => stack.use(await operator({ kubeconfig: kubeconfig ?? "", namespace: namespace.name, sentry: ca, ...more })),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const component = (name: string, metadata: readonly object[] = []) => ({
  metadata: { name },
  spec: { type: "state.in-memory", version: "v1", metadata },
});
const parsed = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString("utf8")) as KubeObject;

async function listed(channel: GrpcChannel, namespace: string): Promise<readonly KubeObject[]> {
  const { message } = await channel.unary(OperatorService.method.listComponents, create(ListComponentsRequestSchema, { namespace }), {
    timeoutMs: 10_000,
  });
  return message.components.map(parsed);
}

function workload(name: string): object {
  const annotations = { "dapr.io/enabled": "true", "dapr.io/app-id": name };
  const template = {
    metadata: { labels: { app: name }, annotations },
    spec: { containers: [{ name: "app", image: "docker.io/local/app:1" }] },
  };
  return { metadata: { name }, spec: { replicas: 0, selector: { matchLabels: { app: name } }, template } };
}

/** Relays to the API server, until it is told to cut. */
async function relay(target: URL) {
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((near) => {
    if (!open) return void near.destroy();
    const far = connect(Number(target.port), target.hostname);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => sockets.delete(one) && other.destroy());
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      open = false;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      open = true;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("operator on a real API server", runOnlyIf("the operator on Kubernetes", reason), () => {
  test("what is applied reaches a sidecar within two seconds, with its secrets, and nobody of another namespace", async () => {
    await using given = await setting();
    const { namespace } = given;
    const it = await given.run();
    const channel = await it.channel("shop");
    const stream = channel.serverStream(
      OperatorService.method.componentUpdate,
      create(ComponentUpdateRequestSchema, { namespace: namespace.name }),
    );
    const events = stream.messages[Symbol.asyncIterator]();
    const first = events.next();
    await it.eventually("the stream is open", async () =>
      /streams\{kind="components"\} 1/.test(await (await fetch(`http://127.0.0.1:${it.metricsPort}`)).text()),
    );
    await namespace.client.create(secrets, namespace.name, { metadata: { name: "s" }, stringData: { password: "p4ss" } }, signal);
    const applied = performance.now();
    await namespace.client.create(
      components,
      namespace.name,
      component("store", [{ name: "password", secretKeyRef: { name: "s", key: "password" } }]),
      signal,
    );
    const { value: event } = await first;
    assert.ok(performance.now() - applied < 2000, `${performance.now() - applied} ms`);
    assert.equal(textOf(at(parsed(event?.component ?? new Uint8Array()), "metadata", "name")), "store");
    const [store] = await listed(channel, namespace.name);
    assert.deepEqual((at(store, "spec", "metadata") as { value: string }[])[0]?.value, Buffer.from("p4ss").toString("base64"));
    const stranger = await it.channel("shop", "elsewhere");
    const denied = (error: unknown) => error instanceof GrpcStatusError && error.code === GrpcCode.PERMISSION_DENIED;
    await assert.rejects(listed(stranger, namespace.name), denied);
    stream.cancel();
  });

  test("killed in the middle of its work it finishes when it is back; two of them lead one at a time", async () => {
    await using given = await setting();
    const { namespace } = given;
    const names = Array.from({ length: 30 }, (_, index) => `app-${index}`);
    const env = (name: string) => ({ env: { NAMESPACE: namespace.name, ENABLE_WEBHOOKS: "false", POD_NAME: name } });
    const one = await given.run(env("one"));
    await one.program.line(/Leading: one/);
    await Promise.all(
      names.map((name) => namespace.client.create(deployments, namespace.name, workload(name) as Record<string, unknown>, signal)),
    );
    const made = async () => (await namespace.client.list(services, { namespace: namespace.name }, signal)).items.length;
    await one.eventually("the first Services are there", async () => (await made()) > 0);
    await one.kill();
    await one.startProcess();
    await one.eventually("all Services are there", async () => (await made()) === names.length);
    const two = await given.run(env("two"));
    assert.ok(!two.program.lines.some((line) => /Leading: two/.test(line)));
    await one.kill("SIGTERM");
    await two.program.line(/Leading: two/);
    const lease = await namespace.client.get(leases, namespace.name, "operator.dapr.io", signal);
    assert.equal(at(lease, "spec", "holderIdentity"), "two");
    await namespace.client.delete(services, namespace.name, "app-7-dapr", {}, signal);
    await two.eventually("the new leader makes the Service again", async () => (await made()) === names.length);
  });

  test("cut off from the API server it goes on answering, and catches up when it is back", async () => {
    await using given = await setting();
    const { namespace } = given;
    await using folder = await mkdtempDisposable(join(tmpdir(), "operator-"));
    await using through = await relay(new URL(namespace.client.server));
    const file = join(folder.path, "kubeconfig");
    const text = await readFile(kubeconfig ?? "", "utf8");
    await writeFile(file, text.replaceAll(namespace.client.server, `https://127.0.0.1:${through.port}`));
    await namespace.client.create(components, namespace.name, component("before"), signal);
    const it = await given.run({ kubeconfig: file });
    const channel = await it.channel("shop");
    through.cut();
    await it.program.line(/Lost touch with components/);
    assert.deepEqual(
      (await listed(channel, namespace.name)).map(({ metadata }) => metadata.name),
      ["before"],
    );
    await namespace.client.create(components, namespace.name, component("meanwhile"), signal);
    await namespace.client.delete(components, namespace.name, "before", {}, signal);
    through.mend();
    await it.eventually("the new component is listed and the old one is not", async () => {
      return (await listed(channel, namespace.name)).map(({ metadata }) => metadata.name).join() === "meanwhile";
    });
  });

  test("a right that is missing stops nothing else: no Lease, no CRDs, no Services, and the API answers", async () => {
    await using given = await setting();
    const { namespace } = given;
    await using folder = await mkdtempDisposable(join(tmpdir(), "operator-"));
    const file = await limitedKubeconfig(namespace, join(folder.path, "kubeconfig"));
    await namespace.client.create(components, namespace.name, component("store"), signal);
    const it = await given.run({
      kubeconfig: file,
      flags: { "apply-crds": true },
      env: { NAMESPACE: namespace.name, ENABLE_WEBHOOKS: "true" },
    });
    await it.program.line(/The Lease operator.dapr.io cannot be used, trying again: .*403/);
    const channel = await it.channel("shop");
    assert.deepEqual(
      (await listed(channel, namespace.name)).map(({ metadata }) => metadata.name),
      ["store"],
    );
    assert.ok(await it.healthy());
  });

  test("a Subscription is written in the old version, listed in the new one, and its rules survive the old", async () => {
    await using given = await setting();
    const { namespace } = given;
    const flags = { "apply-crds": true };
    const it = await given.run({ flags, env: { NAMESPACE: namespace.name, ENABLE_WEBHOOKS: "true" } });
    await using _reachable = await reachableWebhook(namespace, it.webhookPort);
    const { subscriptions, subscriptionsV1 } = daprResources;
    const common = { pubsubname: "p", topic: "t" };
    const old = { metadata: { name: "old" }, spec: { ...common, route: "/r" } };
    // The API server takes a moment to see where the webhook is.
    const created = () =>
      namespace.client.create(subscriptionsV1, namespace.name, old, signal).then(
        () => true,
        () => false,
      );
    await it.eventually("the webhook converts", created);
    const routes = { default: "/d", rules: [{ match: "true", path: "/x" }] };
    await namespace.client.create(subscriptions, namespace.name, { metadata: { name: "new" }, spec: { ...common, routes } }, signal);
    const asOld = await namespace.client.get(subscriptionsV1, namespace.name, "new", signal);
    assert.equal(at(asOld, "spec", "route"), "/d");
    await namespace.client.update(subscriptionsV1, namespace.name, "new", { ...asOld, spec: { ...common, route: "/e" } }, signal);
    const channel = await it.channel("shop");
    const request = create(ListSubscriptionsRequestSchema, { namespace: namespace.name });
    const listedRoutes = async () => {
      const { message } = await channel.unary(OperatorService.method.listSubscriptionsV2, request);
      const pairs = message.subscriptions.map(parsed).map((one) => [one.metadata.name, at(one, "spec", "routes")]);
      return JSON.stringify(pairs.toSorted());
    };
    const expected = JSON.stringify([
      ["new", { ...routes, default: "/e" }],
      ["old", { default: "/r" }],
    ]);
    await it.eventually("both are listed with their routes", async () => (await listedRoutes()) === sortedKeys(expected));
  });
});

/** The API server writes fields in their own order; here there are two, and the same ones. */
function sortedKeys(text: string): string {
  return JSON.stringify(JSON.parse(text), (_key, value: unknown) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  });
}

/** Leads the API server to the webhook on loopback, and afterwards where it is in a cluster. */
async function reachableWebhook({ name, client }: TestNamespace, port: number): Promise<AsyncDisposable> {
  const { customResourceDefinitions } = kubeResources;
  const crd = "subscriptions.dapr.io";
  const lead = (to: number) => {
    const patch = { spec: { conversion: { webhook: { clientConfig: { service: { port: to } } } } } };
    return client.patch(customResourceDefinitions, null, crd, "merge", patch, signal);
  };
  const spec = { type: "ExternalName", externalName: "localhost", ports: [{ port }] };
  await client.create(services, name, { metadata: { name: "dapr-webhook" }, spec }, signal);
  await lead(port);
  return { [Symbol.asyncDispose]: async () => void (await lead(443)) };
}

/** Of a service account that may read what sidecars are told, and nothing else. */
async function limitedKubeconfig({ name, client }: TestNamespace, file: string): Promise<string> {
  const rbac = (plural: string, kind: string) => ({ group: "rbac.authorization.k8s.io", version: "v1", plural, kind, namespaced: true });
  await client.create(kubeResources.serviceAccounts, name, { metadata: { name: "limited" } }, signal);
  const rules = [
    { apiGroups: ["dapr.io"], resources: ["*"], verbs: ["get", "list", "watch"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] },
  ];
  await client.create(rbac("roles", "Role"), name, { metadata: { name: "limited" }, rules }, signal);
  const binding = {
    subjects: [{ kind: "ServiceAccount", name: "limited" }],
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "limited" },
  };
  await client.create(rbac("rolebindings", "RoleBinding"), name, { metadata: { name: "limited" }, ...binding }, signal);
  const path = `/api/v1/namespaces/${name}/serviceaccounts/limited/token`;
  const answer = await client.request(
    { method: "POST", path, body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} } },
    signal,
  );
  const token = textOf(at(answer, "status", "token"));
  const given = parseYaml(await readFile(kubeconfig ?? "", "utf8"));
  assert.ok("value" in given);
  const [first] = arrayOf(at(given.value, "clusters"));
  const cluster = objectOf(at(first, "cluster"));
  const context = { cluster: "c", user: "u", namespace: name };
  const config = {
    "current-context": "x",
    contexts: [{ name: "x", context }],
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user: { token } }],
  };
  await writeFile(file, JSON.stringify({ apiVersion: "v1", kind: "Config", ...config }));
  return file;
}
