// Dapr resources for tests, as objects; `yaml` writes them the way users do.
import { dump } from "js-yaml";

export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

export interface ComponentOptions {
  readonly version?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly scopes?: readonly string[];
  readonly ignoreErrors?: boolean;
  readonly initTimeout?: string;
}

/** A Component; metadata values may be `{ secretKeyRef: {…} }` or `{ envRef: "X" }`, else they are `value`. */
export function component(name: string, type: string, options: ComponentOptions = {}): Resource {
  const metadata = Object.entries(options.metadata ?? {}).map(([key, value]) => ({ name: key, ...metadataValue(value) }));
  const { version = "v1", ignoreErrors, initTimeout, scopes } = options;
  return {
    apiVersion: "dapr.io/v1alpha1",
    kind: "Component",
    metadata: { name },
    spec: {
      type,
      version,
      metadata,
      ...(ignoreErrors === undefined ? {} : { ignoreErrors }),
      ...(initTimeout === undefined ? {} : { initTimeout }),
    },
    ...(scopes === undefined ? {} : { scopes }),
  };
}

function metadataValue(value: unknown): object {
  if (typeof value === "object" && value !== null && ("secretKeyRef" in value || "envRef" in value)) return value;
  return { value };
}

export function configuration(spec: Readonly<Record<string, unknown>>, name = "config"): Resource {
  return { apiVersion: "dapr.io/v1alpha1", kind: "Configuration", metadata: { name }, spec };
}

/** A v2alpha1 Subscription. */
export function subscription(name: string, spec: Readonly<Record<string, unknown>>, scopes?: readonly string[]): Resource {
  return { apiVersion: "dapr.io/v2alpha1", kind: "Subscription", metadata: { name }, spec, ...(scopes === undefined ? {} : { scopes }) };
}

export function resiliency(spec: Readonly<Record<string, unknown>>, name = "resiliency"): Resource {
  return { apiVersion: "dapr.io/v1alpha1", kind: "Resiliency", metadata: { name }, spec };
}

export function httpEndpoint(name: string, baseUrl: string, spec: Readonly<Record<string, unknown>> = {}): Resource {
  return { apiVersion: "dapr.io/v1alpha1", kind: "HTTPEndpoint", metadata: { name }, spec: { baseUrl, ...spec } };
}

/** One document; text passes through, so that tests can give malformed YAML. */
export function yaml(resource: Resource | string): string {
  return typeof resource === "string" ? resource : dump(resource);
}
