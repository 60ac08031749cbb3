import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { FakeKubeApi } from "../../lib/kube/fake-api.ts";
import { kubeResources } from "../../lib/kube/resource.ts";
import { driverContext } from "../shared/test-context.ts";
import { create, type KubernetesSurroundings } from "./kubernetes.ts";
import type { SecretStore } from "./store.ts";

const signal = new AbortController().signal;
const base64 = (text: string) => Buffer.from(text).toString("base64");

function store(around: KubernetesSurroundings, properties: Record<string, string> = {}): SecretStore {
  return create(driverContext("secretstores.kubernetes", properties, new FakeClock()), around);
}

function surroundings(api: FakeKubeApi, env: Record<string, string> = {}): KubernetesSurroundings {
  return { env, exists: () => true, open: async () => api.client() };
}

test("reads secrets of the request's namespace, the sidecar's, or the default one", async () => {
  await using api = await FakeKubeApi.start();
  for (const namespace of ["given", "own", "fallback"]) {
    api.put(kubeResources.secrets, { metadata: { namespace, name: "s" }, data: { where: base64(namespace), __proto__x: base64("ü") } });
  }
  const inPod = store(surroundings(api, { NAMESPACE: "own" }), { defaultNamespace: "fallback" });
  await inPod.init(signal);
  assert.deepEqual({ ...(await inPod.get("s", { namespace: "given" }, signal)) }, { where: "given", __proto__x: "ü" });
  assert.equal((await inPod.get("s", {}, signal))["where"], "own");
  const outside = store(surroundings(api), { defaultNamespace: "fallback" });
  assert.equal((await outside.get("s", { Namespace: "" }, signal))["where"], "fallback");
  await assert.rejects(store(surroundings(api)).get("s", {}, signal), /namespace is missing on metadata and NAMESPACE env variable/);
  await assert.rejects(inPod.get("gone", {}, signal), /secrets "gone" not found in namespace own/);
  await assert.rejects(inPod.get("../pods", {}, signal), /is no name of a Kubernetes object/);
  await Promise.all([inPod.close(), outside.close()]);
});

test("reads all secrets of a namespace, and tells refusals without a value", async () => {
  await using api = await FakeKubeApi.start();
  api.put(kubeResources.secrets, { metadata: { namespace: "own", name: "a" }, data: { k: base64("1") } });
  api.put(kubeResources.secrets, { metadata: { namespace: "own", name: "empty" } });
  api.put(kubeResources.secrets, { metadata: { namespace: "other", name: "b" }, data: { k: base64("2") } });
  const secrets = store(surroundings(api, { NAMESPACE: "own" }));
  const all = await secrets.bulkGet({}, signal);
  assert.deepEqual(
    [...all].map(([name, secret]) => [name, { ...secret }]),
    [
      ["a", { k: "1" }],
      ["empty", {}],
    ],
  );
  api.fail("GET", /secrets/, 403);
  await assert.rejects(secrets.get("a", {}, signal), /403/);
  await secrets.close();
});

test("says at the start when there is no cluster to reach, and loads no client for it", async () => {
  const asked: string[] = [];
  const around = (env: Record<string, string>): KubernetesSurroundings => ({
    env,
    exists: (path) => {
      asked.push(path);
      return false;
    },
    open: () => assert.fail("no client yet"),
  });
  await store(around({ KUBERNETES_SERVICE_HOST: "10.0.0.1" })).init(signal);
  assert.deepEqual(asked, []);
  await assert.rejects(store(around({ KUBECONFIG: "/k" })).init(signal), /there is no kubeconfig at \/k; set kubeconfigPath/);
  await assert.rejects(store(around({ KUBECONFIG: "/k" }), { kubeconfigPath: "/own" }).init(signal), /no kubeconfig at \/own/);
  await assert.rejects(store(around({})).init(signal), /\.kube\/config/);
});

test("a client that could not be had is asked for again", async () => {
  await using api = await FakeKubeApi.start();
  api.put(kubeResources.secrets, { metadata: { namespace: "own", name: "s" }, data: { k: base64("1") } });
  let tries = 0;
  const open = async () => {
    if (++tries === 1) throw new Error("not yet");
    return api.client();
  };
  const secrets = store({ env: { NAMESPACE: "own" }, exists: () => true, open });
  await assert.rejects(secrets.get("s", {}, signal), /not yet/);
  assert.equal((await secrets.get("s", {}, signal))["k"], "1");
  await secrets.close();
});
