// The vocabulary of our gRPC: what a method handler sees and what a client call gets back. The server and the client
// in this folder stand on node:http2; the sans-I/O engine takes their place without changing these types.
import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageShape,
} from "@bufbuild/protobuf";
import { GrpcCode } from "../../kit/errors.ts";
import type { ForwardedCall, Unanswered } from "./forward.ts";
import type { PartTaker } from "./framing.ts";

/** gRPC metadata: lower-case keys; `-bin` values stay base64 as on the wire. Created with a null prototype. */
export type Metadata = Record<string, string | string[]>;

export function newMetadata(): Metadata {
  return Object.create(null) as Metadata;
}

/** The first value of `key` (lower case), or undefined. */
export function first(metadata: Metadata, key: string): string | undefined {
  const value = metadata[key];
  return typeof value === "string" ? value : value?.[0];
}

/** A gRPC status other than OK, thrown by handlers and by client calls. `details` are google.rpc.Status details, encoded. */
export class GrpcStatusError extends Error {
  override readonly name = "GrpcStatusError";
  readonly code: GrpcCode;
  /** The bytes of a google.rpc.Status (`grpc-status-details-bin`), or null. */
  readonly statusDetails: Uint8Array | null;
  readonly metadata: Metadata;

  constructor(code: GrpcCode, message: string, statusDetails: Uint8Array | null = null, metadata: Metadata = newMetadata()) {
    super(message);
    this.code = code;
    this.statusDetails = statusDetails;
    this.metadata = metadata;
  }
}

/** One call as its handler sees it. */
export interface GrpcCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Request metadata, without pseudo-headers and without what the protocol itself consumes (te, content-type, grpc-timeout …). */
  readonly metadata: Metadata;
  /** `host:port` of the other end, or the socket's path. */
  readonly peer: string;
  /** SPIFFE id of the other end's verified certificate; null without mTLS. */
  readonly peerIdentity: string | null;
  /** Aborts when the caller cancels, the deadline passes or the connection breaks. */
  readonly signal: AbortSignal;
  /** Sent with the first message, or with the trailers when there is none. Set before the first message. */
  readonly responseHeaders: Metadata;
  readonly responseTrailers: Metadata;
}

type Promised<T> = T | Promise<T>;

/** API-list key of a public method: `state` + `v1` (inventory §3). Null for methods that no list filters. */
export interface ApiKey {
  readonly group: string;
  readonly version: string;
}

export type GrpcMethod =
  | {
      readonly kind: "unary";
      readonly desc: DescMethod;
      readonly api: ApiKey | null;
      readonly handle: (request: never, call: GrpcCall) => Promised<unknown>;
    }
  | {
      readonly kind: "server_streaming";
      readonly desc: DescMethod;
      readonly api: ApiKey | null;
      readonly handle: (request: never, call: GrpcCall) => AsyncIterable<unknown>;
    }
  | {
      readonly kind: "bidi_streaming";
      readonly desc: DescMethod;
      readonly api: ApiKey | null;
      readonly handle: (requests: AsyncIterable<never>, call: GrpcCall) => AsyncIterable<unknown>;
    }
  | {
      readonly kind: "raw";
      readonly desc: DescMethod;
      readonly api: ApiKey | null;
      readonly open: (call: GrpcCall, replies: RawServerStream) => RawServerReceiver;
    };

/** One direction of a call in frames (framing.ts). The last bytes of a frame may be in a buffer of their own, `tail`. */
export interface RawStream {
  /** False when the transport wants a pause: then `drained` tells when it is over. Nothing is sent once the call has ended. */
  send(frame: Buffer, tail: Uint8Array | null): boolean;
  drained(): Promise<void>;
  /** Ends this direction, after a last frame if there is one. */
  end(frame: Buffer | null, tail: Uint8Array | null): void;
  /** Stops the other end's messages, but for what has already been read. */
  pause(): void;
  resume(): void;
}

export interface RawServerStream extends RawStream {
  /** Ends the call with the status of `error`. */
  fail(error: unknown): void;
}

/** A throw of the first two ends the call with that error. */
export interface RawServerReceiver {
  /** One message; a view into what was read. */
  onMessage(bytes: Uint8Array): void;
  /** For long messages, which then do not come by `onMessage`; a throw ends the call. */
  readonly parts: PartTaker | null;
  /** The caller has sent everything. */
  onEnd(): void;
  /** The call has ended otherwise than by our success. */
  onCancel(cause: GrpcStatusError): void;
}

export interface RawClientStream extends RawStream {
  /** True once the receiver's `onEnd` has been called. */
  readonly over: boolean;
  cancel(status?: GrpcStatusError): void;
}

export interface RawClientReceiver {
  /** One message; a view into what was read. Must not throw anything but a GrpcStatusError, which ends the call. */
  onMessage(bytes: Uint8Array): void;
  /** For long messages, which then do not come by `onMessage`. */
  readonly parts: PartTaker | null;
  /** Called once, last; null is OK. */
  onEnd(status: GrpcStatusError | null): void;
}

/** A unary method with its handler. The handler returns a whole message (`create(Schema, {…})`). */
export function unary<I extends DescMessage, O extends DescMessage>(
  desc: DescMethodUnary<I, O>,
  api: ApiKey | null,
  handle: (request: MessageShape<I>, call: GrpcCall) => Promised<MessageShape<O>>,
): GrpcMethod {
  return { kind: "unary", desc, api, handle };
}

export function serverStreaming<I extends DescMessage, O extends DescMessage>(
  desc: DescMethodServerStreaming<I, O>,
  api: ApiKey | null,
  handle: (request: MessageShape<I>, call: GrpcCall) => AsyncIterable<MessageShape<O>>,
): GrpcMethod {
  return { kind: "server_streaming", desc, api, handle };
}

export function bidiStreaming<I extends DescMessage, O extends DescMessage>(
  desc: DescMethodBiDiStreaming<I, O>,
  api: ApiKey | null,
  handle: (requests: AsyncIterable<MessageShape<I>>, call: GrpcCall) => AsyncIterable<MessageShape<O>>,
): GrpcMethod {
  return { kind: "bidi_streaming", desc, api, handle };
}

/** A method of any streaming kind whose handler works on encoded messages. */
export function raw(
  desc: DescMethod,
  api: ApiKey | null,
  open: (call: GrpcCall, replies: RawServerStream) => RawServerReceiver,
): GrpcMethod {
  return { kind: "raw", desc, api, open };
}

export interface CallOptions {
  readonly metadata?: Metadata;
  /** Milliseconds from now; sent as grpc-timeout and enforced here. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface UnaryResult<T> {
  readonly message: T;
  readonly headers: Metadata;
  readonly trailers: Metadata;
}

/** A streaming client call. */
export interface ClientStream<I, O> {
  /** Resolves when the transport can take more (backpressure). Rejects when the call has ended. */
  write(message: I): Promise<void>;
  /** Half-closes the request side. */
  end(): void;
  /** Resolves with the response headers; rejects with a GrpcStatusError when the call ends without any. */
  readonly headers: Promise<Metadata>;
  /** Messages of the other end; throws a GrpcStatusError when the status is not OK. Leaving the loop early cancels the call. */
  readonly messages: AsyncIterable<O>;
  /** Resolves once `messages` is exhausted with status OK. */
  readonly trailers: Promise<Metadata>;
  cancel(reason?: unknown): void;
}

/** A connection (kept, re-dialled when it breaks) to one gRPC server. */
export interface GrpcChannel {
  unary<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): Promise<UnaryResult<MessageShape<O>>>;
  serverStream<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodServerStreaming<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): ClientStream<MessageShape<I>, MessageShape<O>>;
  bidi<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodBiDiStreaming<I, O>,
    options?: CallOptions,
  ): ClientStream<MessageShape<I>, MessageShape<O>>;
  /**
   * Hands a received call on with `headers` (names and values alternating, without pseudo-headers, `te` and `grpc-timeout`).
   * Resolves with null once the caller has its answer, else with what to answer; see ForwardedCall.
   */
  forward(forwarded: ForwardedCall, headers: readonly string[]): Promise<Unanswered | null>;
  /** A call of any kind in encoded messages. */
  raw(desc: DescMethod, receiver: RawClientReceiver, options?: CallOptions): RawClientStream;
  /** Ends the connection after the calls in flight. */
  close(): Promise<void>;
}

export { GrpcCode };
