// The gRPC server: a method table compiled at boot over node:http2 streams. It owns which calls are let in and counts
// them; how one call runs is server-unary.ts and server-streaming.ts. A bad call ends with a status, never the connection.
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Clock, systemClock } from "../../kit/clock.ts";
import { messageOf } from "../../kit/errors.ts";
import type { WireLog } from "../log.ts";
import { type Compression, compressionOf } from "./framing.ts";
import { ServerCall } from "./server-call.ts";
import { runRaw } from "./server-raw.ts";
import { runStreaming } from "./server-streaming.ts";
import { runUnary } from "./server-unary.ts";
import { parseTimeout } from "./timeout.ts";
import { type GrpcCall, GrpcCode, type GrpcMethod, GrpcStatusError } from "./types.ts";

/** Runs before the handler, in order; a throw refuses the call. `method` is null for a call that goes to `unknown`. */
export type Interceptor = (call: GrpcCall, method: GrpcMethod | null) => void;

/** Told once per finished call, with the code that was sent (CANCELLED when the caller left) and its milliseconds. */
export type CallObserver = (call: GrpcCall, method: GrpcMethod | null, code: GrpcCode, durationMs: number) => void;

/** Takes over a call whose method is in no table (transparent proxying). It must end the call in every case; a throw fails it. */
export type UnknownHook = (call: ServerCall) => void;

export interface DispatcherOptions {
  readonly methods: readonly GrpcMethod[];
  /** Largest message accepted, after decompression. */
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
  readonly log: WireLog;
  readonly interceptors?: readonly Interceptor[];
  readonly observer?: CallObserver | null;
  /** For methods of services that have none in `methods`. */
  readonly unknown?: UnknownHook | null;
  /** Whether a call for this service goes to `unknown` although it is served here. */
  readonly yields?: ((service: string, headers: IncomingHttpHeaders) => boolean) | null;
  /** What a thrown value other than GrpcStatusError becomes. The default is UNKNOWN with its message. */
  readonly toStatus?: (error: unknown) => GrpcStatusError;
  readonly clock?: Clock;
}

export interface GrpcDispatcher {
  /** Serves one stream; `rawHeaders` keeps repeated metadata apart. */
  handle(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders?: readonly string[]): void;
  /** Serves every stream of `server`. */
  attach(server: Http2Server): void;
  /** Refuses new calls with UNAVAILABLE; resolves once none is in flight. The listener sends the GOAWAY. */
  drain(): Promise<void>;
  readonly inFlight: number;
}

/** A method with its codec, as the runners need it. */
export interface CompiledMethod {
  readonly method: GrpcMethod;
  readonly decode: (bytes: Uint8Array) => unknown;
  readonly encode: (message: unknown) => Uint8Array;
}

export interface ServerLimits {
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
}

export function createGrpcDispatcher(options: DispatcherOptions): GrpcDispatcher {
  return new Dispatcher(options);
}

/** Path of a method, `/package.Service/Method`. */
export function pathOf(method: GrpcMethod): string {
  return `/${method.desc.parent.typeName}/${method.desc.name}`;
}

class Dispatcher implements GrpcDispatcher {
  readonly #table = new Map<string, CompiledMethod>();
  readonly #services = new Set<string>();
  readonly #interceptors: readonly Interceptor[];
  readonly #observer: CallObserver | null;
  readonly #unknown: UnknownHook | null;
  readonly #yields: ((service: string, headers: IncomingHttpHeaders) => boolean) | null;
  readonly #toStatus: (error: unknown) => GrpcStatusError;
  readonly #clock: Clock;
  readonly #log: WireLog;
  readonly #limits: ServerLimits;
  #inFlight = 0;
  #drained: (() => void)[] | null = null;

  constructor(options: DispatcherOptions) {
    this.#interceptors = options.interceptors ?? [];
    this.#observer = options.observer ?? null;
    this.#unknown = options.unknown ?? null;
    this.#yields = options.yields ?? null;
    this.#toStatus = options.toStatus ?? unknownStatus;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log;
    this.#limits = { maxReceiveBytes: options.maxReceiveBytes, maxSendBytes: options.maxSendBytes };
    for (const method of options.methods) {
      const path = pathOf(method);
      if (this.#table.has(path)) throw new Error(`gRPC method ${path} is registered twice`);
      this.#table.set(path, compile(method));
      this.#services.add(method.desc.parent.typeName);
    }
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  attach(server: Http2Server): void {
    server.on("stream", (stream, headers, _flags, rawHeaders) => this.handle(stream as ServerHttp2Stream, headers, rawHeaders));
  }

  drain(): Promise<void> {
    this.#drained ??= [];
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drained?.push(resolve));
  }

  handle(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[] = flatten(headers)): void {
    const path = headers[":path"] ?? "";
    const compiled = this.#find(path, headers);
    const call = new ServerCall(stream, path, rawHeaders, this.#toStatus, this.#clock);
    this.#inFlight++;
    call.onClosed = () => this.#closed(call, compiled);
    if (this.#observer !== null) this.#observe(call, compiled?.method ?? null, this.#observer);
    try {
      if (this.#drained !== null) throw new GrpcStatusError(GrpcCode.UNAVAILABLE, "the server is shutting down");
      if (!admit(call, headers)) return;
      for (const interceptor of this.#interceptors) interceptor(call, compiled?.method ?? null);
      if (compiled === null) this.#miss(call, headers);
      else this.#run(call, compiled, headers);
    } catch (error) {
      call.fail(error);
    }
  }

  #find(path: string, headers: IncomingHttpHeaders): CompiledMethod | null {
    const compiled = this.#table.get(path) ?? null;
    if (compiled === null || this.#yields === null) return compiled;
    return this.#yields(compiled.method.desc.parent.typeName, headers) ? null : compiled;
  }

  #run(call: ServerCall, compiled: CompiledMethod, headers: IncomingHttpHeaders): void {
    const timeout = headers["grpc-timeout"];
    if (timeout !== undefined) startDeadline(call, String(timeout));
    if (call.done) return;
    const compression = decodable(headers["grpc-encoding"]);
    if (compiled.method.kind === "unary") runUnary(call, compiled, compiled.method, compression, this.#limits);
    else if (compiled.method.kind === "raw") runRaw(call, compiled.method, compression, this.#limits);
    else runStreaming(call, compiled, compiled.method, compression, this.#limits);
  }

  #miss(call: ServerCall, headers: IncomingHttpHeaders): void {
    const [, service, method, ...more] = call.path.split("/");
    if (call.path.charCodeAt(0) !== 0x2f || !service || !method || more.length > 0) {
      throw new GrpcStatusError(GrpcCode.UNIMPLEMENTED, `malformed method name: ${JSON.stringify(call.path)}`);
    }
    const known = this.#services.has(service) && !this.#table.has(call.path);
    if (known) throw new GrpcStatusError(GrpcCode.UNIMPLEMENTED, `unknown method ${method} for service ${service}`);
    if (this.#unknown === null) throw new GrpcStatusError(GrpcCode.UNIMPLEMENTED, `unknown service ${service}`);
    const timeout = headers["grpc-timeout"];
    if (timeout !== undefined) startDeadline(call, String(timeout));
    if (!call.done) this.#unknown(call);
  }

  #closed(call: ServerCall, compiled: CompiledMethod | null): void {
    this.#inFlight--;
    if (call.handlerError !== null && compiled !== null) {
      this.#log.debug(`gRPC call ${call.path} failed: ${messageOf(call.handlerError)}`);
    }
    if (this.#drained !== null && this.#inFlight === 0) for (const resolve of this.#drained.splice(0)) resolve();
  }

  #observe(call: ServerCall, method: GrpcMethod | null, observer: CallObserver): void {
    const started = this.#clock.monotonic();
    call.onDone = (code) => observer(call, method, code, this.#clock.monotonic() - started);
  }
}

function compile(method: GrpcMethod): CompiledMethod {
  const { input, output } = method.desc;
  return {
    method,
    decode: (bytes) => fromBinary(input, bytes),
    encode: (message) => toBinary(output, message as never),
  };
}

/** Whether the request is a gRPC request at all; if not, answers as gRPC servers do: an HTTP status with a gRPC status. */
function admit(call: ServerCall, headers: IncomingHttpHeaders): boolean {
  const contentType = headers["content-type"];
  if (contentType === undefined || !isGrpcContentType(contentType)) {
    call.refuse(
      415,
      new GrpcStatusError(GrpcCode.INVALID_ARGUMENT, `invalid gRPC request content-type ${JSON.stringify(contentType ?? "")}`),
    );
    return false;
  }
  if (headers[":method"] !== "POST") {
    const message = `Received a HEADERS frame with :method ${JSON.stringify(headers[":method"])} which should be POST`;
    call.refuse(405, new GrpcStatusError(GrpcCode.INTERNAL, message));
    return false;
  }
  return true;
}

/** `application/grpc`, also with a subtype (`+proto`) or parameters. */
export function isGrpcContentType(value: string): boolean {
  if (value === "application/grpc") return true;
  const text = value.toLowerCase();
  return text === "application/grpc" || text.startsWith("application/grpc+") || text.startsWith("application/grpc;");
}

function startDeadline(call: ServerCall, header: string): void {
  const timeoutMs = parseTimeout(header);
  if (timeoutMs === null) {
    call.refuse(400, new GrpcStatusError(GrpcCode.INTERNAL, `malformed grpc-timeout: ${JSON.stringify(header)}`));
  } else {
    call.startDeadline(timeoutMs);
  }
}

function decodable(header: string | string[] | undefined): Compression {
  const compression = compressionOf(header?.toString());
  if (compression !== null) return compression;
  throw new GrpcStatusError(GrpcCode.UNIMPLEMENTED, `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(header)}`);
}

function unknownStatus(error: unknown): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.UNKNOWN, messageOf(error));
}

function flatten(headers: IncomingHttpHeaders): string[] {
  const raw: string[] = [];
  for (const key in headers) {
    const value = headers[key];
    if (Array.isArray(value)) for (const one of value) raw.push(key, one);
    else if (value !== undefined) raw.push(key, value);
  }
  return raw;
}
