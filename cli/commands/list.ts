// `outrigger list`: every running sidecar of this machine that we can see, in the forms of `dapr list`.
import { dump } from "js-yaml";
import type { Command, Surroundings } from "../console.ts";
import { type FlagSpec, flagsHelp, parseFlags, UsageError } from "../flags.ts";
import { findInstances } from "../instances/find.ts";
import { instanceTable, outputOf } from "../instances/instance.ts";
import { homeAt } from "../run/home.ts";

const flags: readonly FlagSpec[] = [
  { name: "output", short: "o", kind: "string", help: "table, json or yaml (default table)" },
  { name: "runtime-path", kind: "string", help: "Folder that holds .outrigger instead of the home folder" },
  { name: "help", short: "h", kind: "boolean", help: "Show this help" },
];

export const listCommand: Command = {
  name: "list",
  summary: "List running apps and their sidecars",
  help: `List running apps and their sidecars, those of Dapr's own CLI too.

Usage:
  outrigger list [-o json|yaml|table]

Flags:
${flagsHelp(flags)}
`,
  run,
};

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(listCommand.help);
    return 0;
  }
  const format = given.string("output") ?? "table";
  if (!["table", "json", "yaml"].includes(format)) throw new UsageError(`an invalid output format "${format}": use table, json or yaml`);
  const home = homeAt(around.env, given.string("runtime-path"));
  const found = await findInstances(home.instances, new Date(), around.env.DAPR_API_TOKEN ?? null);
  const instances = found.map(outputOf);
  if (format === "json") around.out(`${JSON.stringify(instances, null, 2)}\n`);
  else if (format === "yaml") around.out(dump(instances));
  else around.out(instances.length === 0 ? "❌ No Dapr instances found.\n" : `${instanceTable(instances)}\n`);
  return 0;
}
