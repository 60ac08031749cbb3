// Who gets the events of a subscription: the app over its channel, or a stream that it has opened.
import type { Logger } from "../../../lib/telemetry/log.ts";
import type { AppChannel } from "../../contract/ports.ts";
import type { DeliverBulk } from "./bulk-delivery.ts";
import { deliverBulkGrpc } from "./deliver-bulk-grpc.ts";
import { deliverBulkHttp } from "./deliver-bulk-http.ts";
import { deliverGrpc } from "./deliver-grpc.ts";
import { deliverHttp } from "./deliver-http.ts";
import type { Deliver } from "./delivery.ts";

export interface Receiver {
  readonly deliver: Deliver;
  /** Null: one by one only. */
  readonly deliverBulk: DeliverBulk | null;
  /** Aborts when the receiver is gone for good; null: it never is. */
  readonly gone: AbortSignal | null;
}

export function appReceiver(channel: AppChannel, maxBodyBytes: number, logger: Logger): Receiver {
  const { grpc } = channel;
  const log = logger.scope(`dapr.runtime.processor.pubsub.subscription.${grpc === null ? "http" : "grpc"}`);
  if (grpc !== null) {
    return {
      deliver: (event, path, signal) => deliverGrpc(grpc, event, path, log, signal),
      deliverBulk: (bulk, signal) => deliverBulkGrpc(grpc, bulk, log, maxBodyBytes, signal),
      gone: null,
    };
  }
  return {
    deliver: (event, path, signal) => deliverHttp(channel, event, path, log, maxBodyBytes, signal),
    deliverBulk: (bulk, signal) => deliverBulkHttp(channel, bulk, log, maxBodyBytes, signal),
    gone: null,
  };
}
