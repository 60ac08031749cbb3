// The common way of `components -k` and `configurations -k`: choose by namespace and name, print.
import { isStatus } from "../../lib/kube/error.ts";
import type { KubeObject } from "../../lib/kube/object.ts";
import { apiVersionOf, type KubeResource } from "../../lib/kube/resource.ts";
import type { Surroundings } from "../console.ts";
import { type FlagSpec, type Flags, UsageError } from "../flags.ts";
import { helpFlag, kubeconfigFlag, kubernetesFlag, needKubernetes, withCluster } from "./cluster.ts";
import { formatted, outputFlag, outputFormat, type Row, table } from "./output.ts";

export interface Listing {
  readonly verb: string;
  readonly help: string;
  readonly resource: KubeResource;
  readonly titles: readonly string[];
  readonly row: (object: KubeObject, now: number) => Row;
}

export function listFlags(what: string): readonly FlagSpec[] {
  return [
    kubernetesFlag,
    { name: "all-namespaces", short: "A", kind: "boolean", help: "Of all namespaces" },
    { name: "name", short: "n", kind: "string", help: `Only the ${what} of this name` },
    { name: "namespace", kind: "string", help: "Namespace (default: the kubeconfig's)" },
    outputFlag,
    kubeconfigFlag,
    helpFlag,
  ];
}

export async function listResources(given: Flags, around: Surroundings, listing: Listing): Promise<number> {
  if (given.boolean("help") === true) {
    around.out(listing.help);
    return 0;
  }
  needKubernetes(given, listing.verb);
  const format = outputFormat(given);
  const name = given.string("name");
  const objects = await withCluster(given, around, async ({ client, namespace, signal }) => {
    const from = given.boolean("all-namespaces") === true ? null : (given.string("namespace") ?? namespace);
    const selection = { namespace: from, ...(name === undefined ? {} : { fieldSelector: `metadata.name=${name}` }) };
    const { items } = await client.list(listing.resource, selection, signal).catch((error: unknown) => {
      if (!isStatus(error, 404)) throw error;
      throw new UsageError(`the cluster knows no ${listing.resource.kind}s: outrigger init -k installs their definition`);
    });
    return items;
  });
  // Items of a list do not name their kind themselves.
  const named = objects.map((object) => ({ ...object, apiVersion: apiVersionOf(listing.resource), kind: listing.resource.kind }));
  if (format !== "list") around.out(formatted(format, named));
  else if (named.length === 0) around.out(`No ${listing.verb} found.\n`);
  else
    around.out(
      table(
        listing.titles,
        named.map((object) => listing.row(object, Date.now())),
      ),
    );
  return 0;
}
