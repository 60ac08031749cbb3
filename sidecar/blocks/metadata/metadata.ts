// The metadata API: what this sidecar is, has loaded and listens to, plus the labels that callers put on it.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { apiError } from "../../../lib/kit/errors.ts";
import { daprVersion, outriggerVersion } from "../../../lib/kit/version.ts";
import {
  ActorRuntime_ActorRuntimeStatus,
  type GetMetadataResponse,
  GetMetadataResponseSchema,
  PubsubSubscriptionType,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/metadata_pb.ts";
import { metadataErrors } from "./errors.ts";
import type { MetadataPorts, SubscriptionInfo } from "./ports.ts";

/** Labels are for tools that mark a sidecar, not for data: bounded, so that no caller can fill the memory. */
const extendedMaxEntries = 1000;
const extendedMaxValueBytes = 64 * 1024;

const subscriptionTypes: Readonly<Record<SubscriptionInfo["type"], PubsubSubscriptionType>> = {
  DECLARATIVE: PubsubSubscriptionType.DECLARATIVE,
  PROGRAMMATIC: PubsubSubscriptionType.PROGRAMMATIC,
  STREAMING: PubsubSubscriptionType.STREAMING,
};

export interface MetadataVerbs {
  get(): GetMetadataResponse;
  /** An empty key is ignored, as Dapr does. */
  set(key: string, value: string): void;
}

export function createMetadataVerbs(ports: MetadataPorts): MetadataVerbs {
  const extended = new Map<string, string>();
  return {
    get: () => create(GetMetadataResponseSchema, response(ports, extended)),
    set(key, value) {
      if (key === "") return;
      if (Buffer.byteLength(value) > extendedMaxValueBytes) throw apiError(metadataErrors.valueTooLong, [key, extendedMaxValueBytes]);
      if (!extended.has(key) && extended.size >= extendedMaxEntries) throw apiError(metadataErrors.tooMany, [extendedMaxEntries]);
      extended.set(key, value);
    },
  };
}

function response(ports: MetadataPorts, extended: ReadonlyMap<string, string>): MessageInitShape<typeof GetMetadataResponseSchema> {
  const { app } = ports;
  return {
    id: ports.appId,
    runtimeVersion: daprVersion,
    enabledFeatures: [...ports.enabledFeatures()],
    extendedMetadata: { ...Object.fromEntries(extended), daprRuntimeVersion: daprVersion, outriggerVersion },
    registeredComponents: [...ports.components()].map((c) => ({ ...c, capabilities: [...c.capabilities] })),
    subscriptions: [...ports.subscriptions()].map(subscription),
    httpEndpoints: [...ports.httpEndpoints()].map((name) => ({ name })),
    resiliencies: [...ports.resiliencies()].map((name) => ({ name })),
    appConnectionProperties: {
      port: app.port,
      protocol: app.protocol,
      channelAddress: app.channelAddress,
      maxConcurrency: app.maxConcurrency,
      ...(app.health ? { health: app.health } : {}),
    },
    actorRuntime: { runtimeStatus: ActorRuntime_ActorRuntimeStatus.DISABLED, hostReady: false, placement: "placement: disconnected" },
    workflows: {},
  };
}

function subscription(info: SubscriptionInfo) {
  return {
    pubsubName: info.pubsubName,
    topic: info.topic,
    metadata: { ...info.metadata },
    deadLetterTopic: info.deadLetterTopic,
    rules: { rules: info.rules.map((rule) => ({ ...rule })) },
    type: subscriptionTypes[info.type],
  };
}
