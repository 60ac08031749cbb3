// Reads a Configuration, or several merged into one value, with Dapr's defaults.
import { parseDuration } from "../kit/duration.ts";
import type {
  AccessControl,
  AccessPolicy,
  ApiRule,
  ConcurrencyLimit,
  Configuration,
  MetricsSettings,
  MtlsSettings,
  PipelineHandler,
  SecretScope,
  TracingSettings,
  WorkflowSettings,
} from "./configuration.ts";
import type { Parsed } from "./problem.ts";
import { isObject, type ObjectReader } from "./reader.ts";
import { nameValues, openResource } from "./resource.ts";
import type { Value } from "./yaml.ts";

const defaultFeatures: readonly (readonly [string, boolean])[] = [
  ["HotReload", true],
  ["WorkflowsRemoteActivityReminder", true],
];

export function parseConfiguration(value: Value, file: string): Parsed<Configuration> {
  const { reader, list, name, namespace, scopes } = openResource(value, file);
  // A Configuration is named by its file, so its metadata is free to be empty.
  const problems = list.problems.filter((problem) => problem.field !== "metadata.name" || problem.severity === "error");
  list.problems.splice(0, list.problems.length, ...problems);
  const spec = reader.part("spec");
  const configuration: Configuration = Object.freeze({
    name,
    namespace,
    scopes,
    tracing: read(spec, "tracing", tracing),
    metrics: metrics(spec),
    httpPipeline: read(spec, "httpPipeline", handlers),
    appHttpPipeline: read(spec, "appHttpPipeline", handlers),
    mtls: read(spec, "mtls", mtls),
    secretScopes: read(spec, "secrets", secretScopes),
    accessControl: read(spec, "accessControl", accessControl),
    nameResolution: read(spec, "nameResolution", nameResolution),
    features: features(spec),
    api: read(spec, "api", (api) => ({ allowed: apiRules(api, "allowed"), denied: apiRules(api, "denied") })),
    deniedComponents: read(spec, "components", (components) => components.strings("deny")),
    apiLogging: read(spec, "logging", (logging) => read(logging, "apiLogging", apiLogging)),
    wasmStrictSandbox: read(spec, "wasm", (wasm) => wasm.boolean("strictSandbox") ?? false),
    workflow: read(spec, "workflow", workflow),
  });
  spec.end();
  reader.end();
  return list.result(configuration);
}

/** The configuration of a sidecar that was given none. */
export function defaultConfiguration(): Configuration {
  return parseConfiguration({ metadata: { name: "default" } }, "default").resource as Configuration;
}

/** `over` on `base`, field by field: mappings are merged, everything else is replaced. */
export function mergeValues(base: Value, over: Value): Value {
  if (!isObject(base) || !isObject(over)) return over;
  const merged: Record<string, Value> = Object.assign(Object.create(null), base);
  for (const key of Object.keys(over)) merged[key] = mergeValues(merged[key] ?? null, over[key] as Value);
  return merged;
}

function read<T>(parent: ObjectReader, field: string, reader: (part: ObjectReader) => T): T {
  const part = parent.part(field);
  const result = reader(part);
  part.end();
  return typeof result === "object" ? Object.freeze(result) : result;
}

function each<T>(parent: ObjectReader, field: string, reader: (item: ObjectReader) => T): readonly T[] {
  const items = parent.objects(field).map((item) => {
    const result = reader(item);
    item.end();
    return typeof result === "object" ? Object.freeze(result) : result;
  });
  return Object.freeze(items);
}

function durationMs(reader: ObjectReader, field: string): number | null {
  const text = reader.string(field);
  if (text === "") return null;
  // A bare number is what Go writes a duration as: nanoseconds.
  const ms = /^\d+$/.test(text) ? Number(text) / 1e6 : parseDuration(text);
  if (ms !== undefined) return ms;
  reader.list.error(reader.at(field), `'${text}' is not a duration`, "write a duration such as 500ms, 10s or 24h");
  return null;
}

function tracing(reader: ObjectReader): TracingSettings {
  const samplingRate = reader.string("samplingRate");
  const rate = Number(samplingRate);
  if (samplingRate !== "" && !(rate >= 0 && rate <= 1)) {
    reader.list.warning(reader.at("samplingRate"), `'${samplingRate}' is not a rate`, "write a number from 0 to 1");
  }
  return {
    samplingRate,
    stdout: reader.boolean("stdout") ?? false,
    zipkinEndpoint: read(reader, "zipkin", (zipkin) => zipkin.string("endpointAddress")),
    otel: read(reader, "otel", (otel) => {
      const headers = otel.value("headers");
      const pairs = Array.isArray(headers) && headers.some(isObject);
      return {
        protocol: otel.choice("protocol", ["http", "grpc", ""], ""),
        endpoint: otel.string("endpointAddress"),
        secure: otel.boolean("isSecure") ?? true,
        headers: pairs ? Object.freeze([]) : otel.strings("headers"),
        headerPairs: pairs ? nameValues(otel, "headers") : Object.freeze([]),
        timeoutMs: durationMs(otel, "timeout"),
      };
    }),
  };
}

/** `metrics` wins over `metric`, field by field. */
function metrics(spec: ObjectReader): MetricsSettings {
  const parts = [spec.part("metrics"), spec.part("metric")];
  const owner = (field: string) => parts.filter((part) => part.has(field))[0] ?? (parts[0] as ObjectReader);
  const settings: MetricsSettings = {
    enabled: owner("enabled").boolean("enabled") ?? true,
    recordErrorCodes: owner("recordErrorCodes").boolean("recordErrorCodes") ?? false,
    http: read(owner("http"), "http", (http) => ({
      increasedCardinality: http.boolean("increasedCardinality"),
      pathMatching: http.strings("pathMatching"),
      excludeVerbs: http.boolean("excludeVerbs") ?? false,
    })),
    latencyBuckets: latencyBuckets(owner("latencyDistributionBuckets")),
    rules: each(owner("rules"), "rules", (rule) => ({
      name: rule.string("name"),
      labels: each(rule, "labels", (label) => ({ name: label.string("name"), regex: label.stringMap("regex") })),
    })),
  };
  for (const part of parts) part.end();
  return Object.freeze(settings);
}

function latencyBuckets(reader: ObjectReader): readonly number[] {
  const name = "latencyDistributionBuckets";
  const buckets = reader.strings(name).map(Number);
  const rising = buckets.every((bucket, i) => Number.isFinite(bucket) && (i === 0 || bucket > (buckets[i - 1] as number)));
  if (!rising) reader.list.error(reader.at(name), "the buckets are not rising numbers", "list milliseconds from small to large");
  return Object.freeze(buckets);
}

function handlers(reader: ObjectReader): readonly PipelineHandler[] {
  return each(reader, "handlers", (handler) => ({
    name: handler.string("name"),
    type: handler.string("type"),
    version: handler.string("version"),
    selector: read(handler, "selector", (selector) =>
      each(selector, "fields", (field) => ({ field: field.string("field"), value: field.string("value") })),
    ),
  }));
}

function mtls(reader: ObjectReader): MtlsSettings {
  return {
    enabled: reader.boolean("enabled") ?? false,
    workloadCertTtl: reader.string("workloadCertTTL"),
    allowedClockSkew: reader.string("allowedClockSkew"),
    sentryAddress: reader.string("sentryAddress"),
    controlPlaneTrustDomain: reader.string("controlPlaneTrustDomain"),
    tokenValidators: each(reader, "tokenValidators", (validator) => ({
      name: validator.string("name"),
      options: validator.value("options"),
    })),
  };
}

function secretScopes(reader: ObjectReader): readonly SecretScope[] {
  const seen = new Set<string>();
  return each(reader, "scopes", (scope) => {
    const storeName = scope.string("storeName");
    if (seen.has(storeName)) {
      scope.list.error(
        scope.at("storeName"),
        `${storeName} storeName is repeated in secrets configuration`,
        "join the scopes of one store",
      );
    }
    seen.add(storeName);
    const access = scope.string("defaultAccess");
    if (!/^(allow|deny)?$/i.test(access)) {
      scope.list.error(scope.at("defaultAccess"), `defaultAccess ${access} can be either allow or deny`, "write allow or deny");
    }
    return {
      storeName,
      defaultAccess: access.toLowerCase() === "deny" ? ("deny" as const) : ("allow" as const),
      allowedSecrets: scope.strings("allowedSecrets"),
      deniedSecrets: scope.strings("deniedSecrets"),
    };
  });
}

function accessControl(reader: ObjectReader): AccessControl {
  return {
    // A file that gives neither keeps the defaults; one that gives policies without a default action still starts from allow.
    defaultAction: reader.string("defaultAction", "allow"),
    trustDomain: reader.string("trustDomain", "public"),
    policies: each(reader, "policies", accessPolicy),
  };
}

function accessPolicy(reader: ObjectReader): AccessPolicy {
  return {
    appId: reader.string("appId"),
    defaultAction: reader.string("defaultAction"),
    trustDomain: reader.string("trustDomain"),
    namespace: reader.string("namespace"),
    operations: each(reader, "operations", (operation) => ({
      name: operation.string("name"),
      httpVerbs: operation.strings("httpVerb"),
      action: operation.string("action"),
    })),
  };
}

function nameResolution(reader: ObjectReader): Configuration["nameResolution"] {
  return { component: reader.string("component"), version: reader.string("version"), configuration: reader.value("configuration") };
}

function features(spec: ObjectReader): ReadonlyMap<string, boolean> {
  const named = new Map<string, boolean>();
  for (const feature of spec.objects("features")) {
    const name = feature.string("name");
    const enabled = feature.boolean("enabled") ?? false;
    if (name !== "") named.set(name, enabled);
    feature.end();
  }
  for (const [name, enabled] of defaultFeatures) if (!named.has(name)) named.set(name, enabled);
  return named;
}

function apiRules(reader: ObjectReader, field: string): readonly ApiRule[] {
  return each(reader, field, (rule) => ({
    name: rule.string("name"),
    version: rule.string("version"),
    protocol: rule.string("protocol").toLowerCase(),
  }));
}

function apiLogging(reader: ObjectReader): Configuration["apiLogging"] {
  return {
    enabled: reader.boolean("enabled") ?? false,
    obfuscateUrls: reader.boolean("obfuscateURLs") ?? false,
    omitHealthChecks: reader.boolean("omitHealthChecks") ?? false,
  };
}

function workflow(reader: ObjectReader): WorkflowSettings {
  const limit = (field: string) => Math.max(reader.integer(field) ?? 0, 0);
  return {
    maxConcurrentWorkflows: limit("maxConcurrentWorkflowInvocations"),
    maxConcurrentActivities: limit("maxConcurrentActivityInvocations"),
    globalMaxConcurrentWorkflows: limit("globalMaxConcurrentWorkflowInvocations"),
    globalMaxConcurrentActivities: limit("globalMaxConcurrentActivityInvocations"),
    workflowLimits: each(reader, "workflowConcurrencyLimits", concurrencyLimit),
    activityLimits: each(reader, "activityConcurrencyLimits", concurrencyLimit),
    retentionMs: read(reader, "stateRetentionPolicy", (policy) => ({
      anyTerminal: durationMs(policy, "anyTerminal"),
      completed: durationMs(policy, "completed"),
      failed: durationMs(policy, "failed"),
      terminated: durationMs(policy, "terminated"),
    })),
  };
}

function concurrencyLimit(reader: ObjectReader): ConcurrencyLimit {
  return {
    name: reader.required("name", "name what the limit is for"),
    maxConcurrent: reader.integer("maxConcurrent", 0) ?? 0,
  };
}
