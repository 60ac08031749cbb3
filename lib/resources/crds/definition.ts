// One CRD as data: names, versions, columns of `kubectl get`. The rest of a CustomResourceDefinition follows from these.
import type { Schema } from "./schema.ts";

export interface PrinterColumn {
  readonly name: string;
  readonly jsonPath: string;
  readonly type: "string" | "integer" | "boolean" | "date";
  readonly description?: string;
  /** Shown by `-o wide` only. */
  readonly priority?: 1;
}

export interface CrdVersion {
  readonly name: string;
  readonly storage: boolean;
  readonly description: string;
  /** Besides apiVersion, kind and metadata. */
  readonly properties: Readonly<Record<string, Schema>>;
  readonly columns: readonly PrinterColumn[];
}

export interface CrdSource {
  /** Of the file below crds/, without ending: Dapr's, so that a chart may take ours in its place. */
  readonly file: string;
  readonly kind: string;
  readonly plural: string;
  readonly versions: readonly CrdVersion[];
  /** Between versions, by the operator's webhook. */
  readonly converted?: true;
}

export const group = "dapr.io";
/** What the operator puts its own namespace in the place of. */
export const webhookNamespacePlaceholder = "replaceme";

export function column(name: string, jsonPath: string, type: PrinterColumn["type"] = "string", priority?: 1): PrinterColumn {
  return { name, type, jsonPath, ...(priority === undefined ? {} : { priority }) };
}

export const age: PrinterColumn = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

/** As it is applied to a cluster. */
export function customResourceDefinition({ kind, plural, versions, converted }: CrdSource) {
  const singular = kind.toLowerCase();
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}`, labels: { "app.kubernetes.io/part-of": "dapr" } },
    spec: {
      group,
      ...(converted ? { conversion: webhookConversion } : {}),
      names: { kind, listKind: `${kind}List`, plural, singular },
      scope: "Namespaced",
      versions: versions.map((version) => versionOf(kind, version)),
    },
  };
}

export type CustomResourceDefinition = ReturnType<typeof customResourceDefinition>;

const webhookConversion = {
  strategy: "Webhook",
  webhook: {
    clientConfig: { service: { namespace: webhookNamespacePlaceholder, name: "dapr-webhook", path: "/convert" } },
    conversionReviewVersions: ["v1", "v2alpha1"],
  },
};

function versionOf(kind: string, { name, storage, description, properties, columns }: CrdVersion) {
  const type = { type: "string" } as const;
  const all: Readonly<Record<string, Schema>> = {
    apiVersion: { description: `${group}/${name}.`, ...type },
    kind: { description: `${kind}.`, ...type },
    metadata: { type: "object" },
    ...properties,
  };
  const sorted = Object.fromEntries(Object.entries(all).toSorted(([one], [other]) => (one < other ? -1 : 1)));
  return {
    name,
    served: true,
    storage,
    additionalPrinterColumns: [...columns, age],
    schema: { openAPIV3Schema: { description, type: "object", properties: sorted } },
  };
}
