// A real gRPC app on the official server of JavaScript: answers Dapr's callbacks, keeps every call with its metadata.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { type InvokeRequest, InvokeResponseSchema } from "../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import {
  AppCallback,
  AppCallbackHealthCheck,
  ListTopicSubscriptionsResponseSchema,
  TopicEventResponseSchema,
} from "../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { definitionOf } from "../../lib/wire/grpc/interop-peer.ts";
import type { Certificate } from "./certificate.ts";

export interface GrpcAppCall {
  /** `OnInvoke`, `HealthCheck` … */
  readonly method: string;
  readonly metadata: Readonly<Record<string, grpc.MetadataValue>>;
  readonly request: unknown;
}

export interface GrpcAppOptions {
  readonly onInvoke?: (request: InvokeRequest) => Promise<Uint8Array> | Uint8Array;
  readonly subscriptions?: MessageInitShape<typeof ListTopicSubscriptionsResponseSchema>;
  /** Asked for each health check; well by default. */
  readonly healthy?: () => boolean;
  /** TLS with this certificate. */
  readonly certificate?: Certificate;
}

type Reply = (call: grpc.ServerUnaryCall<unknown, unknown>) => Promise<object>;

export class GrpcApp implements AsyncDisposable {
  readonly calls: GrpcAppCall[] = [];
  readonly #server = new grpc.Server();
  readonly #watchers = new Set<() => void>();
  port = 0;

  static async start(options: GrpcAppOptions): Promise<GrpcApp> {
    const app = new GrpcApp();
    app.#serve(options);
    const { certificate } = options;
    const credentials = certificate
      ? grpc.ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(certificate.cert), private_key: Buffer.from(certificate.key) }])
      : grpc.ServerCredentials.createInsecure();
    app.port = await new Promise<number>((resolve, reject) => {
      app.#server.bindAsync("127.0.0.1:0", credentials, (error, port) => (error ? reject(error) : resolve(port)));
    });
    return app;
  }

  /** Resolves with the calls of `method` when there are at least `count`. */
  async called(method: string, count = 1, withinMs = 10_000): Promise<GrpcAppCall[]> {
    const matching = () => this.calls.filter((call) => call.method === method);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#watchers.delete(watch);
        const seen = this.calls.map((call) => call.method).join(", ");
        reject(new Error(`${method} was called ${matching().length} times, not ${count}, within ${withinMs} ms; calls: ${seen}`));
      }, withinMs);
      const watch = () => {
        if (matching().length < count) return;
        clearTimeout(timer);
        this.#watchers.delete(watch);
        resolve();
      };
      this.#watchers.add(watch);
      watch();
    });
    return matching();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }

  #serve(options: GrpcAppOptions): void {
    const empty = async () => create(EmptySchema);
    const healthCheck: Reply = async () => {
      if (options.healthy?.() === false) throw { code: grpc.status.UNAVAILABLE, details: "not well" };
      return create(EmptySchema);
    };
    const onInvoke: Reply = async (call) => {
      const value = await options.onInvoke?.(call.request as InvokeRequest);
      return create(InvokeResponseSchema, { contentType: "application/json", data: { value: value ?? new Uint8Array(0) } });
    };
    this.#add(AppCallback, {
      onInvoke,
      listTopicSubscriptions: async () => create(ListTopicSubscriptionsResponseSchema, options.subscriptions ?? {}),
      onTopicEvent: async () => create(TopicEventResponseSchema),
      listInputBindings: empty,
      onBindingEvent: empty,
    });
    this.#add(AppCallbackHealthCheck, { healthCheck });
  }

  #add(service: Parameters<typeof definitionOf>[0], replies: Readonly<Record<string, Reply>>): void {
    const handlers = service.methods
      .filter(({ localName }) => localName in replies)
      .map(({ localName, name }) => [localName, this.#handler(name, replies[localName] as Reply)] as const);
    const known = Object.entries(definitionOf(service)).filter(([name]) => name in replies);
    this.#server.addService(Object.fromEntries(known), Object.fromEntries(handlers));
  }

  #handler(method: string, reply: Reply): grpc.handleUnaryCall<unknown, unknown> {
    return (call, callback) => {
      this.calls.push({ method, metadata: call.metadata.getMap(), request: call.request });
      for (const watcher of this.#watchers) watcher();
      reply(call).then(
        (message) => callback(null, message),
        (error) => callback(error),
      );
    };
  }
}

/** Starts an app: `await using shop = await grpcApp({ onInvoke: () => … })`. */
export function grpcApp(options: GrpcAppOptions = {}): Promise<GrpcApp> {
  return GrpcApp.start(options);
}
