// The pub/sub block: publishing over both APIs, and the app's subscriptions.
import type { Block } from "../../contract/block.ts";
import { pubSubMethods } from "./grpc.ts";
import { pubSubRoutes } from "./http.ts";
import type { PubSubPorts, Subscriptions } from "./ports.ts";
import { Publisher } from "./publisher.ts";
import { SubscriptionManager } from "./subscriptions.ts";

export interface PubSubBlock extends Block {
  readonly subscriptions: Subscriptions;
}

export function createPubSubBlock(ports: PubSubPorts): PubSubBlock {
  const publisher = new Publisher(ports);
  return {
    name: "pubsub",
    http: pubSubRoutes(ports, publisher),
    grpc: pubSubMethods(ports, publisher),
    subscriptions: new SubscriptionManager(ports, publisher),
  };
}
