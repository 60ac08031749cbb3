import assert from "node:assert/strict";
import { mkdtempDisposable, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadKubeConfig } from "./access.ts";
import { type KubeClient, openKubeClient, type WatchEvent } from "./client.ts";
import { KubeError } from "./error.ts";
import { clientOf, FakeKubeApi } from "./fake-api.ts";
import { daprResources, kubeResources, pathOf } from "./resource.ts";

const { configMaps, customResourceDefinitions, pods } = kubeResources;
const never = new AbortController().signal;

const refused = (status: number) => (error: unknown) => error instanceof KubeError && error.status === status;

async function take(client: KubeClient, since: string, count: number): Promise<readonly WatchEvent[]> {
  const stop = new AbortController();
  const events: WatchEvent[] = [];
  for await (const event of client.watch(configMaps, { namespace: "a", resourceVersion: since }, stop.signal)) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

test("an object is created, read, changed and deleted", async () => {
  await using api = await FakeKubeApi.start();
  const client = api.client();
  const made = await client.create(configMaps, "a", { metadata: { name: "m" }, data: { k: "1" } }, never);
  assert.equal(made.metadata.namespace, "a");
  assert.deepEqual((await client.get(configMaps, "a", "m", never))?.["data"], { k: "1" });
  const changed = await client.patch(configMaps, "a", "m", "merge", { data: { l: "2" } }, never);
  assert.deepEqual(changed["data"], { k: "1", l: "2" });
  await assert.rejects(client.update(configMaps, "a", "m", { ...made, data: {} }, never), refused(409));
  await assert.rejects(client.delete(configMaps, "a", "m", { uid: "another" }, never), refused(409));
  assert.equal(await client.delete(configMaps, "a", "m", {}, never), true);
  assert.equal(await client.delete(configMaps, "a", "m", {}, never), false);
  assert.equal(await client.get(configMaps, "a", "m", never), null);
  client.close();
});

test("server-side apply creates what is not there and names its manager", async () => {
  await using api = await FakeKubeApi.start();
  const client = api.client();
  const options = { fieldManager: "me", force: true };
  await client.apply(
    customResourceDefinitions,
    null,
    "things.example.org",
    { metadata: { name: "things.example.org" }, spec: { a: 1 } },
    options,
    never,
  );
  await client.apply(customResourceDefinitions, null, "things.example.org", { spec: { b: 2 } }, options, never);
  assert.deepEqual(api.find(customResourceDefinitions, "", "things.example.org")?.["spec"], { a: 1, b: 2 });
  assert.equal(api.requests[0]?.query.toString(), "fieldManager=me&force=true");
  client.close();
});

test("a list names its version, from which a watch goes on", async () => {
  await using api = await FakeKubeApi.start();
  const client = api.client();
  api.put(configMaps, { metadata: { namespace: "a", name: "m" } });
  api.put(configMaps, { metadata: { namespace: "b", name: "m" } });
  const all = await client.list(configMaps, {}, never);
  const some = await client.list(configMaps, { namespace: "a" }, never);
  assert.deepEqual([all.items.length, some.items.length], [2, 1]);
  const events = take(client, some.resourceVersion, 2);
  api.put(configMaps, { metadata: { namespace: "b", name: "m" }, data: { k: "not of this watch" } });
  api.put(configMaps, { metadata: { namespace: "a", name: "m" }, data: { k: "2" } });
  api.remove(configMaps, "a", "m");
  assert.deepEqual(
    (await events).map(({ type }) => type),
    ["MODIFIED", "DELETED"],
  );
  client.close();
});

test("a watch from a version that is forgotten says 410", async () => {
  await using api = await FakeKubeApi.start();
  const client = api.client();
  api.put(configMaps, { metadata: { namespace: "a", name: "m" } });
  api.compact();
  await assert.rejects(take(client, "0", 1), refused(410));
  client.close();
});

test("refusals carry status and reason; a server that is gone is status 0", async () => {
  const api = await FakeKubeApi.start();
  const client = api.client();
  api.fail("GET", /pods/, 403);
  await assert.rejects(
    client.list(pods, {}, never),
    (error: unknown) => refused(403)(error) && /^GET \/api\/v1\/pods: .*403: injected/.test(String((error as Error).message)),
  );
  await api[Symbol.asyncDispose]();
  await assert.rejects(client.list(pods, {}, never), refused(0));
  client.close();
});

test("a kept connection that the server closes under a GET is made good by another", async () => {
  const served: number[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    const number = ++connections;
    socket.on("data", () => {
      served.push(number);
      // Once per connection; it dies of the second request.
      if (served.filter((one) => one === number).length > 1) socket.resetAndDestroy();
      else socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"items":[]}');
    });
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = clientOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await client.list(pods, {}, never);
  await client.list(pods, {}, never);
  assert.deepEqual(served, [1, 1, 2]);
  await assert.rejects(client.create(pods, "a", { metadata: { name: "p" } }, never), refused(0));
  client.close();
  server.close();
});

test("the signal ends a request and a watch", async () => {
  await using api = await FakeKubeApi.start();
  const client = api.client();
  const stop = new AbortController();
  const reason = new Error("enough");
  const watching = (async () => {
    for await (const _ of client.watch(pods, { resourceVersion: "0" }, stop.signal)) assert.fail("nothing happens");
  })();
  stop.abort(reason);
  await assert.rejects(watching, reason);
  await assert.rejects(client.list(pods, {}, stop.signal), reason);
  client.close();
});

test("no name becomes another path", () => {
  assert.equal(pathOf(pods, "a", "p"), "/api/v1/namespaces/a/pods/p");
  assert.equal(pathOf(daprResources.components, null, null), "/apis/dapr.io/v1alpha1/components");
  for (const name of ["..", "a/b", "a?b", "", "A", "a%2fb", "-a", "a".repeat(254)]) {
    assert.throws(() => pathOf(pods, "a", name), RangeError, name);
    assert.throws(() => pathOf(pods, name, "p"), RangeError, name);
  }
});

test("a kubeconfig with a token reaches the server; one without cluster or file says what to do", async () => {
  await using api = await FakeKubeApi.start();
  await using folder = await mkdtempDisposable(join(tmpdir(), "kube-"));
  const file = join(folder.path, "config");
  await writeFile(file, kubeconfig(api.server));
  const client = await openKubeClient(file, {});
  assert.equal(client.namespace, "team");
  assert.deepEqual((await client.list(pods, {}, never)).items, []);
  client.close();
  await writeFile(file, "apiVersion: v1\nkind: Config\n");
  await assert.rejects(openKubeClient(null, { KUBECONFIG: file }), /names no cluster/);
  await assert.rejects(openKubeClient(join(folder.path, "none"), {}), /there is no kubeconfig at/);
});

test("in a pod it is the service account that counts, its token read again when refused; without one it says so", async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), "kube-"));
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" };
  await assert.rejects(loadKubeConfig(null, env, folder.path), /the pod has no usable service account .*automountServiceAccountToken/);
  await Promise.all([
    writeFile(join(folder.path, "ca.crt"), ""),
    writeFile(join(folder.path, "namespace"), "team\n"),
    writeFile(join(folder.path, "token"), "one\n"),
  ]);
  const access = await loadKubeConfig(null, env, folder.path);
  assert.deepEqual([access.server, access.namespace], ["https://[fd00::1]:6443", "team"]);
  assert.deepEqual(await access.headers(), { authorization: "Bearer one" });
  await writeFile(join(folder.path, "token"), "two");
  assert.deepEqual(await access.headers(), { authorization: "Bearer one" });
  access.forgetHeaders();
  assert.deepEqual(await access.headers(), { authorization: "Bearer two" });
  access.close();
});

function kubeconfig(server: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "k", user: "u", namespace: "team" } }],
    clusters: [{ name: "k", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "u", user: { token: "t" } }],
  });
}
