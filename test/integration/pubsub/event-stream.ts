// An app's end of SubscribeTopicEventsAlpha1.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import {
  TopicEventResponse_TopicEventResponseStatus as Status,
  type TopicEventRequest,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  type SubscribeTopicEventsRequestAlpha1,
  SubscribeTopicEventsRequestAlpha1Schema,
  type SubscribeTopicEventsResponseAlpha1,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/pubsub_pb.ts";
import type { Daprd } from "../../harness/daprd.ts";
import { GrpcClient, type GrpcError } from "../../harness/grpc-client.ts";

type Kind = MessageInitShape<typeof SubscribeTopicEventsRequestAlpha1Schema>["subscribeTopicEventsRequestType"];

export { Status };

export class EventStream implements Disposable {
  readonly #client: GrpcClient;
  readonly #call: ClientDuplexStream<SubscribeTopicEventsRequestAlpha1, SubscribeTopicEventsResponseAlpha1>;
  readonly #replies: AsyncIterator<SubscribeTopicEventsResponseAlpha1>;

  private constructor(client: GrpcClient) {
    this.#client = client;
    this.#call = client.stream(Dapr.method.subscribeTopicEventsAlpha1);
    this.#replies = this.#call[Symbol.asyncIterator]();
  }

  /** Resolves when the sidecar has subscribed. */
  static async open(sidecar: Daprd, pubsubName: string, topic: string, deadLetterTopic = ""): Promise<EventStream> {
    const stream = new EventStream(new GrpcClient(sidecar.grpcAddress));
    stream.#send({ case: "initialRequest", value: { pubsubName, topic, deadLetterTopic } });
    await stream.#replies.next();
    return stream;
  }

  /** The next event. Rejects with GrpcError when the stream ends instead. */
  async next(): Promise<TopicEventRequest> {
    const step = await this.#replies.next();
    const kind = step.done ? undefined : step.value.subscribeTopicEventsResponseType;
    if (kind?.case !== "eventMessage") throw new Error("the stream ended well");
    return kind.value;
  }

  answer({ id }: TopicEventRequest, status: Status): void {
    this.#send({ case: "eventProcessed", value: { id, status: { status } } });
  }

  /** The status that ends the stream. */
  async ended(): Promise<GrpcError | null> {
    try {
      while (!(await this.#replies.next()).done);
      return null;
    } catch (error) {
      return error as GrpcError;
    }
  }

  /** As an app that dies: nothing is said. */
  [Symbol.dispose](): void {
    this.#call.on("error", () => {});
    this.#call.cancel();
    this.#client[Symbol.dispose]();
  }

  #send(kind: NonNullable<Kind>): void {
    this.#call.write(create(SubscribeTopicEventsRequestAlpha1Schema, { subscribeTopicEventsRequestType: kind as never }));
  }
}
