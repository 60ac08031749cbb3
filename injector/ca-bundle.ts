// Our trust anchors in the webhook configuration, so that the API server trusts our certificate: made at run time, so that
// no chart holds a certificate. It is looked at again now and then, since others write there too, and at once when the
// anchors change. A refusal (403, 404, 409) is reported and tried again; it never ends the service.
import { type Clock, sleep } from "../lib/kit/clock.ts";
import { messageOf } from "../lib/kit/errors.ts";
import { Backoff } from "../lib/kube/backoff.ts";
import type { KubeClient } from "../lib/kube/client.ts";
import { isStatus } from "../lib/kube/error.ts";
import { arrayOf, at, type KubeObject, textOf } from "../lib/kube/object.ts";
import { type KubeResource, kubeResources } from "../lib/kube/resource.ts";
import type { TrustBundle } from "../lib/security/trust-bundle.ts";
import type { Logger } from "../lib/telemetry/log.ts";

export const webhookConfigurationName = "dapr-sidecar-injector";

export const validatingWebhooks: KubeResource = Object.freeze({
  ...kubeResources.mutatingWebhooks,
  plural: "validatingwebhookconfigurations",
  kind: "ValidatingWebhookConfiguration",
});

export interface JsonPatchTest {
  readonly op: "test" | "add";
  readonly path: string;
  readonly value: string;
}

/** What makes every webhook of `configuration` trust `caBundle` (base64); null: it does. Pure. */
export function planCaBundle(configuration: KubeObject, caBundle: string): readonly JsonPatchTest[] | null {
  const operations: JsonPatchTest[] = [];
  arrayOf(configuration["webhooks"]).forEach((webhook, i) => {
    if (textOf(at(webhook, "clientConfig", "caBundle")) === caBundle) return;
    // Another writer may have changed the list in between: then nothing is patched, and it is read again.
    operations.push({ op: "test", path: `/webhooks/${i}/name`, value: textOf(at(webhook, "name")) });
    operations.push({ op: "add", path: `/webhooks/${i}/clientConfig/caBundle`, value: caBundle });
  });
  return operations.length === 0 ? null : operations;
}

export interface CaBundleOptions {
  readonly client: Pick<KubeClient, "get" | "patch">;
  readonly bundle: TrustBundle;
  readonly log: Logger;
  readonly clock: Clock;
  readonly onFailure: () => void;
}

const checkEveryMs = 20_000;
const retryFirstMs = 500;
const retryMaxMs = 15_000;

export class CaBundleReconciler {
  readonly #options: CaBundleOptions;
  readonly #backoff = new Backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs });
  #wake = new AbortController();

  constructor(options: CaBundleOptions) {
    this.#options = options;
  }

  /** Resolves after the first try, whatever came of it, and goes on until the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#options.bundle.onChange(() => this.#wake.abort(changed));
    signal.addEventListener("abort", unsubscribe, { once: true });
    const first = await this.#attempt(signal);
    void this.#goOn(first, signal);
  }

  async #goOn(firstMs: number, signal: AbortSignal): Promise<void> {
    for (let waitMs = firstMs; ; waitMs = await this.#attempt(signal)) {
      await sleep(this.#options.clock, waitMs, AbortSignal.any([signal, this.#wake.signal])).catch(ignore);
      if (signal.aborted) return;
      this.#wake = new AbortController();
    }
  }

  /** Milliseconds until the next. */
  async #attempt(signal: AbortSignal): Promise<number> {
    const { log, onFailure } = this.#options;
    try {
      await this.#reconcile(signal);
      if (this.#backoff.failures > 0) log.info("The webhook configuration has our CA bundle");
      this.#backoff.reset();
      return checkEveryMs;
    } catch (error) {
      if (signal.aborted) return 0;
      onFailure();
      if (this.#backoff.failures === 0) {
        log.error(`Could not put the CA bundle into the webhook configuration, trying again: ${messageOf(error)}`);
      }
      return this.#backoff.next();
    }
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const found = await this.#patch(kubeResources.mutatingWebhooks, signal);
    if (!found) throw new Error(`there is no MutatingWebhookConfiguration ${webhookConfigurationName}; install the chart`);
    // Dapr's chart has none, and gives no right to look.
    await this.#patch(validatingWebhooks, signal).catch((error: unknown) => {
      if (!isStatus(error, 403)) throw error;
    });
  }

  /** False: there is none. */
  async #patch(resource: KubeResource, signal: AbortSignal): Promise<boolean> {
    const { client, bundle, log } = this.#options;
    const configuration = await client.get(resource, null, webhookConfigurationName, signal);
    if (configuration === null) return false;
    const plan = planCaBundle(configuration, Buffer.from(bundle.pem).toString("base64"));
    if (plan === null) return true;
    await client.patch(resource, null, webhookConfigurationName, "json", plan, signal);
    log.info(`${resource.kind} patched with our CA bundle`);
    return true;
  }
}

const changed = new Error("the trust anchors have changed");

function ignore(): void {}
