// `outrigger configurations -k`: the Configurations of a cluster, in the columns of `dapr configurations -k`.
import { at, type KubeObject, textOf } from "../../lib/kube/object.ts";
import { daprResources } from "../../lib/kube/resource.ts";
import type { Command, Surroundings } from "../console.ts";
import { flagsHelp, parseFlags } from "../flags.ts";
import { listFlags, listResources } from "../kube/list-resources.ts";
import { times } from "../kube/output.ts";

const flags = listFlags("configuration");

export const configurationsCommand: Command = {
  name: "configurations",
  summary: "List the Configurations of a cluster",
  help: `List the Configurations of a cluster.

Usage:
  outrigger configurations -k [-A] [-n NAME] [--namespace NAMESPACE] [-o list|json|yaml]

Flags:
${flagsHelp(flags)}
`,
  run,
};

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  return listResources(parseFlags(flags, args, true), around, {
    verb: "configurations",
    help: configurationsCommand.help,
    resource: daprResources.configurations,
    titles: ["NAMESPACE", "NAME", "TRACING-ENABLED", "METRICS-ENABLED", "CREATED", "AGE"],
    row: configurationRow,
  });
}

function configurationRow(configuration: KubeObject, now: number): Readonly<Record<string, string>> {
  const { age, created } = times(configuration, now);
  return {
    NAMESPACE: configuration.metadata.namespace ?? "",
    NAME: configuration.metadata.name ?? "",
    "TRACING-ENABLED": String(isTraced(configuration)),
    "METRICS-ENABLED": String(
      (at(configuration, "spec", "metric", "enabled") ?? at(configuration, "spec", "metrics", "enabled")) !== false,
    ),
    CREATED: created,
    AGE: age,
  };
}

/** A rate above 0 samples; without one nothing is. */
function isTraced(configuration: KubeObject): boolean {
  return Number(textOf(at(configuration, "spec", "tracing", "samplingRate"))) > 0;
}
