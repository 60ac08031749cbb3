// What a cluster's CRD needs to be that of this version, and to reach our webhook: pure. A CRD that a newer operator has
// applied is left alone, so that two versions side by side, as in a rollout, do not undo each other. Nothing is deleted, ever.
import { annotationOf, at, type Json, type KubeObject } from "../../../lib/kube/object.ts";
import { type CrdSource, customResourceDefinition } from "../../../lib/resources/crds/definition.ts";

export const versionAnnotation = "outrigger.io/crd-version";

export interface CrdTarget {
  readonly source: CrdSource;
  /** Of this operator, `1.2.3`. */
  readonly version: string;
  /** Namespace of the webhook; null: none of ours is running, and where it is stays as it is. */
  readonly namespace: string | null;
}

/** What to apply; null: leave it. */
export function planCrd(present: KubeObject | null, { source, version, namespace }: CrdTarget): Json | null {
  const applied = present === null ? null : annotationOf(present, versionAnnotation);
  if (applied !== null && compareVersions(applied, version) > 0) return null;
  const { metadata, spec: all, ...rest } = customResourceDefinition(source);
  const { conversion: shipped, ...spec } = all as typeof all & { readonly conversion?: Conversion };
  const conversion = shipped === undefined || namespace === null ? {} : { conversion: withNamespace(shipped, namespace) };
  return { ...rest, metadata: { ...metadata, annotations: { [versionAnnotation]: version } }, spec: { ...spec, ...conversion } };
}

type Conversion = NonNullable<Extract<ReturnType<typeof customResourceDefinition>["spec"], { conversion?: unknown }>["conversion"]>;

function withNamespace(conversion: Conversion, namespace: string): Json {
  const { service } = conversion.webhook.clientConfig;
  return { ...conversion, webhook: { ...conversion.webhook, clientConfig: { service: { ...service, namespace } } } };
}

/** A merge patch that makes the API server find and trust our webhook; null: it does. */
export function planCaBundle(crd: KubeObject, caBundlePem: string, namespace: string): Json | null {
  const caBundle = Buffer.from(caBundlePem).toString("base64");
  const config = at(crd, "spec", "conversion", "webhook", "clientConfig");
  if (at(config, "caBundle") === caBundle && at(config, "service", "namespace") === namespace) return null;
  return { spec: { conversion: { webhook: { clientConfig: { caBundle, service: { namespace } } } } } };
}

/** Negative when `one` is older; what is no number counts as 0. */
export function compareVersions(one: string, other: string): number {
  const parts = (version: string) => version.split(/[.+-]/, 3).map((part) => Number.parseInt(part, 10) || 0);
  const [left, right] = [parts(one), parts(other)];
  for (let index = 0; index < 3; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
