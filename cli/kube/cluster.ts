// The cluster of the user's kubeconfig, for one command: opened, used, closed. What the API server refuses, or a kubeconfig
// that is not there, is the user's to mend and so told without a stack.
import { messageOf } from "../../lib/kit/errors.ts";
import { loadKubeConfig } from "../../lib/kube/access.ts";
import { createKubeClient, type KubeClient } from "../../lib/kube/client.ts";
import { KubeError } from "../../lib/kube/error.ts";
import { lines } from "../../lib/kube/transport.ts";
import type { Surroundings } from "../console.ts";
import { type FlagSpec, type Flags, UsageError } from "../flags.ts";

export interface Cluster {
  readonly client: KubeClient;
  /** The namespace of the kubeconfig's context, or `default`. */
  readonly namespace: string;
  /** Lines of a text answer, as they come. */
  lines(path: string): AsyncIterable<string>;
  /** Aborts when the user stops the command. */
  readonly signal: AbortSignal;
}

export const kubernetesFlag: FlagSpec = { name: "kubernetes", short: "k", kind: "boolean", help: "On Kubernetes" };
export const kubeconfigFlag: FlagSpec = {
  name: "kubeconfig",
  kind: "string",
  help: "Kubeconfig file (default: KUBECONFIG, ~/.kube/config)",
};
export const helpFlag: FlagSpec = { name: "help", short: "h", kind: "boolean", help: "Show this help" };
export const controlPlaneFlag: FlagSpec = {
  name: "namespace",
  short: "n",
  kind: "string",
  help: "Namespace of the control plane (default dapr-system)",
};
export const controlPlaneNamespace = "dapr-system";

/** A log that is followed may be silent for so long. */
const silenceMs = 24 * 3600 * 1000;

/** Throws UsageError without `-k`: the verb is about Kubernetes only. */
export function needKubernetes(given: Flags, verb: string): void {
  if (given.boolean("kubernetes") !== true) throw new UsageError(`outrigger ${verb} is about Kubernetes: add -k`);
}

/** Rejects with UsageError for what a cluster, or the way to it, refuses. */
export async function withCluster<T>(given: Flags, around: Surroundings, use: (cluster: Cluster) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  around.onStop((reason) => stop.abort(new UsageError(reason)));
  const file = given.string("kubeconfig") ?? null;
  const access = await loadKubeConfig(file, around.env).catch((error: unknown) => {
    throw new UsageError(messageOf(error));
  });
  const client = createKubeClient(access);
  try {
    return await use({
      client,
      namespace: client.namespace ?? "default",
      lines: (path) => lines(access, { method: "GET", path }, silenceMs, stop.signal),
      signal: stop.signal,
    });
  } catch (error) {
    if (error instanceof KubeError || error instanceof RangeError) throw new UsageError(messageOf(error));
    throw error;
  } finally {
    client.close();
  }
}
