// `outrigger uninstall -k`: takes the control plane away. What users made (Components, Configurations …) stays, and so do its
// definitions, unless --all asks for their end too.
import { kubeResources } from "../../lib/kube/resource.ts";
import { type Command, type Surroundings, statusLine } from "../console.ts";
import { type FlagSpec, flagsHelp, parseFlags, UsageError } from "../flags.ts";
import { controlPlaneFlag, controlPlaneNamespace, helpFlag, kubeconfigFlag, kubernetesFlag, withCluster } from "../kube/cluster.ts";
import { crdNames } from "../kube/crds.ts";
import { defaultRelease, findHelm, helmEnvironment, releaseFlag, runHelm } from "../kube/helm.ts";

const flags: readonly FlagSpec[] = [
  kubernetesFlag,
  controlPlaneFlag,
  { name: "all", kind: "boolean", help: "Delete the definitions too, and with them every Component, Configuration … of the cluster" },
  { name: "timeout", kind: "number", help: "How long to wait, in seconds (default 300)" },
  releaseFlag,
  kubeconfigFlag,
  helpFlag,
];

export const uninstallCommand: Command = {
  name: "uninstall",
  summary: "Take the control plane out of a cluster",
  help: `Take the control plane out of a cluster; needs helm. Components, Configurations and the like stay.

Usage:
  outrigger uninstall -k [-n NAMESPACE] [--all]

Flags:
${flagsHelp(flags)}
`,
  run,
};

const timeoutSeconds = 300;

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(uninstallCommand.help);
    return 0;
  }
  if (given.boolean("kubernetes") !== true) {
    throw new UsageError("local runs installed nothing but the folder ~/.outrigger, which you may delete; for a cluster add -k");
  }
  const namespace = given.string("namespace") ?? controlPlaneNamespace;
  const timeout = `${given.number("timeout") ?? timeoutSeconds}s`;
  const uninstall = ["uninstall", given.string("release") ?? defaultRelease, "--namespace", namespace, "--wait", "--timeout", timeout];
  const code = await runHelm(findHelm(around.env), uninstall, helmEnvironment(given, around.env));
  if (code !== 0) return code;
  const say = (text: string) => around.error(statusLine("done", text, around.isTerminal));
  say(`The control plane is gone from ${namespace}.`);
  if (given.boolean("all") !== true) return 0;
  const deleted = await withCluster(given, around, async ({ client, signal }) => {
    const gone: string[] = [];
    for (const name of crdNames) if (await client.delete(kubeResources.customResourceDefinitions, null, name, {}, signal)) gone.push(name);
    return gone;
  });
  say(`Deleted with all their objects: ${deleted.join(", ") || "nothing, there was none"}.`);
  return 0;
}
