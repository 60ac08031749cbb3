// What the operator needs to know of its control plane, from a Configuration in its own namespace and from no other
// (a Configuration of that name elsewhere is somebody's app's): where sentry is and what its trust domain is.
import { type Clock, sleep } from "../lib/kit/clock.ts";
import { messageOf } from "../lib/kit/errors.ts";
import { Backoff } from "../lib/kube/backoff.ts";
import type { KubeClient } from "../lib/kube/client.ts";
import { at, textOf } from "../lib/kube/object.ts";
import { daprResources } from "../lib/kube/resource.ts";
import type { Logger } from "../lib/telemetry/log.ts";

export interface ControlPlaneSettings {
  readonly trustDomain: string;
  /** `host:port`. */
  readonly sentryAddress: string;
}

export interface SettingsOptions {
  readonly client: Pick<KubeClient, "get">;
  readonly namespace: string;
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const defaultTrustDomain = "cluster.local";
const retryFirstMs = 500;
const retryMaxMs = 10_000;

/** Tries until there is an answer, saying what it waits for; rejects with the signal's reason only. */
export async function loadControlPlaneSettings(options: SettingsOptions, signal: AbortSignal): Promise<ControlPlaneSettings> {
  const { client, namespace, name, clock, log } = options;
  const backoff = new Backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs });
  let told = "";
  for (;;) {
    const cause = await client.get(daprResources.configurations, namespace, name, signal).then(
      (object) =>
        object === null ? `there is no Configuration ${namespace}/${name}; the chart creates it` : settingsOf(object, namespace),
      (error: unknown) => messageOf(error),
    );
    if (typeof cause !== "string") return cause;
    signal.throwIfAborted();
    if (cause !== told) log.warn(`Waiting for the control plane's Configuration: ${cause}`);
    told = cause;
    await sleep(clock, backoff.next(), signal);
  }
}

function settingsOf(configuration: unknown, namespace: string): ControlPlaneSettings {
  const mtls = (field: string) => textOf(at(configuration, "spec", "mtls", field));
  return {
    trustDomain: mtls("controlPlaneTrustDomain") || defaultTrustDomain,
    sentryAddress: mtls("sentryAddress") || `dapr-sentry.${namespace}.svc:443`,
  };
}
