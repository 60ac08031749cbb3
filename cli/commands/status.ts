// `outrigger status -k`: the services of the control plane, in the columns of `dapr status -k`.
import type { Command, Surroundings } from "../console.ts";
import { flagsHelp, parseFlags } from "../flags.ts";
import { helpFlag, kubeconfigFlag, kubernetesFlag, needKubernetes, withCluster } from "../kube/cluster.ts";
import { type ServiceStatus, serviceStatuses } from "../kube/control-plane.ts";
import { formatted, outputFlag, outputFormat, table } from "../kube/output.ts";

const flags = [kubernetesFlag, outputFlag, kubeconfigFlag, helpFlag];

export const statusCommand: Command = {
  name: "status",
  summary: "Show the services of the control plane of a cluster",
  help: `Show the services of the control plane of a cluster. outrigger check -k says what is wrong.

Usage:
  outrigger status -k [-o list|json|yaml]

Flags:
${flagsHelp(flags)}
`,
  run,
};

const titles = ["NAME", "NAMESPACE", "HEALTHY", "STATUS", "REPLICAS", "VERSION", "AGE", "CREATED"];

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(statusCommand.help);
    return 0;
  }
  needKubernetes(given, "status");
  const format = outputFormat(given);
  const found = await withCluster(given, around, ({ client, signal }) => serviceStatuses(client, Date.now(), signal));
  if (format !== "list") around.out(formatted(format, found));
  else if (found.length === 0)
    around.error("❌ No status returned. Is Outrigger installed in your cluster? outrigger init -k installs it.\n");
  else around.out(table(titles, found.map(row)));
  return found.length === 0 ? 1 : 0;
}

function row({ name, namespace, healthy, status, replicas, version, age, created }: ServiceStatus): Readonly<Record<string, string>> {
  return {
    NAME: name,
    NAMESPACE: namespace,
    HEALTHY: healthy ? "True" : "False",
    STATUS: status,
    REPLICAS: String(replicas),
    VERSION: version,
    AGE: age,
    CREATED: created,
  };
}
