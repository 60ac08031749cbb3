// The pub/sub block: publishing over both APIs, the app's subscriptions, and those that apps open as streams.
import type { Block } from "../../contract/block.ts";
import { pubSubMethods } from "./grpc.ts";
import { pubSubRoutes } from "./http.ts";
import type { PubSubPorts, Subscriptions } from "./ports.ts";
import { Publisher } from "./publisher.ts";
import { Streams } from "./streams.ts";
import { SubscriptionManager } from "./subscriptions.ts";

export interface PubSubBlock extends Block {
  readonly subscriptions: Subscriptions;
}

export function createPubSubBlock(ports: PubSubPorts): PubSubBlock {
  const publisher = new Publisher(ports);
  const streams = new Streams(ports, publisher);
  return {
    name: "pubsub",
    http: pubSubRoutes(ports, publisher),
    grpc: pubSubMethods(ports, publisher, streams),
    subscriptions: new SubscriptionManager(ports, publisher, streams),
  };
}
