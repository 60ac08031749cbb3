// The operator's methods by kind of resource: how each is listed, watched and read. Every resource comes as JSON.
import { create } from "@bufbuild/protobuf";
import { messageOf } from "../../../lib/kit/errors.ts";
import {
  ComponentUpdateRequestSchema,
  ConfigurationUpdateRequestSchema,
  GetConfigurationRequestSchema,
  HTTPEndpointUpdateRequestSchema,
  ListComponentsRequestSchema,
  ListHTTPEndpointsRequestSchema,
  ListResiliencyRequestSchema,
  ListSubscriptionsRequestSchema,
  Operator,
  ResiliencyUpdateRequestSchema,
  ResourceEventType,
  SubscriptionUpdateRequestSchema,
} from "../../../lib/proto/gen/dapr/proto/operator/v1/operator_pb.ts";
import { parseComponent } from "../../../lib/resources/component.ts";
import type { Configuration } from "../../../lib/resources/configuration.ts";
import { parseConfiguration } from "../../../lib/resources/configuration-parser.ts";
import { parseHttpEndpoint } from "../../../lib/resources/http-endpoint.ts";
import type { Parsed } from "../../../lib/resources/problem.ts";
import { isObject } from "../../../lib/resources/reader.ts";
import { parseResiliency } from "../../../lib/resources/resiliency.ts";
import type { ResourceMetadata } from "../../../lib/resources/resource.ts";
import { parseSubscription } from "../../../lib/resources/subscription.ts";
import { plainValue, type Value } from "../../../lib/resources/yaml.ts";
import type { CallOptions, GrpcChannel } from "../../../lib/wire/grpc/types.ts";
import type { ChangeType, ResourceKind } from "../reload/feed.ts";

export interface Subject {
  readonly namespace: string;
  /** Of the Configuration; empty: none. */
  readonly configuration: string;
}

export interface RawEvent {
  readonly bytes: Uint8Array;
  /** Null for types that are not known. */
  readonly type: ChangeType | null;
}

export interface KindCalls {
  readonly kind: ResourceKind;
  /** Answered by an operator that lacks the method with UNIMPLEMENTED. */
  list(channel: GrpcChannel, subject: Subject, options: CallOptions): Promise<readonly Uint8Array[]>;
  watch(channel: GrpcChannel, subject: Subject, signal: AbortSignal): AsyncIterable<RawEvent>;
  parse(value: Value): Parsed<ResourceMetadata>;
}

const components: KindCalls = {
  kind: "Component",
  list: async (channel, { namespace }, options) =>
    (await channel.unary(Operator.method.listComponents, create(ListComponentsRequestSchema, { namespace }), options)).message.components,
  watch: (channel, { namespace }, signal) =>
    events(
      channel.serverStream(Operator.method.componentUpdate, create(ComponentUpdateRequestSchema, { namespace }), { signal }).messages,
      (event) => event.component,
    ),
  parse: (value) => parseComponent(value, origin),
};

const subscriptions: KindCalls = {
  kind: "Subscription",
  list: async (channel, { namespace }, options) =>
    (await channel.unary(Operator.method.listSubscriptionsV2, create(ListSubscriptionsRequestSchema, { namespace }), options)).message
      .subscriptions,
  watch: (channel, { namespace }, signal) =>
    events(
      channel.serverStream(Operator.method.subscriptionUpdate, create(SubscriptionUpdateRequestSchema, { namespace }), { signal }).messages,
      (event) => event.subscription,
    ),
  // The operator serves one version, whatever the resource says of itself.
  parse: (value) => parseSubscription(isObject(value) ? { ...value, apiVersion: "dapr.io/v2alpha1" } : value, origin),
};

const httpEndpoints: KindCalls = {
  kind: "HTTPEndpoint",
  list: async (channel, { namespace }, options) =>
    (await channel.unary(Operator.method.listHTTPEndpoints, create(ListHTTPEndpointsRequestSchema, { namespace }), options)).message
      .httpEndpoints,
  watch: (channel, { namespace }, signal) =>
    events(
      channel.serverStream(Operator.method.hTTPEndpointUpdate, create(HTTPEndpointUpdateRequestSchema, { namespace }), { signal }).messages,
      (event) => event.httpEndpoints,
    ),
  parse: (value) => parseHttpEndpoint(value, origin),
};

const resiliencies: KindCalls = {
  kind: "Resiliency",
  list: async (channel, { namespace }, options) =>
    (await channel.unary(Operator.method.listResiliency, create(ListResiliencyRequestSchema, { namespace }), options)).message.resiliencies,
  watch: (channel, { namespace }, signal) =>
    events(
      channel.serverStream(Operator.method.resiliencyUpdate, create(ResiliencyUpdateRequestSchema, { namespace }), { signal }).messages,
      (event) => event.resiliency,
    ),
  parse: (value) => parseResiliency(value, origin),
};

const configurations: KindCalls = {
  kind: "Configuration",
  async list(channel, { namespace, configuration: name }, options) {
    if (name === "") return [];
    const request = create(GetConfigurationRequestSchema, { name, namespace });
    const { configuration } = (await channel.unary(Operator.method.getConfiguration, request, options)).message;
    return configuration.length === 0 ? [] : [configuration];
  },
  watch: (channel, { namespace }, signal) =>
    events(
      channel.serverStream(Operator.method.configurationUpdate, create(ConfigurationUpdateRequestSchema, { namespace }), { signal })
        .messages,
      (event) => event.configuration,
    ),
  parse: readConfiguration,
};

export const kindCalls: readonly KindCalls[] = Object.freeze([components, subscriptions, configurations, httpEndpoints, resiliencies]);

export const configurationCalls: KindCalls = configurations;

const origin = "operator";

export function readConfiguration(value: Value): Parsed<Configuration> {
  return parseConfiguration(value, origin);
}

/** The resource as plain values, or what is wrong with its JSON. */
export function decodeResource(bytes: Uint8Array): { readonly value: Value } | { readonly cause: string } {
  try {
    return { value: plainValue(JSON.parse(Buffer.from(bytes).toString("utf8"))) };
  } catch (error) {
    return { cause: messageOf(error) };
  }
}

const types: ReadonlyMap<ResourceEventType, ChangeType> = new Map([
  [ResourceEventType.CREATED, "CREATED"],
  [ResourceEventType.UPDATED, "UPDATED"],
  [ResourceEventType.DELETED, "DELETED"],
]);

async function* events<E extends { readonly type: ResourceEventType }>(
  messages: AsyncIterable<E>,
  bytesOf: (event: E) => Uint8Array,
): AsyncIterable<RawEvent> {
  for await (const event of messages) yield { bytes: bytesOf(event), type: types.get(event.type) ?? null };
}
