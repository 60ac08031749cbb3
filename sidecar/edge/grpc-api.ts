// The two gRPC servers: the public API (blocks' methods, token, API lists, log) and the internal one between sidecars.
import type { Http2Server, ServerHttp2Stream } from "node:http2";
import type { Logger } from "../../lib/telemetry/log.ts";
import { createGrpcDispatcher, type DispatcherOptions, type Interceptor, type UnknownHook } from "../../lib/wire/grpc/server.ts";
import { first, GrpcCode, type GrpcMethod, GrpcStatusError } from "../../lib/wire/grpc/types.ts";
import { createH2cServer } from "../../lib/wire/http2-server.ts";
import { createListener, type ListenAddress, type Listener } from "../../lib/wire/listener.ts";
import type { SecureServer } from "../../lib/wire/secure.ts";
import { type ApiLists, grpcFilter } from "./api-list.ts";
import { createGrpcApiLog } from "./api-log.ts";
import { grpcTokenCheck, tokenCheck } from "./api-token.ts";
import type { RunningServer } from "./http-api.ts";
import { createRescue } from "./rescue.ts";

/** Dapr multiplies the read buffer size, already in bytes, by 1024 for gRPC; node's HTTP/2 takes no more than 64 KiB. */
const headerListFactor = 1024;
const headerListMaxBytes = 64 * 1024;

export interface GrpcServerOptions {
  readonly methods: readonly GrpcMethod[];
  readonly maxBodyBytes: number;
  readonly maxHeaderBytes: number;
  /** Told of every error code that goes out; null: nobody counts. */
  readonly countError: ((code: string) => void) | null;
  /** Takes the methods that are in no table; null: there are no others. */
  readonly unknown: DispatcherOptions["unknown"];
  /** Which calls of our own services are meant for the app all the same. */
  readonly yields?: DispatcherOptions["yields"];
  readonly log: Logger;
}

export interface GrpcApiOptions extends GrpcServerOptions {
  readonly addresses: readonly ListenAddress[];
  readonly lists: ApiLists;
  readonly apiToken: string;
  readonly apiLog: boolean;
}

export async function startGrpcApi(options: GrpcApiOptions): Promise<RunningServer> {
  const log = options.log.scope("dapr.runtime.grpc.api");
  const interceptors: Interceptor[] = [];
  const filter = grpcFilter(options.lists);
  if (filter) interceptors.push(filter);
  if (options.apiToken !== "") {
    log.info("Enabled token authentication on gRPC server");
    interceptors.push(grpcTokenCheck(tokenCheck(options.apiToken)));
  }
  const record = options.apiLog ? createGrpcApiLog(options.log) : null;
  const observer: DispatcherOptions["observer"] =
    record && ((call, _method, code, durationMs) => record(call.path, durationMs, code, first(call.metadata, "user-agent")));
  const http2 = grpcHttp2Server(options, log, interceptors, observer);
  const listener = await createListener(options.addresses, { http1: null, http2, log, setting: "--dapr-grpc-port" });
  for (const address of listener.addresses) {
    if ("path" in address) log.info(`gRPC server listening on UNIX socket: ${address.path}`);
    else log.info(`gRPC server listening on TCP address: ${address.host}:${address.port}`);
  }
  return runningGrpc(listener);
}

/** Binds early, before components can take the port as a source port; answers once `serve` was called. */
export interface InternalServer extends RunningServer {
  serve(methods: readonly GrpcMethod[], unknown: UnknownHook): void;
}

export async function reserveInternalServer(
  options: Omit<GrpcServerOptions, "methods" | "unknown">,
  address: ListenAddress,
  /** Null: plain text. */
  secure: SecureServer | null,
): Promise<InternalServer> {
  const log = options.log.scope("dapr.runtime.grpc.internal");
  const http2 = createH2cServer({ maxHeaderListBytes: headerListBytes(options.maxHeaderBytes) });
  const listener = await createListener([address], {
    http1: null,
    http2,
    secure,
    log,
    setting: "--dapr-internal-grpc-port",
  });
  const starting = dispatcherOf({ ...options, methods: [], unknown: null }, log, [refuseWhileStarting], null);
  let serving = starting;
  http2.on("stream", (stream, headers, _flags, rawHeaders) => serving.handle(stream as ServerHttp2Stream, headers, rawHeaders));
  return {
    ...runningGrpc(listener),
    serve(methods, unknown) {
      serving = dispatcherOf({ ...options, methods, unknown }, log, [], null);
    },
  };
}

function refuseWhileStarting(): never {
  throw new GrpcStatusError(GrpcCode.UNAVAILABLE, "this sidecar is still starting");
}

function grpcHttp2Server(
  options: GrpcServerOptions,
  log: Logger,
  interceptors: readonly Interceptor[],
  observer: DispatcherOptions["observer"],
): Http2Server {
  const http2 = createH2cServer({ maxHeaderListBytes: headerListBytes(options.maxHeaderBytes) });
  dispatcherOf(options, log, interceptors, observer).attach(http2);
  return http2;
}

function dispatcherOf(
  options: GrpcServerOptions,
  log: Logger,
  interceptors: readonly Interceptor[],
  observer: DispatcherOptions["observer"],
) {
  // 0 or less means no limit over HTTP; gRPC frames carry 32 bits of length.
  const maxBytes = options.maxBodyBytes > 0 ? options.maxBodyBytes : 2 ** 31 - 1;
  return createGrpcDispatcher({
    methods: options.methods,
    maxReceiveBytes: maxBytes,
    maxSendBytes: maxBytes,
    log,
    interceptors,
    observer: observer ?? null,
    unknown: options.unknown ?? null,
    yields: options.yields ?? null,
    toStatus: createRescue(log, options.countError).toGrpcStatus,
  });
}

function headerListBytes(readBufferBytes: number): number {
  return Math.min(readBufferBytes * headerListFactor, headerListMaxBytes);
}

function runningGrpc(listener: Listener): RunningServer {
  return { addresses: listener.addresses, close: (graceMs) => listener.close({ graceMs }) };
}
