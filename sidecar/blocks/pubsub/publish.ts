// The verb behind PublishEvent, HTTP and gRPC alike: checks the request, makes the CloudEvent and hands it to the publisher.
import type { PubSub } from "../../../components/pubsub/broker.ts";
import { rawPayload, timeToLiveMs } from "../../../components/pubsub/request-metadata.ts";
import { ApiError } from "../../../lib/kit/errors.ts";
import { formatTraceparent, type TraceContext } from "../../../lib/telemetry/trace-context.ts";
import type { Loaded } from "../../contract/ports.ts";
import { complete, type EnvelopeRequest, type EventTrace, wrap } from "./cloud-event.ts";
import { isCloudEvent } from "./content-type.ts";
import { badCloudEvent, badMetadata, nameEmpty, notFound, publishFailed, topicEmpty } from "./errors.ts";
import type { PubSubPorts } from "./ports.ts";
import type { Outgoing, Publisher } from "./publisher.ts";

export interface PublishRequest {
  readonly pubsubName: string;
  readonly topic: string;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Null: the request belongs to no trace. */
  readonly trace: TraceContext | null;
}

/** Where a publish request goes, once its parameters are known to be right. */
export interface Target {
  readonly component: Loaded<PubSub>;
  readonly raw: boolean;
}

export type PublishPorts = Pick<PubSubPorts, "identity" | "components" | "clock" | "observer">;

/** Before the body is read. Throws ApiError. */
export function checkTarget(ports: PublishPorts, request: Omit<PublishRequest, "contentType">): Target {
  const { metadata, pubsubName, topic } = request;
  if (pubsubName === "") throw nameEmpty(metadata);
  const component = ports.components.get(pubsubName);
  if (component === undefined) throw notFound(pubsubName, metadata);
  if (topic === "") throw topicEmpty(pubsubName, metadata);
  try {
    return { component, raw: rawPayload(metadata) };
  } catch (error) {
    throw badMetadata(pubsubName, metadata, error);
  }
}

/** Resolves once the broker has the message. Rejects with ApiError. */
export async function publish(
  ports: PublishPorts,
  publisher: Publisher,
  request: PublishRequest,
  target: Target,
  data: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const message = outgoing(ports, request, target, data);
  const { clock, observer } = ports;
  const startedMs = observer === null ? 0 : clock.monotonic();
  let success = false;
  try {
    await publisher.publish(request.pubsubName, message, signal);
    success = true;
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw publishFailed(request.pubsubName, request.topic, error);
  } finally {
    observer?.published(request.pubsubName, request.topic, success, clock.monotonic() - startedMs);
  }
}

/** The message for the broker: an event, or the bytes as they are. Throws ApiError when the data is no CloudEvent where it says so. */
export function outgoing(ports: PublishPorts, request: PublishRequest, target: Target, data: Uint8Array): Outgoing {
  const { contentType, metadata, topic } = request;
  const trace = eventTrace(request.trace);
  if (target.raw) return { topic, data, contentType, metadata: withTrace(metadata, trace) };
  return { topic, data: envelope(ports, request, target, data, trace), contentType: cloudEventType, metadata };
}

const cloudEventType = "application/cloudevents+json";

function envelope(ports: PublishPorts, request: PublishRequest, target: Target, data: Uint8Array, trace: EventTrace): Uint8Array {
  const now = ports.clock.now();
  // A broker that knows about time to live drops expired messages itself.
  const ttlMs = target.component.driver.features.includes("MESSAGE_TTL") ? null : timeToLiveMs(request.metadata);
  const expiresAt = ttlMs === null ? null : now + ttlMs;
  const parts: EnvelopeRequest = { ...request, source: ports.identity.appId, data, trace, expiresAt, now };
  const event = isCloudEvent(request.contentType) ? complete(parts) : wrap(parts);
  if (event === null)
    throw badCloudEvent(
      request.pubsubName,
      ports.identity.appId,
      "the data is not a JSON object; send a CloudEvent, or another content type",
    );
  return Buffer.from(event);
}

const untraced: EventTrace = Object.freeze({ traceparent: "", tracestate: "" });

function eventTrace(trace: TraceContext | null): EventTrace {
  return trace === null ? untraced : { traceparent: formatTraceparent(trace), tracestate: trace.tracestate };
}

/** A raw payload has no envelope to carry the trace, so its metadata does. */
function withTrace(metadata: Readonly<Record<string, string>>, trace: EventTrace): Readonly<Record<string, string>> {
  if (trace === untraced) return metadata;
  return Object.assign(Object.create(null), metadata, { traceid: trace.traceparent, tracestate: trace.tracestate });
}
