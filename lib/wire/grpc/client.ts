// The gRPC client: a channel to one server. A call is tried again only when the server certainly did not see it
// (refused, or never sent), and never once its deadline has passed.
import type { OutgoingHttpHeaders } from "node:http2";
import {
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type Clock, systemClock } from "../../kit/clock.ts";
import { messageOf } from "../../kit/errors.ts";
import { type ChannelOptions, SessionPool } from "./client-pool.ts";
import { RawCall } from "./client-raw.ts";
import { authorityOf, type ClientSession, schemeOf } from "./client-session.ts";
import { decodeReply, type StreamCodec, StreamingCall } from "./client-stream.ts";
import { attemptsMax, connectionBroke, openOn, UnaryCall } from "./client-unary.ts";
import type { ForwardedCall, Unanswered } from "./forward.ts";
import { encodeFrame } from "./framing.ts";
import { writeMetadata } from "./metadata.ts";
import { formatTimeout } from "./timeout.ts";
import {
  type CallOptions,
  type ClientStream,
  type GrpcChannel,
  GrpcCode,
  GrpcStatusError,
  type RawClientReceiver,
  type RawClientStream,
  type UnaryResult,
} from "./types.ts";

export type { ChannelOptions } from "./client-pool.ts";
export type { GrpcTarget, KeepAlive } from "./client-session.ts";

export function connectGrpc(options: ChannelOptions): GrpcChannel {
  return new Channel(options);
}

const noOptions: CallOptions = {};

class Channel implements GrpcChannel {
  readonly #options: ChannelOptions;
  readonly #pool: SessionPool;
  readonly #clock: Clock;
  readonly #authority: string;
  readonly #scheme: string;
  readonly #methods = new WeakMap<DescMethod, ClientMethod>();
  readonly #acquire = () => this.#pool.acquire();

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#pool = new SessionPool(options);
    this.#clock = options.clock ?? systemClock;
    this.#authority = options.authority ?? authorityOf(options.target);
    this.#scheme = schemeOf(options.target);
  }

  unary<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options: CallOptions = noOptions,
  ): Promise<UnaryResult<MessageShape<O>>> {
    return new Promise((resolve, reject) => {
      const method = this.#method(desc);
      const call = new UnaryCall({
        acquire: this.#acquire,
        headers: this.#headers(method, options),
        frame: encodeFrame(method.encode(request), this.#options.maxSendBytes),
        maxReceiveBytes: this.#options.maxReceiveBytes,
        timeoutMs: options.timeoutMs,
        signal: options.signal,
        clock: this.#clock,
        resolve: (bytes, headers, trailers) => {
          try {
            resolve({ message: decodeReply(method, bytes) as MessageShape<O>, headers, trailers });
          } catch (error) {
            reject(error);
          }
        },
        reject,
      });
      call.start();
    });
  }

  serverStream<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodServerStreaming<I, O>,
    request: MessageShape<I>,
    options: CallOptions = noOptions,
  ): ClientStream<MessageShape<I>, MessageShape<O>> {
    const call = this.#stream(desc, options);
    call.write(request).catch(ignore);
    call.end();
    return call as unknown as ClientStream<MessageShape<I>, MessageShape<O>>;
  }

  bidi<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodBiDiStreaming<I, O>,
    options: CallOptions = noOptions,
  ): ClientStream<MessageShape<I>, MessageShape<O>> {
    return this.#stream(desc, options) as unknown as ClientStream<MessageShape<I>, MessageShape<O>>;
  }

  async forward(forwarded: ForwardedCall, headers: readonly string[]): Promise<Unanswered | null> {
    const { call } = forwarded;
    for (let attempt = 1; ; attempt++) {
      const session = await this.#room();
      if (session instanceof GrpcStatusError) return { status: session, replayable: true };
      if (forwarded.over) {
        session.release();
        return null;
      }
      const stream = openOn(session, this.#rawHeaders(call.path, headers, call.remainingMs));
      const failed = stream === null ? { status: connectionBroke(), replayable: true } : await forwarded.run(stream);
      if (failed === null || !failed.replayable || attempt === attemptsMax) return failed;
    }
  }

  raw(desc: DescMethod, receiver: RawClientReceiver, options: CallOptions = noOptions): RawClientStream {
    const plan = {
      acquire: this.#acquire,
      headers: this.#headers(this.#method(desc), options),
      maxReceiveBytes: this.#options.maxReceiveBytes,
      timeoutMs: options.timeoutMs,
      signal: options.signal,
      clock: this.#clock,
    };
    return new RawCall(plan, receiver);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  /** A session with a reserved place, or why there is none. */
  async #room(): Promise<ClientSession | GrpcStatusError> {
    try {
      const acquired = this.#pool.acquire();
      return acquired instanceof Promise ? await acquired : acquired.reserve();
    } catch (error) {
      return error instanceof GrpcStatusError ? error : new GrpcStatusError(GrpcCode.UNAVAILABLE, messageOf(error));
    }
  }

  #rawHeaders(path: string, headers: readonly string[], timeoutMs: number | null): readonly string[] {
    const raw = [":method", "POST", ":scheme", this.#scheme, ":path", path, ":authority", this.#authority, "te", "trailers"];
    if (timeoutMs !== null) raw.push("grpc-timeout", formatTimeout(timeoutMs));
    raw.push(...headers);
    if (!headers.includes("user-agent")) raw.push("user-agent", this.#options.userAgent);
    return raw;
  }

  #stream(desc: DescMethod, options: CallOptions): StreamingCall {
    const method = this.#method(desc);
    const headers = this.#headers(method, options);
    return new StreamingCall({
      acquire: this.#acquire,
      headers,
      codec: method,
      maxReceiveBytes: this.#options.maxReceiveBytes,
      maxSendBytes: this.#options.maxSendBytes,
      timeoutMs: options.timeoutMs,
      signal: options.signal,
      clock: this.#clock,
    });
  }

  #headers(method: ClientMethod, options: CallOptions): OutgoingHttpHeaders {
    const headers: Record<string, string | string[]> = {
      ":method": "POST",
      ":scheme": this.#scheme,
      ":path": method.path,
      ":authority": this.#authority,
      te: "trailers",
      "content-type": "application/grpc",
      "user-agent": this.#options.userAgent,
    };
    if (options.timeoutMs !== undefined) headers["grpc-timeout"] = formatTimeout(options.timeoutMs);
    if (options.metadata !== undefined) writeMetadata(options.metadata, headers);
    return headers;
  }

  #method(desc: DescMethod): ClientMethod {
    let method = this.#methods.get(desc);
    if (method === undefined) {
      method = compile(desc);
      this.#methods.set(desc, method);
    }
    return method;
  }
}

interface ClientMethod extends StreamCodec {
  readonly path: string;
}

function compile(desc: DescMethod): ClientMethod {
  return {
    path: `/${desc.parent.typeName}/${desc.name}`,
    encode: (message) => toBinary(desc.input, message as never),
    decode: (bytes) => fromBinary(desc.output, bytes),
  };
}

function ignore(): void {}
