// `outrigger check -k`: walks through an installation step by step and prints the fix for what fails.
import { setTimeout as delay } from "node:timers/promises";
import type { Command, Surroundings } from "../console.ts";
import { type FlagSpec, flagsHelp, parseFlags } from "../flags.ts";
import { type Outcome, type Report, type Result, runSections, type Section } from "../kube/check-list.ts";
import {
  type Cluster,
  controlPlaneFlag,
  controlPlaneNamespace,
  helpFlag,
  kubeconfigFlag,
  kubernetesFlag,
  needKubernetes,
  withCluster,
} from "../kube/cluster.ts";
import { injectionSection, sidecarsSection } from "../kube/injection-checks.ts";
import { type CheckOptions, definitionsSection, kubernetesSection, servicesSection, trustSection } from "../kube/installation-checks.ts";

const flags: readonly FlagSpec[] = [
  kubernetesFlag,
  controlPlaneFlag,
  { name: "wait", kind: "number", help: "Go on trying for so many seconds until all is well (default 0)" },
  kubeconfigFlag,
  helpFlag,
];

export const checkCommand: Command = {
  name: "check",
  summary: "Look whether all is well with an installation in a cluster",
  help: `Look whether all is well with an installation in a cluster, step by step, and print the fix for what is not.
Nothing is changed: the pods that it creates are dry runs. Exit code 1 when something failed; warnings do not.

Usage:
  outrigger check -k [-n NAMESPACE]

Flags:
${flagsHelp(flags)}
`,
  run,
};

const retryMs = 1000;

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(checkCommand.help);
    return 0;
  }
  needKubernetes(given, "check");
  const namespace = given.string("namespace") ?? controlPlaneNamespace;
  const until = Date.now() + (given.number("wait") ?? 0) * 1000;
  return withCluster(given, around, async (cluster) => {
    for (;;) {
      const lines: string[] = [];
      const good = await runSections(sectionsOf(cluster, namespace, around.version), reportTo(lines, around.isTerminal), cluster.signal);
      if (!good && Date.now() < until) {
        await delay(retryMs, undefined, { signal: cluster.signal });
        continue;
      }
      around.out(`${lines.join("\n")}\n\n${good ? "All is well." : "Not all is well: the steps marked × say what to do."}\n`);
      return good ? 0 : 1;
    }
  });
}

function sectionsOf({ client }: Cluster, namespace: string, version: string): readonly Section[] {
  const options: CheckOptions = { client, namespace, version, now: Date.now() };
  const sections = [kubernetesSection, definitionsSection, trustSection, servicesSection, injectionSection, sidecarsSection];
  return sections.map((section) => section(options));
}

const marks: Readonly<Record<Outcome["state"], readonly [string, number]>> = {
  passed: ["√", 32],
  warning: ["‼", 33],
  failed: ["×", 31],
  skipped: ["-", 90],
};

function reportTo(lines: string[], colour: boolean): Report {
  return {
    begin({ name }) {
      if (lines.length > 0) lines.push("");
      lines.push(name, "-".repeat(name.length));
    },
    result({ step, outcome }: Result) {
      const [mark, code] = marks[outcome.state];
      lines.push(`${colour ? `\u001b[${code}m${mark}\u001b[0m` : mark} ${step.name}`);
      if (outcome.state === "passed") return;
      lines.push(`    ${outcome.state === "skipped" ? "not judged: " : ""}${outcome.cause}`);
      if (outcome.state !== "skipped") lines.push(`    fix: ${outcome.fix}`);
    },
  };
}
