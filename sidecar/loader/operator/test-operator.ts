// An operator for tests: it answers from lists that the test changes, streams what the test says, and comes and goes on
// one port. Plain text unless `secure` says otherwise.
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  ComponentUpdateEventSchema,
  ConfigurationUpdateEventSchema,
  GetConfigurationResponseSchema,
  HTTPEndpointUpdateEventSchema,
  ListComponentResponseSchema,
  ListHTTPEndpointsResponseSchema,
  ListResiliencyResponseSchema,
  ListSubscriptionsResponseSchema,
  Operator,
  ResiliencyUpdateEventSchema,
  ResourceEventType,
  SubscriptionUpdateEventSchema,
} from "../../../lib/proto/gen/dapr/proto/operator/v1/operator_pb.ts";
import { createGrpcDispatcher } from "../../../lib/wire/grpc/server.ts";
import { type GrpcCall, GrpcCode, type GrpcMethod, GrpcStatusError, serverStreaming, unary } from "../../../lib/wire/grpc/types.ts";
import { createH2cServer } from "../../../lib/wire/http2-server.ts";
import { createListener, type Listener } from "../../../lib/wire/listener.ts";
import { silentLog } from "../../../lib/wire/log.ts";
import type { SecureServer } from "../../../lib/wire/secure.ts";
import type { ChangeType, ResourceKind } from "../reload/feed.ts";

type Resource = { readonly metadata?: { readonly name?: string } } | string;

interface Stream {
  readonly kind: ResourceKind;
  send(event: { readonly bytes: Uint8Array; readonly type: ResourceEventType }): void;
}

const messageMaxBytes = 4 * 1024 * 1024;

export class TestOperator {
  /** What is listed. A string stands for itself, which may be no JSON. */
  readonly resources: Record<ResourceKind, Resource[]> = {
    Component: [],
    Subscription: [],
    Configuration: [],
    HTTPEndpoint: [],
    Resiliency: [],
  };
  /** Methods, by name, that are refused with a code. */
  readonly refused = new Map<string, readonly [code: GrpcCode, message: string]>();
  /** Namespaces that were asked for, by method. */
  readonly asked: string[] = [];
  readonly peers = new Set<string | null>();
  readonly #streams = new Set<Stream>();
  readonly #secure: () => SecureServer | null;
  #listener: Listener | null = null;
  #port = 0;

  constructor(secure: () => SecureServer | null = () => null) {
    this.#secure = secure;
  }

  get port(): number {
    return this.#port;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Starts, or starts again on the same port. */
  async start(): Promise<void> {
    const http2 = createH2cServer({ maxHeaderListBytes: 64 * 1024 });
    const limits = { maxReceiveBytes: messageMaxBytes, maxSendBytes: messageMaxBytes, log: silentLog };
    createGrpcDispatcher({ ...limits, methods: this.#methods() }).attach(http2);
    const address = { host: "127.0.0.1", port: this.#port };
    this.#listener = await createListener([address], { http1: null, http2, secure: this.#secure(), log: silentLog });
    const [bound] = this.#listener.addresses;
    if (bound !== undefined && "port" in bound) this.#port = bound.port;
  }

  /** Breaks every connection. */
  async stop(): Promise<void> {
    await this.#listener?.close({ graceMs: 0 });
    this.#listener = null;
    this.#streams.clear();
  }

  /** Streams open for a kind. */
  watchers(kind: ResourceKind): number {
    return [...this.#streams].filter((stream) => stream.kind === kind).length;
  }

  async untilWatched(kind: ResourceKind, count = 1): Promise<void> {
    while (this.watchers(kind) < count) await turn();
  }

  /** Tells every sidecar that watches; the lists are left as they are. */
  tell(kind: ResourceKind, type: ChangeType, resource: Resource): void {
    for (const stream of this.#streams) if (stream.kind === kind) stream.send({ bytes: encode(resource), type: ResourceEventType[type] });
  }

  #methods(): readonly GrpcMethod[] {
    const { method } = Operator;
    const bytes = (kind: ResourceKind) => this.resources[kind].map(encode);
    return [
      unary(method.listComponents, null, (request, call) => {
        this.#ask("listComponents", request.namespace, call);
        return create(ListComponentResponseSchema, { components: bytes("Component") });
      }),
      unary(method.listSubscriptionsV2, null, (request, call) => {
        this.#ask("listSubscriptionsV2", request.namespace, call);
        return create(ListSubscriptionsResponseSchema, { subscriptions: bytes("Subscription") });
      }),
      unary(method.listHTTPEndpoints, null, (request, call) => {
        this.#ask("listHTTPEndpoints", request.namespace, call);
        return create(ListHTTPEndpointsResponseSchema, { httpEndpoints: bytes("HTTPEndpoint") });
      }),
      unary(method.listResiliency, null, (request, call) => {
        this.#ask("listResiliency", request.namespace, call);
        return create(ListResiliencyResponseSchema, { resiliencies: bytes("Resiliency") });
      }),
      unary(method.getConfiguration, null, (request, call) => {
        this.#ask("getConfiguration", request.namespace, call);
        const found = this.resources.Configuration.find((one) => typeof one !== "string" && one.metadata?.name === request.name);
        return create(GetConfigurationResponseSchema, found === undefined ? {} : { configuration: encode(found) });
      }),
      serverStreaming(method.componentUpdate, null, (_, call) =>
        this.#stream("Component", call, ({ bytes: component, type }) => create(ComponentUpdateEventSchema, { component, type })),
      ),
      serverStreaming(method.subscriptionUpdate, null, (_, call) =>
        this.#stream("Subscription", call, ({ bytes: subscription, type }) =>
          create(SubscriptionUpdateEventSchema, { subscription, type }),
        ),
      ),
      serverStreaming(method.hTTPEndpointUpdate, null, (_, call) =>
        this.#stream("HTTPEndpoint", call, ({ bytes: httpEndpoints, type }) =>
          create(HTTPEndpointUpdateEventSchema, { httpEndpoints, type }),
        ),
      ),
      serverStreaming(method.resiliencyUpdate, null, (_, call) =>
        this.#stream("Resiliency", call, ({ bytes: resiliency, type }) => create(ResiliencyUpdateEventSchema, { resiliency, type })),
      ),
      serverStreaming(method.configurationUpdate, null, (_, call) =>
        this.#stream("Configuration", call, ({ bytes: configuration, type }) =>
          create(ConfigurationUpdateEventSchema, { configuration, type }),
        ),
      ),
    ];
  }

  #ask(method: string, namespace: string, call: GrpcCall): void {
    this.peers.add(call.peerIdentity);
    this.asked.push(`${method} ${namespace}`);
    const refused = this.refused.get(method);
    if (refused !== undefined) throw new GrpcStatusError(...refused);
  }

  async *#stream<E>(
    kind: ResourceKind,
    call: GrpcCall,
    eventOf: (event: { readonly bytes: Uint8Array; readonly type: ResourceEventType }) => E,
  ): AsyncIterable<E> {
    const refused = this.refused.get(`watch${kind}`);
    if (refused !== undefined) throw new GrpcStatusError(...refused);
    const waiting: E[] = [];
    let wake = Promise.withResolvers<void>();
    const stream: Stream = {
      kind,
      send(event) {
        waiting.push(eventOf(event));
        wake.resolve();
      },
    };
    call.signal.addEventListener("abort", () => wake.resolve(), { once: true });
    this.#streams.add(stream);
    try {
      while (!call.signal.aborted) {
        await wake.promise;
        wake = Promise.withResolvers<void>();
        yield* waiting.splice(0);
      }
    } finally {
      this.#streams.delete(stream);
    }
  }
}

function encode(resource: Resource): Uint8Array {
  return Buffer.from(typeof resource === "string" ? resource : JSON.stringify(resource));
}

export const refusal = (code: GrpcCode, message: string) => [code, message] as const;
export { GrpcCode };
