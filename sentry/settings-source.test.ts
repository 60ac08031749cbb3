// Where settings and access come from, and from where they never do.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { domainOf } from "../lib/kube/cluster-domain.ts";
import { clusterAccess } from "./kubernetes/kubeconfig.ts";
import { loadMtls } from "./settings-source.ts";
import { controlPlaneNames } from "./template.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-settings-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const never = new AbortController().signal;

test("in Kubernetes only the Configuration of sentry's own namespace counts", async () => {
  const asked: string[] = [];
  const api = {
    async configuration(namespace: string, name: string): Promise<unknown> {
      asked.push(`${namespace}/${name}`);
      const named = `${namespace}/${name}`;
      if (named === "dapr-system/daprsystem") return { spec: { mtls: { workloadCertTTL: "1h" } } };
      return named === "evil/daprsystem" ? { spec: { mtls: { workloadCertTTL: "9999h" } } } : null;
    },
  };
  const config = { mode: "kubernetes", configName: "daprsystem", namespace: "dapr-system" } as const;
  assert.equal((await loadMtls(config, {}, api, never)).leafTtlMs, 3_600_000);
  assert.deepEqual(asked, ["dapr-system/daprsystem"]);
  const missing = loadMtls({ ...config, namespace: "other" }, {}, api, never);
  await assert.rejects(missing, /loading default config. couldn't find config name "daprsystem": config CRD not found/);
});

test("a missing file ends the start in Dapr's words", async () => {
  const config = { mode: "standalone", configName: "/nonexistent", namespace: "default" } as const;
  await assert.rejects(loadMtls(config, {}, null, never), {
    message: `loading default config. couldn't find config name "/nonexistent": stat /nonexistent: no such file or directory`,
  });
});

function kubeconfig(cluster: string, user: string): string {
  const path = join(folder, "kubeconfig");
  writeFileSync(
    path,
    `current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: ${cluster}}]
users: [{name: u, user: ${user}}]
`,
  );
  return path;
}

const access = (path: string) => clusterAccess({ kubeconfig: path, home: folder, env: {} });

test("a kubeconfig gives server, authority and token; files are found beside it", async () => {
  writeFileSync(join(folder, "ca.pem"), "CA");
  writeFileSync(join(folder, "token"), "secret\n");
  const path = kubeconfig("{server: 'https://k:6443/', certificate-authority: ca.pem, tls-server-name: api}", "{tokenFile: token}");
  const { server, ca, serverName, token } = await access(path);
  assert.deepEqual([server, ca, serverName, await token?.()], ["https://k:6443", "CA", "api", "secret"]);
});

test("access without verification, without TLS or by a program is refused by name", async () => {
  const insecure = kubeconfig("{server: 'https://k', insecure-skip-tls-verify: true}", "{token: t}");
  await assert.rejects(access(insecure), /insecure-skip-tls-verify is not supported/);
  await assert.rejects(access(kubeconfig("{server: 'http://k'}", "{token: t}")), /no https server/);
  await assert.rejects(access(kubeconfig("{server: 'https://k'}", "{exec: {command: sh}}")), /exec is not supported/);
});

test("only services of the control plane, in its namespace, get DNS names", () => {
  const names = (appId: string, namespace = "dapr-system") => controlPlaneNames(appId, namespace, "dapr-system", "cluster.local");
  assert.deepEqual(names("dapr-injector"), ["dapr-sidecar-injector.dapr-system.svc"]);
  assert.deepEqual(names("dapr-operator"), ["dapr-webhook.dapr-system.svc"]);
  assert.equal(names("dapr-scheduler")[2], "dapr-scheduler-server-2.dapr-scheduler-server.dapr-system.svc.cluster.local");
  assert.deepEqual([names("dapr-injector", "shop"), names("app"), names("__proto__")], [[], [], []]);
});

test("the cluster's domain is read from a pod's search list", () => {
  assert.equal(domainOf("nameserver 10.0.0.1\nsearch shop.svc.corp.local svc.corp.local corp.local\n"), "corp.local");
  assert.equal(domainOf("search example.org\n"), null);
});
