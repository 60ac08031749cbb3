// The HTTP form of the metadata API. It differs from protojson: rules are a flat list, the subscription type a word.
import type { GetMetadataResponse } from "../../../lib/proto/gen/dapr/proto/runtime/v1/metadata_pb.ts";
import { PubsubSubscriptionType } from "../../../lib/proto/gen/dapr/proto/runtime/v1/metadata_pb.ts";
import { json, noContent, type Route } from "../../contract/http.ts";
import type { MetadataVerbs } from "./metadata.ts";

export function metadataRoutes(verbs: MetadataVerbs): Route[] {
  const shared = { version: "v1.0", group: "metadata", groupVersion: "v1", public: true } as const;
  return [
    { ...shared, methods: ["GET"], path: "metadata", name: "GetMetadata", handle: () => json(httpForm(verbs.get())) },
    {
      ...shared,
      methods: ["PUT"],
      path: "metadata/:key",
      name: "PutMetadata",
      handle: async (request) => {
        const value = (await request.body()).toString("utf8");
        verbs.set(request.params["key"] as string, value);
        return noContent;
      },
    },
  ];
}

/** Undefined members vanish in JSON, as Go's omitempty does. */
function httpForm(from: GetMetadataResponse): Record<string, unknown> {
  const app = from.appConnectionProperties;
  return {
    id: from.id,
    runtimeVersion: from.runtimeVersion,
    enabledFeatures: filled(from.enabledFeatures),
    components: filled(
      from.registeredComponents.map(({ name, type, version, capabilities }) => ({
        name,
        type,
        version,
        capabilities: filled(capabilities),
      })),
    ),
    extended: from.extendedMetadata,
    subscriptions: filled(from.subscriptions.map(subscriptionForm)),
    httpEndpoints: filled(from.httpEndpoints.map(({ name }) => ({ name }))),
    appConnectionProperties: app && {
      port: app.port || undefined,
      protocol: app.protocol || undefined,
      channelAddress: app.channelAddress || undefined,
      maxConcurrency: app.maxConcurrency || undefined,
      health: app.health && {
        healthCheckPath: app.health.healthCheckPath || undefined,
        healthProbeInterval: app.health.healthProbeInterval,
        healthProbeTimeout: app.health.healthProbeTimeout,
        healthThreshold: app.health.healthThreshold,
      },
    },
    actorRuntime: { runtimeStatus: "DISABLED", hostReady: false, placement: from.actorRuntime?.placement },
    resiliencies: filled(from.resiliencies.map(({ name }) => ({ name }))),
  };
}

function subscriptionForm(subscription: GetMetadataResponse["subscriptions"][number]): Record<string, unknown> {
  return {
    pubsubname: subscription.pubsubName,
    topic: subscription.topic,
    metadata: Object.keys(subscription.metadata).length > 0 ? subscription.metadata : undefined,
    rules: filled((subscription.rules?.rules ?? []).map(({ match, path }) => ({ match: match || undefined, path: path || undefined }))),
    deadLetterTopic: subscription.deadLetterTopic,
    type: typeWords.get(subscription.type),
  };
}

const typeWords: ReadonlyMap<number, string> = new Map(
  Object.entries(PubsubSubscriptionType).map(([word, value]) => [value as number, word]),
);

function filled<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length > 0 ? list : undefined;
}
