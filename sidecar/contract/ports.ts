// Ports: what blocks need from the rest of the sidecar. Blocks declare their own narrow views of these in <block>/ports.ts
// where they need less; runtime.ts passes the implementations in.

import type { Readable } from "node:stream";
import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import type { TraceContext } from "../../lib/telemetry/trace-context.ts";
import type { ForwardedCall, Unanswered } from "../../lib/wire/grpc/forward.ts";
import type { CallOptions, UnaryResult } from "../../lib/wire/grpc/types.ts";

/** A loaded component with its driver. */
export interface Loaded<D> {
  readonly name: string;
  readonly type: string;
  readonly version: string;
  readonly driver: D;
  /** The component's metadata, case-insensitive read through `property`. Blocks read their own keys (keyPrefix, scopes …). */
  property(name: string): string | undefined;
}

/** Live view of the components of one kind. Lookups are a Map get; hot reload swaps entries under it. */
export interface ComponentTable<D> {
  get(name: string): Loaded<D> | undefined;
  readonly size: number;
  values(): IterableIterator<Loaded<D>>;
}

/** How an operation takes part in what a policy does to it. */
export interface RunOptions {
  /** Asked after each failure: false when another attempt could not do the same again. */
  readonly mayRetry?: () => boolean;
  /** Given each failure, and each late result, that nobody else will see, to free what it holds. */
  readonly discard?: (dropped: unknown) => void;
  /** The part of a result, or of a failure, that still arrives: the timeout goes on for it. */
  readonly stream?: (outcome: unknown) => Readable | null;
}

/** Retry, timeout and breaker around one operation. Null where no policy applies, so that the plain path costs nothing. */
export interface Policy {
  /** Whether another attempt may follow a failure, so that what an attempt uses up has to be kept. */
  readonly retries: boolean;
  /**
   * Rejects with the last failure of `operation`, with TimeoutFailure, with BreakerRefusal, or with the reason of `signal`. An attempt's
   * signal aborts with its timeout and with `signal`.
   */
  run<T>(operation: (signal: AbortSignal) => Promise<T>, signal: AbortSignal, options?: RunOptions): Promise<T>;
}

/** Runs `operation` again after a failure worth it; `attempt` counts from 1. */
export type RetryRunner = <T>(
  operation: (attempt: number) => Promise<T>,
  isTransient: (error: unknown, attempt: number) => boolean,
  signal: AbortSignal,
) => Promise<T>;

/** Component kinds as the names of default policies and metrics spell them. */
export type ComponentKind = "Statestore" | "Pubsub" | "Binding" | "Secretstore" | "Configuration" | "Lock" | "Crypto" | "Conversation";

/** The policies of the Resiliency resources by target. */
export interface Policies {
  outbound(component: string, kind: ComponentKind): Policy | null;
  inbound(component: string, kind: ComponentKind): Policy | null;
  /** `target` as the caller names it: an app id, an HTTPEndpoint, a URL. Breakers are per method. */
  app(target: string, method: string): Policy | null;
}

/** Header lists keep every value: name (lower case) to values. */
export type HeaderLists = Record<string, readonly string[]>;

/** A call into the user's app (channel http or grpc; the other protocols come later). */
export interface AppRequest {
  readonly verb: string;
  /** Method path without leading slash, percent-encoding as it shall go out. */
  readonly method: string;
  /** Raw query string without `?`. */
  readonly query: string;
  readonly headers: HeaderLists;
  readonly contentType: string | null;
  /** Null: no body. */
  readonly body: Uint8Array | Readable | null;
  readonly contentLength: number | null;
  /** `type_url` of the data when it came as a packed protobuf message (InvokeService). */
  readonly typeUrl?: string;
  /** What the sidecar itself calls the app for; absent for an invocation. HTTP apps see it as `outrigger-call`. */
  readonly call?: "event";
}

export interface AppResponse {
  /** HTTP status; for gRPC apps the code mapped to HTTP, with `grpc` set. */
  readonly status: number;
  /** Set for gRPC apps: the status as it came. */
  readonly grpc: { readonly code: number; readonly message: string; readonly details: Uint8Array | null } | null;
  readonly headers: HeaderLists;
  readonly trailers: HeaderLists;
  readonly contentType: string | null;
  readonly body: Uint8Array | Readable;
  /** `type_url` of the data that a gRPC app answered with. */
  readonly typeUrl?: string;
}

/** The channel to the app: concurrency limit, app token and health gate are inside it. */
export interface AppChannel {
  readonly protocol: "http" | "https" | "h2c" | "grpc" | "grpcs";
  /** Rejects with ApiError when the app cannot be reached or is unhealthy. */
  invoke(request: AppRequest, signal: AbortSignal): Promise<AppResponse>;
  /** A typed callback (AppCallback services). Only on gRPC channels; null otherwise. */
  readonly grpc: {
    call<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      request: MessageShape<I>,
      options: CallOptions,
    ): Promise<UnaryResult<MessageShape<O>>>;
    /** Hands a call of the app's own services to it, its bytes untouched; see GrpcChannel.forward. */
    forward(forwarded: ForwardedCall, headers: readonly string[]): Promise<Unanswered | null>;
  } | null;
}

/** The app as blocks see it; `channel` is null without --app-port. */
export interface App {
  readonly channel: AppChannel | null;
  /** True from "app healthy" on; false before the app listens and while its health check fails. */
  readonly healthy: boolean;
  /** Calls back on every change of `healthy`, in order; the returned function unregisters. */
  onHealth(listener: (healthy: boolean) => void): () => void;
}

/** A call to another app through the mesh, or to the own app. */
export interface InvokeRequest {
  readonly appId: string;
  readonly namespace: string;
  readonly request: AppRequest;
  readonly trace: TraceContext;
}

/** The way to other sidecars. */
export interface Mesh {
  invoke(call: InvokeRequest, signal: AbortSignal): Promise<AppResponse>;
}

/** A plain HTTP target without a sidecar. */
export interface HttpInvoker {
  invoke(request: AppRequest, signal: AbortSignal): Promise<AppResponse>;
}

/** HTTPEndpoint resources by name, and http(s) URLs used as app ids. */
export interface ExternalEndpoints {
  named(name: string): HttpInvoker | null;
  /** Null when `url` is no URL. */
  forUrl(url: string): HttpInvoker | null;
}

/** Who we are. */
export interface Identity {
  readonly appId: string;
  readonly namespace: string;
  readonly hostAddress: string;
}
