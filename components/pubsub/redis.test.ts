// pubsub.redis on a real redis-server.
import { after, before } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { RedisTestServer } from "../shared/redis-test-server.ts";
import { driverContext } from "../shared/test-context.ts";
import type { PubSub } from "./broker.ts";
import { pubSubConformance } from "./conformance.ts";
import { create } from "./redis.ts";

const signal = new AbortController().signal;
let server: RedisTestServer;
before(async () => {
  server = await RedisTestServer.start();
});
after(() => server[Symbol.asyncDispose]());

async function open(group: string, metadata: Readonly<Record<string, string>> = {}): Promise<PubSub> {
  const properties = { redisHost: server.address, consumerID: group, processingTimeout: "300ms", redeliverInterval: "100ms", ...metadata };
  const driver = create(driverContext("pubsub.redis", properties, systemClock));
  await driver.init(signal);
  return driver;
}

pubSubConformance("pubsub.redis", { open, redelivers: true, durable: true, competes: true, wildcards: false });
