// A real injector with an identity from a real sentry, and an API server in memory that can be made to fail.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { FakeKubeApi } from "../../../lib/kube/fake-api.ts";
import { arrayOf, at } from "../../../lib/kube/object.ts";
import { kubeResources } from "../../../lib/kube/resource.ts";
import { controlPlaneNamespace, type Injector, injector, podReview } from "../../harness/injector.ts";
import { type Sentry, sentry } from "../../harness/sentry.ts";

const annotations = { "dapr.io/enabled": "true", "dapr.io/app-id": "orders" };
const pod = { metadata: { name: "orders-1", annotations }, spec: { containers: [{ name: "app", image: "app:1" }] } };
const webhooks = [
  { name: "a", clientConfig: {} },
  { name: "b", clientConfig: {} },
];
const configuration = { metadata: { name: "dapr-sidecar-injector" }, webhooks };
const bundlesOf = (api: FakeKubeApi) =>
  arrayOf(at(api.find(kubeResources.mutatingWebhooks, "", "dapr-sidecar-injector"), "webhooks")).map((webhook) =>
    Buffer.from(String(at(webhook, "clientConfig", "caBundle") ?? ""), "base64").toString(),
  );
const patchOf = (answer: { response: { patch: string } }) => Buffer.from(answer.response.patch, "base64").toString();

let ca: Sentry;
before(async () => {
  ca = await sentry({ env: { NAMESPACE: controlPlaneNamespace } });
});
after(() => ca[Symbol.asyncDispose]());

describe("an injector", () => {
  let api: FakeKubeApi;
  let it: Injector;
  before(async () => {
    api = await FakeKubeApi.start();
    api.put(kubeResources.mutatingWebhooks, configuration);
    api.put(kubeResources.namespaces, { metadata: { name: "shop", annotations: { "dapr.io/config": "tracing" } } });
    it = await injector({ sentry: ca, kubeconfig: { server: api.server } });
  });
  after(async () => {
    await (it as Injector | undefined)?.[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
  });

  test("answers over TLS by the name of its Service, with an RSA key", async () => {
    const answer = await it.review(podReview(pod));
    assert.equal(answer.response.allowed, true);
    const servername = `dapr-sidecar-injector.${controlPlaneNamespace}.svc`;
    const socket = await new Promise<TLSSocket>((resolve, reject) => {
      const made = connect({ host: "127.0.0.1", port: it.port, ca: ca.anchors(), servername, ALPNProtocols: ["h2", "http/1.1"] }, () =>
        resolve(made),
      );
      made.once("error", reject);
    });
    assert.deepEqual([socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType, socket.alpnProtocol], ["rsa", "http/1.1"]);
    socket.destroy();
  });

  test("puts its CA into every webhook, and nothing but certificates", async () => {
    await it.eventually("the CA bundle is there", () => bundlesOf(api).every((text) => text !== ""));
    assert.deepEqual(bundlesOf(api), [ca.anchors(), ca.anchors()]);
  });

  test("injects what pod and namespace say", async () => {
    const patch = patchOf(await it.review(podReview(pod)));
    assert.match(patch, /"--config","tracing"/);
    assert.match(patch, /dapr-sentry\.dapr-system\.svc\.cluster\.local:443/);
    assert.doesNotMatch(patch, /PRIVATE KEY/);
  });

  test("serves metrics, health, and the odd client", async () => {
    assert.match(await it.metrics(), /^dapr_injector_sidecar_injection_succeeded_total\{app_id="orders"\} \d+$/m);
    const plain = await fetch(`http://127.0.0.1:${it.port}/mutate`).catch((error: Error) => error);
    assert.ok(plain instanceof Error);
    assert.equal(await it.health(), 200);
  });

  test("is small when idle", () => {
    const status = readFileSync(`/proc/${it.program.pid}/status`, "utf8");
    const kib = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
    assert.ok(kib <= 100 * 1024, `${kib} KiB resident`);
  });
});

test("keys beside the anchors in their file stay out of bundle and patch", async () => {
  await using api = await FakeKubeApi.start();
  api.put(kubeResources.mutatingWebhooks, configuration);
  const key = readFileSync(`${ca.credentials}/issuer.key`, "utf8");
  const file = ca.folder.write("anchors-and-key.pem", `${key}\n${ca.anchors()}`);
  await using it = await injector({ sentry: ca, kubeconfig: { server: api.server }, env: { DAPR_TRUST_ANCHORS_FILE: file } });
  await it.eventually("the CA bundle is there", () => bundlesOf(api).every((text) => text !== ""));
  const secret = key.split("\n")[1] as string;
  for (const text of [patchOf(await it.review(podReview(pod))), ...bundlesOf(api)]) {
    assert.ok(!text.includes("PRIVATE KEY") && !text.includes(secret));
  }
});

test("an API server that forbids everything does not keep pods from their sidecar", async () => {
  await using api = await FakeKubeApi.start();
  api.fail("GET", /./, 403, 1e6);
  api.fail("PATCH", /./, 403, 1e6);
  await using it = await injector({ sentry: ca, kubeconfig: { server: api.server } });
  const answer = await it.review(podReview(pod));
  assert.match(patchOf(answer), /"path":"\/spec\/containers\/-".*"--enable-mtls"/);
  assert.match(await it.metrics(), /^outrigger_injector_ca_bundle_failures_total [1-9]/m);
});

test("only clients of the named CA are let in when one is named", async () => {
  await using api = await FakeKubeApi.start();
  const clients = ca.folder.write("clients.pem", ca.anchors());
  await using it = await injector({ sentry: ca, kubeconfig: { server: api.server }, flags: { "client-ca-file": clients } });
  await assert.rejects(it.review(podReview(pod)));
  assert.equal(await it.health(), 200);
});

test("waits for sentry rather than end, and ends gracefully when told", async () => {
  await using api = await FakeKubeApi.start();
  await using late = await sentry({ env: { NAMESPACE: controlPlaneNamespace } });
  await late.kill();
  await using it = await injector({ sentry: late, kubeconfig: { server: api.server }, ready: false });
  await it.eventually("the health server is up", async () => (await it.health()) === 503);
  await late.startProcess();
  await it.eventually("it is ready", async () => (await it.health()) === 200);
  it.program.signal("SIGTERM");
  assert.deepEqual(await it.program.exited(), { code: 0, signal: null });
});
