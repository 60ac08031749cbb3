// One stream of events to an app: what goes out, and the answers that come back for it. Invariants:
//  1. A delivery ends with the app's answer for its event, with the end of the stream, or with its own signal; never twice.
//  2. An event that the stream cannot carry fails alone.
//  3. Once the stream has ended, nothing goes out, and every delivery in flight and later is refused, so that the broker has it again.

import { toBinary } from "@bufbuild/protobuf";
import {
  type TopicEventResponse_TopicEventResponseStatus as Status,
  type TopicEventRequest,
  TopicEventRequestSchema,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { outcomeOf, topicEvent } from "./deliver-grpc.ts";
import type { Event } from "./event.ts";
import { type Outcome, RetryError } from "./outcome.ts";
import type { Receiver } from "./receiver.ts";

/** Around the event in its message. */
const envelopeMaxBytes = 16;

interface Delivery {
  readonly request: TopicEventRequest;
  settle(status: Status): void;
  fail(error: unknown): void;
}

export class StreamConnection implements Receiver {
  readonly id: number;
  readonly deliverBulk = null;
  readonly #maxBytes: number;
  readonly #log: Logger;
  readonly #ended = new AbortController();
  #unsent: Delivery[] = [];
  /** By event id, oldest first: brokers may deliver two events of one id at a time. */
  readonly #open = new Map<string, Delivery[]>();
  #wake: () => void = () => {};
  #error: unknown = null;

  /** `maxBytes` of a message on the stream; 0: no limit. */
  constructor(id: number, maxBytes: number, log: Logger) {
    this.id = id;
    this.#maxBytes = maxBytes > 0 ? maxBytes : Number.POSITIVE_INFINITY;
    this.#log = log.scope("dapr.runtime.processor.pubsub.subscription.streaming");
  }

  get gone(): AbortSignal {
    return this.#ended.signal;
  }

  /** Deliveries that wait for their answer. */
  get inFlight(): number {
    let count = 0;
    for (const deliveries of this.#open.values()) count += deliveries.length;
    return count;
  }

  readonly deliver = async (event: Event, path: string, signal: AbortSignal): Promise<Outcome> => {
    const request = topicEvent(event, path);
    this.#checkSize(event, request);
    const status = await this.#send(request, signal);
    return outcomeOf(status, request.id, this.#log);
  };

  /** The app has handled an event. An answer that nobody waits for is logged. */
  answer(eventId: string, status: Status): void {
    const delivery = this.#open.get(eventId)?.[0];
    if (delivery === undefined) {
      this.#log.error(`no client stream expecting publish response for id ${eventId} ConnectionID${this.id}`);
      return;
    }
    delivery.settle(status);
  }

  /** `error` is what the app is told; null: nothing, for it has ended the stream itself. */
  end(error: unknown): void {
    if (this.#ended.signal.aborted) return;
    this.#error = error;
    this.#ended.abort(new RetryError("stream closed"));
    this.#unsent = [];
    for (const deliveries of [...this.#open.values()])
      for (const delivery of [...deliveries]) delivery.fail(new RetryError("stream closed"));
    this.#wake();
  }

  /** What goes out, until the stream ends; throws what the app is to be told then. For one reader. */
  async *outgoing(): AsyncGenerator<TopicEventRequest, void> {
    while (!this.#ended.signal.aborted) {
      const next = this.#unsent.shift();
      if (next !== undefined) yield next.request;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
    if (this.#error !== null) throw this.#error;
  }

  /** Encoding an event grows it by far less than eight times, so that few need to be encoded to know. */
  #checkSize(event: Event, request: TopicEventRequest): void {
    if (event.body.length * 8 <= this.#maxBytes) return;
    const bytes = toBinary(TopicEventRequestSchema, request).length + envelopeMaxBytes;
    if (bytes <= this.#maxBytes) return;
    const { id } = request;
    throw new RetryError(`pub/sub event ${id} of ${bytes} bytes is larger than the limit of ${this.#maxBytes}; raise --max-body-size`);
  }

  #send(request: TopicEventRequest, signal: AbortSignal): Promise<Status> {
    return new Promise((resolve, reject) => {
      if (this.#ended.signal.aborted) return reject(new RetryError("stream closed"));
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => delivery.fail(signal.reason);
      const leave = () => {
        signal.removeEventListener("abort", onAbort);
        this.#forget(delivery);
      };
      const delivery: Delivery = {
        request,
        settle: (status) => {
          leave();
          resolve(status);
        },
        fail: (error) => {
          leave();
          reject(error);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      const sameId = this.#open.get(request.id);
      if (sameId === undefined) this.#open.set(request.id, [delivery]);
      else sameId.push(delivery);
      this.#unsent.push(delivery);
      this.#wake();
    });
  }

  #forget(delivery: Delivery): void {
    const { id } = delivery.request;
    const rest = (this.#open.get(id) ?? []).filter((other) => other !== delivery);
    if (rest.length === 0) this.#open.delete(id);
    else this.#open.set(id, rest);
    if (this.#unsent.length > 0) this.#unsent = this.#unsent.filter((other) => other !== delivery);
  }
}
