// `outrigger components -k`: the Components of a cluster, in the columns of `dapr components -k`.
import { arrayOf, at, type KubeObject, textOf } from "../../lib/kube/object.ts";
import { daprResources } from "../../lib/kube/resource.ts";
import type { Command, Surroundings } from "../console.ts";
import { flagsHelp, parseFlags } from "../flags.ts";
import { listFlags, listResources } from "../kube/list-resources.ts";
import { times } from "../kube/output.ts";

const flags = listFlags("component");

export const componentsCommand: Command = {
  name: "components",
  summary: "List the Components of a cluster",
  help: `List the Components of a cluster.

Usage:
  outrigger components -k [-A] [-n NAME] [--namespace NAMESPACE] [-o list|json|yaml]

Flags:
${flagsHelp(flags)}
`,
  run,
};

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  return listResources(parseFlags(flags, args, true), around, {
    verb: "components",
    help: componentsCommand.help,
    resource: daprResources.components,
    titles: ["NAMESPACE", "NAME", "TYPE", "VERSION", "SCOPES", "CREATED", "AGE"],
    row: componentRow,
  });
}

function componentRow(component: KubeObject, now: number): Readonly<Record<string, string>> {
  const { age, created } = times(component, now);
  return {
    NAMESPACE: component.metadata.namespace ?? "",
    NAME: component.metadata.name ?? "",
    TYPE: textOf(at(component, "spec", "type")),
    VERSION: textOf(at(component, "spec", "version")),
    SCOPES: arrayOf(component["scopes"]).map(textOf).join(","),
    CREATED: created,
    AGE: age,
  };
}
