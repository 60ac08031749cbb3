// The pods that ask for a sidecar, by their metadata: which Configuration they name (for the API), and which of them lack
// their sidecar (for the watchdog). Other pods leave no trace here.
import type { Clock } from "../lib/kit/clock.ts";
import { GrpcCode } from "../lib/kit/errors.ts";
import type { KubeClient } from "../lib/kube/client.ts";
import { Informer } from "../lib/kube/informer.ts";
import type { KubeObject } from "../lib/kube/object.ts";
import { kubeResources } from "../lib/kube/resource.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import { GrpcStatusError } from "../lib/wire/grpc/types.ts";
import { slimPod } from "./api/assigned-configuration.ts";

export interface PodsOptions {
  readonly client: KubeClient;
  /** Null: all. */
  readonly namespace: string | null;
  readonly relistMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Pods {
  readonly #informer: Informer;

  constructor({ client, namespace, relistMs, clock, log }: PodsOptions) {
    this.#informer = new Informer({
      client,
      resource: kubeResources.pods,
      selection: { namespace, metadataOnly: true },
      transform: slimPod,
      relistMs,
      clock,
      log: log.scope("dapr.operator.informer.pod"),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#informer.run(signal);
  }

  synced(): Promise<void> {
    return this.#informer.synced;
  }

  /** Throws UNAVAILABLE as long as no list has come. */
  values(): IterableIterator<KubeObject> {
    if (this.#informer.isSynced) return this.#informer.values();
    const cause = this.#informer.trouble ?? "the first list is under way";
    throw new GrpcStatusError(GrpcCode.UNAVAILABLE, `the operator does not know the pods yet: ${cause}`);
  }
}
