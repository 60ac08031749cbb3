// Brings the cluster's CRDs up to this version, and the conversion webhook's address and CA bundle up to date: each CRD on
// its own, tried again when refused, looked at again every few minutes and whenever our trust anchors change.
import { type Clock, sleep } from "../../../lib/kit/clock.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import { Backoff } from "../../../lib/kube/backoff.ts";
import type { KubeClient } from "../../../lib/kube/client.ts";
import { kubeResources } from "../../../lib/kube/resource.ts";
import { crdSources } from "../../../lib/resources/crds/crds.ts";
import { type CrdSource, group } from "../../../lib/resources/crds/definition.ts";
import type { TrustBundle } from "../../../lib/security/trust-bundle.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { OperatorMetrics } from "../../../lib/telemetry/operator-metrics.ts";
import { planCaBundle, planCrd } from "./plan.ts";

export interface CrdsOptions {
  readonly client: Pick<KubeClient, "get" | "apply" | "patch">;
  readonly namespace: string;
  readonly version: string;
  /** Null: no webhook of ours is running. */
  readonly bundle: Pick<TrustBundle, "pem" | "onChange"> | null;
  /** Whether CRDs are applied, besides the CA bundle. */
  readonly apply: boolean;
  readonly metrics: Pick<OperatorMetrics, "reconcileFailed">;
  readonly clock: Clock;
  readonly log: Logger;
}

export const crdFieldManager = "outrigger-operator";
const { customResourceDefinitions } = kubeResources;
const checkEveryMs = 300_000;
const retryFirstMs = 500;
const retryMaxMs = 60_000;

/** Resolves when the signal has aborted. */
export async function reconcileCrds(options: CrdsOptions, signal: AbortSignal): Promise<void> {
  await Promise.all(crdSources.map((source) => keep(options, source, signal)));
}

async function keep(options: CrdsOptions, source: CrdSource, signal: AbortSignal): Promise<void> {
  const { bundle, metrics, clock, log } = options;
  const backoff = new Backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs });
  let wake = new AbortController();
  const unsubscribe = source.converted ? bundle?.onChange(() => wake.abort(anchorsChanged)) : undefined;
  let told = "";
  while (!signal.aborted) {
    wake = new AbortController();
    const trouble = await reconcileCrd(options, source, signal).then(
      () => "",
      (error: unknown) => messageOf(error),
    );
    if (signal.aborted) break;
    if (trouble === "") backoff.reset();
    else metrics.reconcileFailed("crds");
    if (trouble !== "" && trouble !== told) log.warn(`CRD ${nameOf(source)} cannot be brought up to date, trying again: ${trouble}`);
    if (trouble === "" && told !== "") log.info(`CRD ${nameOf(source)} is up to date`);
    told = trouble;
    const waitMs = trouble === "" ? checkEveryMs : backoff.next();
    await sleep(clock, waitMs, AbortSignal.any([signal, wake.signal])).catch(ignore);
  }
  unsubscribe?.();
}

async function reconcileCrd(
  { client, namespace, version, bundle, apply, log }: CrdsOptions,
  source: CrdSource,
  signal: AbortSignal,
): Promise<void> {
  const name = nameOf(source);
  let present = await client.get(customResourceDefinitions, null, name, signal);
  const wanted = apply ? planCrd(present, { source, version, namespace: bundle === null ? null : namespace }) : null;
  if (wanted !== null) {
    const before = present?.metadata.resourceVersion;
    present = await client.apply(customResourceDefinitions, null, name, wanted, { fieldManager: crdFieldManager, force: true }, signal);
    if (present.metadata.resourceVersion !== before) log.info(`Applied CRD ${JSON.stringify(name)} of version ${version}`);
  }
  if (!source.converted || bundle === null) return;
  if (present === null) throw new Error(`there is no CRD ${name}`);
  const patch = planCaBundle(present, bundle.pem, namespace);
  if (patch === null) {
    log.debug(`Conversion webhook for ${JSON.stringify(name)} is up to date`);
    return;
  }
  await client.patch(customResourceDefinitions, null, name, "merge", patch, signal);
  log.info(`Successfully patched webhook in CRD ${JSON.stringify(name)}`);
}

function nameOf({ plural }: CrdSource): string {
  return `${plural}.${group}`;
}

const anchorsChanged = new Error("the trust anchors have changed");

function ignore(): void {}
