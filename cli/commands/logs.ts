// `outrigger logs -k`: what an app's sidecars wrote.
import { annotationOf, arrayOf, at, type KubeObject, textOf } from "../../lib/kube/object.ts";
import { kubeResources, pathOf } from "../../lib/kube/resource.ts";
import type { Command, Surroundings } from "../console.ts";
import { type FlagSpec, flagsHelp, parseFlags, UsageError } from "../flags.ts";
import { type Cluster, helpFlag, kubeconfigFlag, kubernetesFlag, needKubernetes, withCluster } from "../kube/cluster.ts";

const flags: readonly FlagSpec[] = [
  kubernetesFlag,
  { name: "app-id", short: "a", kind: "string", help: "App whose sidecar's log is shown" },
  { name: "pod-name", short: "p", kind: "string", help: "Only of this pod" },
  { name: "namespace", short: "n", kind: "string", help: "Namespace of the app (default: the kubeconfig's)" },
  { name: "follow", short: "f", kind: "boolean", help: "Go on showing what comes" },
  kubeconfigFlag,
  helpFlag,
];

export const logsCommand: Command = {
  name: "logs",
  summary: "Show the log of an app's sidecar in a cluster",
  help: `Show the log of an app's sidecar in a cluster. With several pods each line begins with its pod's name.

Usage:
  outrigger logs -k -a APP-ID [-p POD] [-n NAMESPACE] [-f]

Flags:
${flagsHelp(flags)}
`,
  run,
};

const sidecar = "daprd";

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(logsCommand.help);
    return 0;
  }
  needKubernetes(given, "logs");
  const appId = given.string("app-id");
  if (appId === undefined) throw new UsageError("say whose log: -a APP-ID");
  return withCluster(given, around, async (cluster) => {
    const namespace = given.string("namespace") ?? cluster.namespace;
    const pods = await podsOf(cluster, namespace, appId, given.string("pod-name") ?? null);
    await Promise.all(pods.map((pod) => show(cluster, pod, pods.length > 1, given.boolean("follow") === true, around)));
    return 0;
  });
}

async function podsOf({ client, signal }: Cluster, namespace: string, appId: string, name: string | null): Promise<readonly KubeObject[]> {
  const { items } = await client.list(kubeResources.pods, { namespace }, signal);
  const ofApp = items.filter((pod) => (annotationOf(pod, "dapr.io/app-id") ?? pod.metadata.name) === appId);
  const wanted = ofApp.filter((pod) => (name === null || pod.metadata.name === name) && hasSidecar(pod));
  if (wanted.length > 0) return wanted;
  if (ofApp.length > 0 && name === null)
    throw new UsageError(`the pods of "${appId}" in ${namespace} have no sidecar: outrigger check -k says why`);
  throw new UsageError(`no pod ${name === null ? "" : `${name} `}of app "${appId}" in namespace ${namespace}: check -a, -p and -n`);
}

function hasSidecar(pod: KubeObject): boolean {
  const containers = [...arrayOf(at(pod, "spec", "initContainers")), ...arrayOf(at(pod, "spec", "containers"))];
  return containers.some((container) => textOf(at(container, "name")) === sidecar);
}

async function show(cluster: Cluster, pod: KubeObject, withName: boolean, follow: boolean, around: Surroundings): Promise<void> {
  const { namespace = "", name = "" } = pod.metadata;
  const path = `${pathOf(kubeResources.pods, namespace, name, "log")}?container=${sidecar}&follow=${follow}`;
  for await (const line of cluster.lines(path)) around.out(withName ? `[${name}] ${line}\n` : `${line}\n`);
}
