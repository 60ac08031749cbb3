// A pub/sub block with in-memory brokers and an app played by a function, for tests.
import { create as createMessage } from "@bufbuild/protobuf";
import { Properties } from "../../../components/metadata.ts";
import type { PubSub } from "../../../components/pubsub/broker.ts";
import { create } from "../../../components/pubsub/memory.ts";
import { type Clock, sleep, systemClock } from "../../../lib/kit/clock.ts";
import {
  ListTopicSubscriptionsResponseSchema,
  type TopicEventRequest,
  type TopicEventResponse,
  type TopicSubscription,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import type { LogLevel } from "../../../lib/telemetry/log.ts";
import { type Logger, silentLogger } from "../../../lib/telemetry/log.ts";
import { type Metadata, newMetadata } from "../../../lib/wire/grpc/types.ts";
import type { AppChannel, AppRequest, Loaded, RetryRunner } from "../../contract/ports.ts";
import { createPubSubBlock, type PubSubBlock } from "./block.ts";
import type { DeclaredSubscription, PubSubPorts } from "./ports.ts";

export interface AppAnswer {
  readonly status: number;
  readonly body?: string;
}

export type HttpApp = (request: AppRequest, text: string) => AppAnswer | Promise<AppAnswer>;

/** An HTTP app: `subscribe` is the answer to GET /dapr/subscribe; all else goes to `handle`. */
export function httpApp(subscribe: unknown, handle: HttpApp): AppChannel {
  return {
    protocol: "http",
    grpc: null,
    async invoke(request) {
      const text = request.body === null ? "" : Buffer.from(request.body as Uint8Array).toString();
      const { status, body } =
        request.method === "dapr/subscribe" ? { status: 200, body: JSON.stringify(subscribe) } : await handle(request, text);
      const empty = Object.create(null);
      return { status, grpc: null, headers: empty, trailers: empty, contentType: null, body: Buffer.from(body ?? "") };
    },
  };
}

export type GrpcApp = (request: TopicEventRequest, metadata: Metadata) => TopicEventResponse | Promise<TopicEventResponse>;

export function grpcApp(subscriptions: TopicSubscription[], handle: GrpcApp): AppChannel {
  return {
    protocol: "grpc",
    invoke: () => Promise.reject(new Error("no HTTP here")),
    grpc: {
      async call(method, request, options) {
        const message =
          method.name === "ListTopicSubscriptions"
            ? createMessage(ListTopicSubscriptionsResponseSchema, { subscriptions })
            : await handle(request as unknown as TopicEventRequest, options.metadata ?? newMetadata());
        return { message: message as never, headers: newMetadata(), trailers: newMetadata() };
      },
      forward: () => Promise.reject(new Error("no proxied calls here")),
    },
  };
}

export interface SidecarOptions {
  readonly channel?: AppChannel | null;
  /** Component name to metadata; `mypub` alone by default. */
  readonly components?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly drivers?: Readonly<Record<string, PubSub>>;
  readonly declared?: readonly DeclaredSubscription[];
  readonly namespaced?: readonly string[];
  readonly asksApp?: boolean;
  readonly tracing?: boolean;
  readonly clock?: Clock;
  readonly policies?: Partial<PubSubPorts["policies"]>;
  readonly observer?: PubSubPorts["observer"];
}

export interface TestSidecar {
  readonly block: PubSubBlock;
  readonly lines: { readonly level: LogLevel; readonly message: string }[];
  /** The block's live table: tests take components out and put others in. */
  readonly components: Map<string, Loaded<PubSub>>;
  driver(name: string): PubSub;
}

export function testSidecar(options: SidecarOptions = {}): TestSidecar {
  const lines: TestSidecar["lines"] = [];
  const line = (level: LogLevel) => (message: string) => void lines.push({ level, message });
  const log: Logger = {
    ...silentLogger,
    debug: line("debug"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
    scope: () => log,
  };
  const clock = options.clock ?? systemClock;
  const components = new Map<string, Loaded<PubSub>>();
  for (const [name, metadata] of Object.entries(options.components ?? { mypub: {} })) {
    const properties = new Properties(Object.entries(metadata));
    const context = {
      name,
      type: "pubsub.in-memory",
      version: "v1",
      properties,
      appId: "myapp",
      namespace: "ns",
      instanceId: "i",
      log,
      clock,
    };
    const driver = options.drivers?.[name] ?? create(context);
    components.set(name, { name, type: context.type, version: "v1", driver, property: (key) => properties.get(key) });
  }
  const ports: PubSubPorts = {
    identity: { appId: "myapp", namespace: "ns" },
    components,
    policies: { outbound: () => null, inbound: () => null, ...options.policies },
    retries: threeMore(clock),
    app: { channel: options.channel ?? null },
    declared: () => options.declared ?? [],
    isNamespaced: (name) => options.namespaced?.includes(name) ?? false,
    asksApp: options.asksApp ?? true,
    tracing: options.tracing ?? false,
    maxBodyBytes: 1 << 20,
    observer: options.observer ?? null,
    clock,
    log,
  };
  return { block: createPubSubBlock(ports), lines, components, driver: (name) => (components.get(name) as Loaded<PubSub>).driver };
}

/** Three more tries, after 500, 750 and 1000 ms. */
function threeMore(clock: Clock): RetryRunner {
  return async (operation, isTransient, signal) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await operation(attempt);
      } catch (error) {
        if (attempt > 3 || !isTransient(error, attempt)) throw error;
        await sleep(clock, 250 + 250 * attempt, signal);
      }
    }
  };
}

export function declare(topic: string, more: Partial<DeclaredSubscription> = {}): DeclaredSubscription {
  return {
    name: `${topic}-subscription`,
    pubsubName: "mypub",
    topic,
    rules: [{ match: "", path: `/${topic}` }],
    metadata: {},
    deadLetterTopic: "",
    bulkSubscribe: { enabled: false, maxMessagesCount: 0, maxAwaitDurationMs: 0 },
    scopes: [],
    ...more,
  };
}

/** Lets everything that the in-memory broker has accepted run its course; nothing in these tests waits for more than turns of the loop. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}
