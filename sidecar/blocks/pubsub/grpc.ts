// Pub/sub over gRPC.
import { create } from "@bufbuild/protobuf";
import { type Empty, EmptySchema } from "@bufbuild/protobuf/wkt";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  type BulkPublishRequest,
  type BulkPublishResponse,
  BulkPublishResponseSchema,
  type PublishEventRequest,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import { childOf, type TraceContext } from "../../../lib/telemetry/trace-context.ts";
import { type GrpcCall, type GrpcMethod, unary } from "../../../lib/wire/grpc/types.ts";
import { fromMetadata, traceOf } from "../../contract/invoke-headers.ts";
import { type BulkRequest, bulkPublish } from "./bulk-publish.ts";
import { bulkPublishFailed } from "./errors.ts";
import type { PubSubPorts } from "./ports.ts";
import { checkTarget, type PublishRequest, publish } from "./publish.ts";
import type { Publisher } from "./publisher.ts";
import { streamMethod } from "./stream-grpc.ts";
import type { Streams } from "./streams.ts";

const publishApi = { group: "publish", version: "v1" } as const;
const publishAlphaApi = { group: "publish", version: "v1alpha1" } as const;

export function pubSubMethods(ports: PubSubPorts, publisher: Publisher, streams: Streams): readonly GrpcMethod[] {
  const bulk = (message: BulkPublishRequest, call: GrpcCall) => handleBulk(ports, publisher, message, call);
  return [
    unary(Dapr.method.publishEvent, publishApi, (message, call) => handlePublish(ports, publisher, message, call)),
    unary(Dapr.method.bulkPublishEvent, publishApi, bulk),
    unary(Dapr.method.bulkPublishEventAlpha1, publishAlphaApi, bulk),
    streamMethod(streams),
  ];
}

/** Any failure is an error of the call, as in Dapr: the entries that failed are its field violations, by id. */
async function handleBulk(
  ports: PubSubPorts,
  publisher: Publisher,
  message: BulkPublishRequest,
  call: GrpcCall,
): Promise<BulkPublishResponse> {
  const { pubsubName, topic, metadata } = message;
  const request: BulkRequest = { pubsubName, topic, metadata, trace: callTrace(ports, call) };
  const target = checkTarget(ports, request);
  const entries = message.entries.map((entry) => ({ ...entry, data: entry.event }));
  const failed = await bulkPublish(ports, publisher, request, target, entries, call.signal);
  if (failed.length > 0) throw bulkPublishFailed(pubsubName, topic, failed);
  return create(BulkPublishResponseSchema);
}

async function handlePublish(ports: PubSubPorts, publisher: Publisher, message: PublishEventRequest, call: GrpcCall): Promise<Empty> {
  const request: PublishRequest = {
    pubsubName: message.pubsubName,
    topic: message.topic,
    contentType: message.dataContentType,
    metadata: message.metadata,
    trace: callTrace(ports, call),
  };
  const target = checkTarget(ports, request);
  const marked = target.raw && request.trace === null ? { ...request, metadata: withEmptyTrace(request.metadata) } : request;
  await publish(ports, publisher, marked, target, message.data, call.signal);
  return create(EmptySchema);
}

/** Over gRPC alone Dapr says so when a raw payload has no trace; subscribers then get a traceparent of zeros. */
function withEmptyTrace(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.assign(Object.create(null), metadata, { traceid: "", tracestate: "" });
}

function callTrace(ports: PubSubPorts, call: GrpcCall): TraceContext | null {
  const parent = traceOf(fromMetadata(call.metadata));
  return ports.tracing ? childOf(parent, true) : parent;
}
