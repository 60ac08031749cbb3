// A real Kubernetes API server for tests: the one of KUBECONFIG, or the control plane that the scripts of OUTRIGGER_CLUSTER
// run (up-cp.sh, started here when it is down, and left up for the next test). Each test takes a namespace of its own.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { type KubeClient, openKubeClient } from "../../lib/kube/client.ts";
import { kubeResources } from "../../lib/kube/resource.ts";
import { crdSources } from "../../lib/resources/crds/crds.ts";
import { customResourceDefinition } from "../../lib/resources/crds/definition.ts";
import { clusterScripts } from "./cluster-tools.ts";

const { customResourceDefinitions, namespaces } = kubeResources;
const startTimeoutMs = 120_000;

/** Path of a kubeconfig, or why there is none. */
export function findControlPlane():
  | { readonly kubeconfig: string; readonly reason: null }
  | { readonly kubeconfig: null; readonly reason: string } {
  const given = process.env["KUBECONFIG"] ?? "";
  if (given !== "") return { kubeconfig: given, reason: null };
  const scripts = clusterScripts();
  if (scripts === null) return { kubeconfig: null, reason: "neither KUBECONFIG nor OUTRIGGER_CLUSTER names an API server" };
  const kubeconfig = join(dirname(dirname(scripts.kubeconfig)), "run-cp", "pki", "admin.conf");
  if (existsSync(kubeconfig)) return { kubeconfig, reason: null };
  try {
    execFileSync(join(scripts.folder, "up-cp.sh"), { stdio: "ignore", timeout: startTimeoutMs });
    return { kubeconfig, reason: null };
  } catch (error) {
    return { kubeconfig: null, reason: `up-cp.sh failed: ${String(error)}` };
  }
}

export interface TestNamespace extends AsyncDisposable {
  readonly name: string;
  readonly client: KubeClient;
}

/** A new namespace on a cluster that has our CRDs; it is deleted at the end of the test. */
export async function testNamespace(kubeconfig: string, prefix: string): Promise<TestNamespace> {
  const client = await openKubeClient(kubeconfig, {});
  const signal = AbortSignal.timeout(startTimeoutMs);
  for (const source of crdSources) {
    const crd = customResourceDefinition(source);
    if ((await client.get(customResourceDefinitions, null, crd.metadata.name, signal)) !== null) continue;
    await client.create(customResourceDefinitions, null, crd, signal);
  }
  const name = `${prefix}-${randomBytes(4).toString("hex")}`;
  await client.create(namespaces, null, { metadata: { name } }, signal);
  return {
    name,
    client,
    async [Symbol.asyncDispose]() {
      await client.delete(namespaces, null, name, {}, AbortSignal.timeout(10_000)).catch(() => false);
      client.close();
    },
  };
}
