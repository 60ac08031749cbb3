// SubscribeTopicEventsAlpha1: the app asks once, gets events as they come, and answers each by its id.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { TopicEventResponse_TopicEventResponseStatus as Status } from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  type SubscribeTopicEventsRequestAlpha1,
  type SubscribeTopicEventsResponseAlpha1,
  SubscribeTopicEventsResponseAlpha1Schema,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import { bidiStreaming, GrpcCode, type GrpcMethod, GrpcStatusError } from "../../../lib/wire/grpc/types.ts";
import type { StreamConnection } from "./stream-connection.ts";
import type { StreamRequest, Streams } from "./streams.ts";

const subscribeApi = { group: "subscribe", version: "v1alpha1" } as const;

export function streamMethod(streams: Streams): GrpcMethod {
  return bidiStreaming(Dapr.method.subscribeTopicEventsAlpha1, subscribeApi, (requests) => serve(streams, requests));
}

type Requests = AsyncIterator<SubscribeTopicEventsRequestAlpha1>;

async function* serve(
  streams: Streams,
  requests: AsyncIterable<SubscribeTopicEventsRequestAlpha1>,
): AsyncGenerator<SubscribeTopicEventsResponseAlpha1> {
  const incoming = requests[Symbol.asyncIterator]();
  const stream = await streams.open(await initialRequest(incoming, streams.ending));
  try {
    yield response({ case: "initialResponse", value: {} });
    void readAnswers(incoming, stream.connection);
    for await (const value of stream.connection.outgoing()) yield response({ case: "eventMessage", value });
  } finally {
    await streams.close(stream);
  }
}

type Kind = MessageInitShape<typeof SubscribeTopicEventsResponseAlpha1Schema>["subscribeTopicEventsResponseType"];

function response(kind: NonNullable<Kind>): SubscribeTopicEventsResponseAlpha1 {
  return create(SubscribeTopicEventsResponseAlpha1Schema, { subscribeTopicEventsResponseType: kind });
}

/** The codes are Dapr's, which gives none of its own. */
function refusal(message: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.UNKNOWN, message);
}

async function initialRequest(incoming: Requests, ending: AbortSignal): Promise<StreamRequest> {
  const first = await orEnding(incoming.next(), ending);
  const kind = first.done ? undefined : first.value.subscribeTopicEventsRequestType;
  if (kind?.case !== "initialRequest") throw refusal("initial request is required");
  const { pubsubName, topic, metadata, deadLetterTopic } = kind.value;
  if (pubsubName === "") throw refusal("pubsubName is required");
  if (topic === "") throw refusal("topic is required");
  return { pubsubName, topic, metadata, deadLetterTopic: deadLetterTopic ?? "" };
}

/** An app that has not asked for anything yet does not hold up the end of the sidecar. */
function orEnding<T>(promise: Promise<T>, ending: AbortSignal): Promise<T> {
  const { promise: over, reject } = Promise.withResolvers<never>();
  const onEnding = () => reject(refusal("api server closed"));
  if (ending.aborted) onEnding();
  else ending.addEventListener("abort", onEnding, { once: true });
  return Promise.race([promise, over]).finally(() => ending.removeEventListener("abort", onEnding));
}

/** Until the app ends the stream or breaks its rules. Never rejects. */
async function readAnswers(incoming: Requests, connection: StreamConnection): Promise<void> {
  try {
    for (let step = await incoming.next(); !step.done; step = await incoming.next()) {
      const kind = step.value.subscribeTopicEventsRequestType;
      if (kind.case !== "eventProcessed") return connection.end(refusal("duplicate initial request received"));
      connection.answer(kind.value.id, kind.value.status?.status ?? Status.SUCCESS);
    }
    connection.end(null);
  } catch {
    // The call is over already; whoever ended it knows why.
    connection.end(null);
  }
}
