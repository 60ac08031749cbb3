// `outrigger init -k`: installs the control plane, or brings it to this version, with the chart that comes with the CLI.
import { kubeResources } from "../../lib/kube/resource.ts";
import { type Command, type Surroundings, statusLine } from "../console.ts";
import { type FlagSpec, type Flags, flagsHelp, parseFlags, UsageError } from "../flags.ts";
import { controlPlaneFlag, controlPlaneNamespace, helpFlag, kubeconfigFlag, kubernetesFlag, withCluster } from "../kube/cluster.ts";
import { crdNames } from "../kube/crds.ts";
import { defaultRelease, findHelm, helmEnvironment, releaseFlag, runHelm } from "../kube/helm.ts";

const flags: readonly FlagSpec[] = [
  kubernetesFlag,
  controlPlaneFlag,
  { name: "wait", kind: "boolean", help: "Wait until all of it is ready" },
  { name: "timeout", kind: "number", help: "How long to wait, in seconds (default 300)" },
  { name: "enable-mtls", kind: "boolean", help: "Mutual TLS between sidecars (default true)" },
  { name: "enable-ha", kind: "boolean", help: "Three of each service" },
  { name: "set", kind: "list", help: "Values of the chart: --set global.tag=1.0,global.logAsJson=true" },
  { name: "values", short: "f", kind: "string", help: "File with values of the chart" },
  { name: "image-registry", kind: "string", help: "Registry of the image" },
  { name: "runtime-version", kind: "string", help: "Tag of the image (default: the CLI's version)" },
  { name: "ca-root-certificate", kind: "string", help: "File with your root certificate; with the two below" },
  { name: "issuer-public-certificate", kind: "string", help: "File with your issuer certificate" },
  { name: "issuer-private-key", kind: "string", help: "File with the key of your issuer certificate" },
  { name: "dry-run", kind: "boolean", help: "Print the helm command instead of running it" },
  releaseFlag,
  kubeconfigFlag,
  { name: "dev", kind: "boolean", help: "Dapr's: not here", hidden: true },
  { name: "slim", short: "s", kind: "boolean", help: "Dapr's: local runs need nothing installed", hidden: true },
  helpFlag,
];

export const initCommand: Command = {
  name: "init",
  summary: "Install the control plane in a cluster",
  help: `Install the control plane in a cluster, or bring it to this version; needs helm. Local runs need no init.

Usage:
  outrigger init -k [-n NAMESPACE] [--wait] [--enable-ha] [--set NAME=VALUE]

Flags:
${flagsHelp(flags)}
`,
  run,
};

const timeoutSeconds = 300;

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(initCommand.help);
    return 0;
  }
  if (given.boolean("kubernetes") !== true) {
    around.out(statusLine("done", "Local runs need nothing installed: outrigger run. For a cluster add -k.", around.isTerminal));
    return 0;
  }
  if (given.boolean("dev") === true) throw new UsageError("--dev is not supported: install Redis and a trace collector as you like them");
  const command = helmArguments(given, around.chart, around.version);
  if (given.boolean("dry-run") === true) {
    around.out(`helm ${command.map(quoted).join(" ")}\n`);
    return 0;
  }
  const namespace = given.string("namespace") ?? controlPlaneNamespace;
  const helm = findHelm(around.env);
  const skip = (await hasDefinitions(given, around)) ? ["--skip-crds"] : [];
  const code = await runHelm(helm, [...command, ...skip], helmEnvironment(given, around.env));
  const [mark, text] =
    code === 0
      ? (["done", `The control plane is installed in ${namespace}. Is all well? outrigger check -k -n ${namespace}`] as const)
      : (["fail", `helm failed with exit code ${code}. What is wrong? outrigger check -k -n ${namespace}`] as const);
  around.error(statusLine(mark, text, around.isTerminal));
  return code;
}

/** Then they are the operator's, and Helm 4, which would apply those of the chart over them, in conflict with it. */
function hasDefinitions(given: Flags, around: Surroundings): Promise<boolean> {
  return withCluster(given, around, async ({ client, signal }) => {
    const found = await client.get(kubeResources.customResourceDefinitions, null, crdNames[0] as string, signal);
    return found !== null;
  });
}

/** What helm is called with. Throws UsageError for an incomplete certificate authority. */
export function helmArguments(given: Flags, chart: string, version: string): readonly string[] {
  const release = given.string("release") ?? defaultRelease;
  const wait = given.boolean("wait") === true ? ["--wait"] : [];
  const values = given.string("values");
  const registry = given.string("image-registry");
  const sets = [
    `global.tag=${given.string("runtime-version") ?? version}`,
    ...(registry === undefined ? [] : [`global.registry=${registry}`]),
    `global.mtls.enabled=${given.boolean("enable-mtls") ?? true}`,
    `global.ha.enabled=${given.boolean("enable-ha") ?? false}`,
  ];
  return [
    ...["upgrade", "--install", release, chart, "--namespace", given.string("namespace") ?? controlPlaneNamespace, "--create-namespace"],
    ...[...wait, "--timeout", `${given.number("timeout") ?? timeoutSeconds}s`],
    ...(values === undefined ? [] : ["--values", values]),
    // Never --set-string, which wins over the user's --set whatever their order.
    ...sets.flatMap((set) => ["--set", set]),
    ...authority(given),
    ...(given.list("set") ?? []).flatMap((set) => ["--set", set]),
  ];
}

const authorityFiles = [
  ["ca-root-certificate", "dapr_sentry.tls.root.certPEM"],
  ["issuer-public-certificate", "dapr_sentry.tls.issuer.certPEM"],
  ["issuer-private-key", "dapr_sentry.tls.issuer.keyPEM"],
] as const;

function authority(given: Flags): readonly string[] {
  const files = authorityFiles.flatMap(([flag, value]) => {
    const file = given.string(flag);
    return file === undefined ? [] : [["--set-file", `${value}=${file}`]];
  });
  if (files.length !== 0 && files.length !== authorityFiles.length) {
    throw new UsageError(`a certificate authority is all of ${authorityFiles.map(([flag]) => `--${flag}`).join(", ")}`);
  }
  return files.flat();
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
