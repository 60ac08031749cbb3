// The steps of `check` about sidecars: would a pod get one, does every pod that asks for one have it, and is it well? The first
// asks the API server itself, by creating a pod in a dry run, which goes the way of every pod and runs nothing.
import { KubeError } from "../../lib/kube/error.ts";
import { annotationOf, arrayOf, at, type Json, type KubeObject, textOf } from "../../lib/kube/object.ts";
import { kubeResources, pathOf } from "../../lib/kube/resource.ts";
import { isEnabled } from "../../lib/resources/annotation-readers.ts";
import { failed, type Outcome, passed, type Section, type Step, warning } from "./check-list.ts";
import { podState } from "./control-plane.ts";
import type { CheckOptions } from "./installation-checks.ts";

const configurationName = "dapr-sidecar-injector";
const sidecar = "daprd";
const namesMax = 5;

export function injectionSection(options: CheckOptions): Section {
  return { name: "injection", steps: [webhookStep(options), dryRunStep(options), untouchedStep(options)] };
}

function webhookStep({ client, namespace }: CheckOptions): Step {
  return {
    name: "the injector's webhook is set up and fails closed",
    async run(signal) {
      const configuration = await client.get(kubeResources.mutatingWebhooks, null, configurationName, signal);
      if (configuration === null)
        return failed(`there is no MutatingWebhookConfiguration ${configurationName}`, `outrigger init -k -n ${namespace} makes it`);
      const webhooks = arrayOf(configuration["webhooks"]);
      const names = (test: (webhook: unknown) => boolean) => webhooks.filter(test).map((webhook) => textOf(at(webhook, "name")));
      const without = names((webhook) => textOf(at(webhook, "clientConfig", "caBundle")) === "");
      if (without.length > 0) {
        return failed(
          `${without.join(", ")} has no CA bundle`,
          `the injector writes it: kubectl -n ${namespace} logs deploy/dapr-sidecar-injector`,
        );
      }
      const elsewhere = names((webhook) => textOf(at(webhook, "clientConfig", "service", "namespace")) !== namespace);
      if (elsewhere.length > 0)
        return failed(`${elsewhere.join(", ")} asks an injector in another namespace`, "uninstall the other installation");
      const open = names((webhook) => at(webhook, "failurePolicy") !== "Fail");
      if (open.length > 0) {
        return warning(
          `${open.join(", ")} lets pods start without a sidecar when the injector is away`,
          "set dapr_sidecar_injector.webhookFailurePolicy=Fail",
        );
      }
      return passed;
    },
  };
}

function dryRunStep({ client, namespace }: CheckOptions): Step {
  return {
    name: "an annotated pod gets a sidecar",
    async run(signal) {
      const pod = await dryRun(client, namespace, { "dapr.io/enabled": "true", "dapr.io/app-id": "outrigger-check" }, signal);
      if (!("object" in pod)) return pod;
      return hasSidecar(pod.object)
        ? passed
        : failed("the API server took the pod as it was", `see why: kubectl -n ${namespace} logs deploy/dapr-sidecar-injector`);
    },
  };
}

function untouchedStep({ client, namespace }: CheckOptions): Step {
  return {
    name: "a pod without annotations is left alone",
    async run(signal) {
      const pod = await dryRun(client, namespace, {}, signal);
      if (!("object" in pod)) return pod;
      const own = await client.get(kubeResources.namespaces, null, namespace, signal);
      if (!hasSidecar(pod.object) || own?.metadata.labels?.["dapr.io/inject"] === "enabled") return passed;
      return failed("it gets a sidecar", "look for other webhooks: kubectl get mutatingwebhookconfigurations");
    },
  };
}

async function dryRun(
  client: CheckOptions["client"],
  namespace: string,
  annotations: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ readonly object: Json } | Outcome> {
  try {
    const path = `${pathOf(kubeResources.pods, namespace, null)}?dryRun=All`;
    return { object: await client.request({ method: "POST", path, body: probePod(annotations) }, signal) };
  } catch (error) {
    if (!(error instanceof KubeError) || error.status === 0) throw error;
    // The webhook's own refusal is a 403 as well.
    if (error.status === 403 && !/webhook/.test(error.message)) throw error;
    return failed(`the API server refuses it: ${error.message}`, firewall);
  }
}

const firewall =
  "see the injector's log; if the API server cannot reach it, let its network (a firewall, often) connect to the pods' webhook port, 4000 unless dapr_sidecar_injector.webhookPort says otherwise";

/** Would pass the restricted Pod Security level, should the namespace ask for it. */
function probePod(annotations: Readonly<Record<string, string>>): Json {
  const securityContext = {
    runAsNonRoot: true,
    runAsUser: 65_532,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { generateName: "outrigger-check-", annotations },
    spec: { containers: [{ name: "app", image: "outrigger-check", securityContext }] },
  };
}

function containersOf(pod: unknown): readonly unknown[] {
  return [...arrayOf(at(pod, "spec", "initContainers")), ...arrayOf(at(pod, "spec", "containers"))];
}

function hasSidecar(pod: unknown): boolean {
  return containersOf(pod).some((container) => textOf(at(container, "name")) === sidecar);
}

export function sidecarsSection({ client, namespace }: CheckOptions): Section {
  const podsWith = async (signal: AbortSignal, test: (pod: KubeObject) => boolean) => {
    const { items } = await client.list(kubeResources.pods, {}, signal);
    const running = items.filter((pod) => !["Succeeded", "Failed"].includes(textOf(at(pod, "status", "phase"))));
    return running.filter(test).map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
  };
  return {
    name: "sidecars",
    steps: [
      {
        name: "every pod that asks for a sidecar has one",
        async run(signal) {
          const without = await podsWith(signal, (pod) => isEnabled(annotationOf(pod, "dapr.io/enabled") ?? undefined) && !hasSidecar(pod));
          if (without.length === 0) return passed;
          return failed(
            `${without.length} have none: ${some(without)}`,
            `delete them and their owners make new ones; why they have none: kubectl -n ${namespace} logs deploy/dapr-sidecar-injector`,
          );
        },
      },
      {
        name: "the pods with a sidecar are ready",
        async run(signal) {
          const unready = await podsWith(signal, (pod) => hasSidecar(pod) && !podState(pod).healthy);
          if (unready.length === 0) return passed;
          return warning(`${unready.length} are not: ${some(unready)}`, "kubectl describe pod, and outrigger logs -k -a APP-ID");
        },
      },
    ],
  };
}

function some(names: readonly string[]): string {
  return names.length <= namesMax ? names.join(", ") : `${names.slice(0, namesMax).join(", ")} and ${names.length - namesMax} more`;
}
