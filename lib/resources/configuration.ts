// Configuration, dapr.io/v1alpha1: the settings of a sidecar that are not flags. Types only; configuration-parser.ts reads it.
import type { NameValue, ResourceMetadata, ResourceType } from "./resource.ts";
import type { Value } from "./yaml.ts";

export const configurationType: ResourceType = Object.freeze({ apiVersion: "dapr.io/v1alpha1", kind: "Configuration" });

export type Access = "allow" | "deny";

export interface TracingSettings {
  /** A number from 0 to 1 as text; empty: tracing is off. */
  readonly samplingRate: string;
  readonly stdout: boolean;
  /** Empty: no Zipkin. */
  readonly zipkinEndpoint: string;
  readonly otel: {
    /** Empty: not given. */
    readonly protocol: "http" | "grpc" | "";
    /** Empty: no exporter. */
    readonly endpoint: string;
    readonly secure: boolean;
    /** `name=value`. */
    readonly headers: readonly string[];
    /** As name-value pairs, whose references are not resolved yet. */
    readonly headerPairs: readonly NameValue[];
    /** Null: the exporter's default. */
    readonly timeoutMs: number | null;
  };
}

export interface MetricsSettings {
  readonly enabled: boolean;
  readonly recordErrorCodes: boolean;
  readonly http: {
    /** Null: not given, which is true, with a warning in the log. */
    readonly increasedCardinality: boolean | null;
    readonly pathMatching: readonly string[];
    readonly excludeVerbs: boolean;
  };
  /** Milliseconds; empty: Dapr's. */
  readonly latencyBuckets: readonly number[];
  readonly rules: readonly {
    readonly name: string;
    readonly labels: readonly { readonly name: string; readonly regex: Readonly<Record<string, string>> }[];
  }[];
}

export interface PipelineHandler {
  readonly name: string;
  readonly type: string;
  readonly version: string;
  readonly selector: readonly { readonly field: string; readonly value: string }[];
}

export interface SecretScope {
  readonly storeName: string;
  readonly defaultAccess: Access;
  /** Not empty: only these. */
  readonly allowedSecrets: readonly string[];
  readonly deniedSecrets: readonly string[];
}

export interface AccessPolicy {
  readonly appId: string;
  /** Empty: not given. */
  readonly defaultAction: string;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly operations: readonly { readonly name: string; readonly httpVerbs: readonly string[]; readonly action: string }[];
}

export interface AccessControl {
  /** Empty: not given. */
  readonly defaultAction: string;
  readonly trustDomain: string;
  readonly policies: readonly AccessPolicy[];
}

export interface ApiRule {
  readonly name: string;
  readonly version: string;
  readonly protocol: string;
}

export interface MtlsSettings {
  readonly enabled: boolean;
  readonly workloadCertTtl: string;
  readonly allowedClockSkew: string;
  readonly sentryAddress: string;
  readonly controlPlaneTrustDomain: string;
  readonly tokenValidators: readonly { readonly name: string; readonly options: Value }[];
}

export interface WorkflowSettings {
  /** 0: no limit, here and below. */
  readonly maxConcurrentWorkflows: number;
  readonly maxConcurrentActivities: number;
  readonly globalMaxConcurrentWorkflows: number;
  readonly globalMaxConcurrentActivities: number;
  readonly workflowLimits: readonly ConcurrencyLimit[];
  readonly activityLimits: readonly ConcurrencyLimit[];
  /** Null: kept for ever. */
  readonly retentionMs: {
    readonly anyTerminal: number | null;
    readonly completed: number | null;
    readonly failed: number | null;
    readonly terminated: number | null;
  };
}

export interface ConcurrencyLimit {
  readonly name: string;
  readonly maxConcurrent: number;
}

export interface Configuration extends ResourceMetadata {
  readonly tracing: TracingSettings;
  readonly metrics: MetricsSettings;
  readonly httpPipeline: readonly PipelineHandler[];
  readonly appHttpPipeline: readonly PipelineHandler[];
  readonly mtls: MtlsSettings;
  readonly secretScopes: readonly SecretScope[];
  readonly accessControl: AccessControl;
  readonly nameResolution: {
    /** Empty: the mode's default. */
    readonly component: string;
    readonly version: string;
    readonly configuration: Value;
  };
  /** Every name that was given or has a default; the last word counts. */
  readonly features: ReadonlyMap<string, boolean>;
  readonly api: { readonly allowed: readonly ApiRule[]; readonly denied: readonly ApiRule[] };
  /** `type` or `type/version`. */
  readonly deniedComponents: readonly string[];
  readonly apiLogging: { readonly enabled: boolean; readonly obfuscateUrls: boolean; readonly omitHealthChecks: boolean };
  readonly wasmStrictSandbox: boolean;
  readonly workflow: WorkflowSettings;
}

/** Names of the features that are on, in the order in which they were named. */
export function enabledFeatures(configuration: Configuration): readonly string[] {
  return [...configuration.features].filter(([, enabled]) => enabled).map(([name]) => name);
}
