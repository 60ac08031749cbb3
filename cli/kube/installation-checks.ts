// The steps of `check` about what an installation consists of: the API server, definitions, the trust bundle, the services.
import { messageOf } from "../../lib/kit/errors.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import { arrayOf, at, type KubeObject, objectOf, textOf } from "../../lib/kube/object.ts";
import { daprResources, kubeResources } from "../../lib/kube/resource.ts";
import { readCertificatesPem } from "../../lib/security/x509/read-certificate.ts";
import { failed, type Outcome, passed, type Section, type Step, warning } from "./check-list.ts";
import { podState, versionOf } from "./control-plane.ts";
import { crdNames } from "./crds.ts";

export interface CheckOptions {
  readonly client: Pick<KubeClient, "get" | "list" | "request" | "server">;
  /** Of the control plane. */
  readonly namespace: string;
  /** Of the CLI. */
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

const install = "outrigger init -k";
const oldestMinor = 28;
const nativeMinor = 29;
const expiryWarningDays = 30;
const dayMs = 86_400_000;

export function kubernetesSection({ client }: CheckOptions): Section {
  return {
    name: "kubernetes-api",
    steps: [
      {
        name: `the API server ${client.server} answers`,
        fatal: true,
        async run(signal) {
          await client.request({ method: "GET", path: "/version" }, signal);
          return passed;
        },
      },
      {
        name: `the cluster is Kubernetes 1.${oldestMinor} or later`,
        async run(signal) {
          const version = await client.request({ method: "GET", path: "/version" }, signal);
          const minor = Number.parseInt(textOf(version["minor"]), 10);
          const name = textOf(version["gitVersion"]);
          if (minor < oldestMinor) return failed(`it is ${name}, whose webhooks have no matchConditions`, "update the cluster");
          if (minor < nativeMinor) {
            return warning(
              `it is ${name}, which has no native sidecar containers: Jobs with a sidecar do not end`,
              "update the cluster to 1.29 or later",
            );
          }
          return passed;
        },
      },
    ],
  };
}

export function definitionsSection(options: CheckOptions): Section {
  const { client, namespace } = options;
  return {
    name: "installation",
    steps: [
      {
        name: `the namespace ${namespace} exists`,
        fatal: true,
        async run(signal) {
          const found = await client.get(kubeResources.namespaces, null, namespace, signal);
          return found === null
            ? failed("there is none of that name", `install with ${install} -n ${namespace}, or name another with -n`)
            : passed;
        },
      },
      ...crdNames.map((name) => definitionStep(options, name)),
      conversionStep(options),
      {
        name: "the Configuration daprsystem exists",
        async run(signal) {
          const found = await client.get(daprResources.configurations, namespace, "daprsystem", signal);
          if (found === null) return failed("services and sidecars go by their defaults", `${install} -n ${namespace} makes it again`);
          if (at(found, "spec", "mtls", "enabled") === false) {
            return warning("it switches mTLS off: sidecars talk in clear", "set spec.mtls.enabled to true, then restart the apps");
          }
          return passed;
        },
      },
    ],
  };
}

function definitionStep({ client, namespace }: CheckOptions, name: string): Step {
  return {
    name: `the definition ${name} is in force`,
    async run(signal) {
      const crd = await client.get(kubeResources.customResourceDefinitions, null, name, signal);
      if (crd === null)
        return failed("there is none", `the operator applies it at its start: kubectl -n ${namespace} logs deploy/dapr-operator`);
      const established = arrayOf(at(crd, "status", "conditions")).some(
        (condition) => at(condition, "type") === "Established" && at(condition, "status") === "True",
      );
      return established ? passed : failed("the API server has not established it", `kubectl describe crd ${name}`);
    },
  };
}

function conversionStep({ client, namespace }: CheckOptions): Step {
  return {
    name: "the API server can convert Subscriptions",
    async run(signal) {
      const crd = await client.get(kubeResources.customResourceDefinitions, null, "subscriptions.dapr.io", signal);
      const config = at(crd, "spec", "conversion", "webhook", "clientConfig");
      const fix = `the operator writes it: kubectl -n ${namespace} logs deploy/dapr-operator`;
      const service = textOf(at(config, "service", "namespace"));
      if (service !== namespace) return failed(`its webhook is in the namespace "${service}", not in ${namespace}`, fix);
      const bundle = textOf(at(config, "caBundle"));
      return bundle === "" ? failed("its webhook has no CA bundle", fix) : passed;
    },
  };
}

export function trustSection({ client, namespace, now }: CheckOptions): Section {
  return {
    name: "certificates",
    steps: [
      {
        name: "the trust bundle has roots that are in force",
        async run(signal) {
          const map = await client.get(kubeResources.configMaps, namespace, "dapr-trust-bundle", signal);
          const roots = textOf(at(map, "data", "ca.crt"));
          const fix = `sentry makes and publishes them: kubectl -n ${namespace} logs deploy/dapr-sentry`;
          if (roots === "") return failed("the ConfigMap dapr-trust-bundle has no ca.crt", fix);
          return rootsOutcome(roots, now, fix);
        },
      },
    ],
  };
}

/** The longest lived root counts: while they rotate there are two. */
function rootsOutcome(pem: string, now: number, fix: string): Outcome {
  try {
    const ends = readCertificatesPem(pem).map(({ notAfter }) => notAfter);
    const days = Math.floor((Math.max(...ends) - now) / dayMs);
    if (days < 0) return failed(`they ended ${-days} days ago`, fix);
    return days < expiryWarningDays ? warning(`they end in ${days} days`, fix) : passed;
  } catch (error) {
    return failed(`ca.crt cannot be read: ${messageOf(error)}`, fix);
  }
}

const deployments = ["dapr-sentry", "dapr-operator", "dapr-sidecar-injector"] as const;

export function servicesSection(options: CheckOptions): Section {
  return { name: "control-plane", steps: deployments.flatMap((name) => [readyStep(options, name), versionStep(options, name)]) };
}

function readyStep({ client, namespace }: CheckOptions, name: string): Step {
  return {
    name: `${name} is ready`,
    async run(signal) {
      const deployment = await client.get(kubeResources.deployments, namespace, name, signal);
      if (deployment === null) return failed("there is no such Deployment", `${install} -n ${namespace} makes it`);
      const wanted = Number(at(deployment, "spec", "replicas") ?? 1);
      const ready = Number(at(deployment, "status", "readyReplicas") ?? 0);
      if (ready > 0 && ready >= wanted) return passed;
      const cause = `${ready} of ${wanted} pods are ready${await reasonOf(name, namespace, client, signal)}`;
      const fix = `kubectl -n ${namespace} describe pods -l app=${name}; kubectl -n ${namespace} logs deploy/${name}`;
      return ready > 0 ? warning(cause, fix) : failed(cause, fix);
    },
  };
}

async function reasonOf(name: string, namespace: string, client: CheckOptions["client"], signal: AbortSignal): Promise<string> {
  const { items } = await client.list(kubeResources.pods, { namespace, labelSelector: `app=${name}` }, signal);
  if (items.length === 0) return ", since none could be created";
  const states = new Set(items.map((pod) => podState(pod)).flatMap(({ healthy, status }) => (healthy ? [] : [status])));
  return states.size === 0 ? "" : `: ${[...states].join(", ")}`;
}

function versionStep({ client, namespace, version }: CheckOptions, name: string): Step {
  return {
    name: `${name} is of the CLI's version`,
    async run(signal) {
      const deployment = await client.get(kubeResources.deployments, namespace, name, signal);
      if (deployment === null) return { state: "skipped", cause: "there is no such Deployment" };
      const found = versionOf(imageOf(deployment, name));
      if (found === version) return passed;
      return warning(`it is ${found || "of no version"}, the CLI ${version}`, `update either: ${install} -n ${namespace}`);
    },
  };
}

function imageOf(deployment: KubeObject, container: string): string {
  const containers = arrayOf(at(deployment, "spec", "template", "spec", "containers")).map(objectOf);
  return textOf(containers.find(({ name }) => name === container)?.["image"]);
}
