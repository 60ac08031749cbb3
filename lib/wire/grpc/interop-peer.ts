// Test support: the official gRPC implementation of JavaScript as the other end, and our server on a free port.
import { once } from "node:events";
import { createServer as createHttp2, type Http2Server } from "node:http2";
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from "node:net";
import { type DescMethod, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { createH2cServer, type Http2ServerOptions } from "../http2-server.ts";
import { silentLog } from "../log.ts";
import { type ChannelOptions, connectGrpc } from "./client.ts";
import { createGrpcDispatcher, type DispatcherOptions, type GrpcDispatcher } from "./server.ts";
import type { GrpcChannel } from "./types.ts";

export const maxBytes = 4 * 1024 * 1024;

/** The definition grpc-js wants of a generated service. */
export function definitionOf(service: DescService): grpc.ServiceDefinition {
  const definition: Record<string, grpc.MethodDefinition<unknown, unknown>> = {};
  for (const method of service.methods) definition[method.localName] = methodDefinition(service, method);
  return definition;
}

function methodDefinition(service: DescService, method: DescMethod): grpc.MethodDefinition<unknown, unknown> {
  const bidi = method.methodKind === "bidi_streaming";
  return {
    path: `/${service.typeName}/${method.name}`,
    requestStream: bidi || method.methodKind === "client_streaming",
    responseStream: bidi || method.methodKind === "server_streaming",
    requestSerialize: (message) => Buffer.from(toBinary(method.input, message as never)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(method.output, message as never)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

export interface OurServer extends AsyncDisposable {
  readonly port: number;
  readonly http2: Http2Server;
  readonly dispatcher: GrpcDispatcher;
}

type ServeOptions = Partial<DispatcherOptions> & Pick<DispatcherOptions, "methods"> & { readonly http2?: Partial<Http2ServerOptions> };

/** Our dispatcher on our HTTP/2 server on a free port. */
export async function serve(options: ServeOptions): Promise<OurServer> {
  const dispatcher = createGrpcDispatcher({ maxReceiveBytes: maxBytes, maxSendBytes: maxBytes, log: silentLog, ...options });
  const http2 = createH2cServer({ maxHeaderListBytes: 65_536, ...options.http2 });
  dispatcher.attach(http2);
  const sessions = new Set<{ destroy(): void }>();
  http2.on("session", (session) => sessions.add(session));
  http2.listen(0, "127.0.0.1");
  await once(http2, "listening");
  return {
    port: (http2.address() as AddressInfo).port,
    http2,
    dispatcher,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      http2.close();
      await once(http2, "close");
    },
  };
}

/** The official client; `client.close()` when done. */
export function officialClient(service: DescService, port: number, options: grpc.ClientOptions = {}): grpc.Client {
  const Client = grpc.makeGenericClientConstructor(definitionOf(service), service.typeName);
  return new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), options);
}

export interface OfficialServer extends AsyncDisposable {
  readonly port: number;
  readonly server: grpc.Server;
}

/** The official server on a free port. */
export async function officialServer(
  service: DescService,
  handlers: grpc.UntypedServiceImplementation,
  options: grpc.ServerOptions = {},
  wantedPort = 0,
): Promise<OfficialServer> {
  const server = new grpc.Server(options);
  const definition = definitionOf(service);
  const missing = Object.keys(definition).filter((name) => !(name in handlers));
  server.addService(definition, { ...Object.fromEntries(missing.map((name) => [name, unimplemented])), ...handlers });
  const bound = Promise.withResolvers<number>();
  server.bindAsync(`127.0.0.1:${wantedPort}`, grpc.ServerCredentials.createInsecure(), (error, port) =>
    error ? bound.reject(error) : bound.resolve(port),
  );
  const port = await bound.promise;
  return {
    port,
    server,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

const unimplemented: grpc.handleUnaryCall<unknown, unknown> = (_call, callback) =>
  callback({ code: grpc.status.UNIMPLEMENTED, details: "not part of this test" });

export function channel(port: number, options: Partial<ChannelOptions> = {}): GrpcChannel & AsyncDisposable {
  const made = connectGrpc({
    target: { host: "127.0.0.1", port },
    maxReceiveBytes: maxBytes,
    maxSendBytes: maxBytes,
    userAgent: "outrigger-test",
    log: silentLog,
    ...options,
  });
  return Object.assign(made, { [Symbol.asyncDispose]: () => made.close() });
}

export interface RawServer extends AsyncDisposable {
  readonly port: number;
  readonly connections: number;
}

/** A TCP server that does with its connections what the test wants. */
export async function tcp(onConnection: (socket: Socket) => void): Promise<RawServer> {
  return listening(
    createTcp((socket) => {
      socket.on("error", () => {});
      onConnection(socket);
    }),
  );
}

/** A bare HTTP/2 server that `prepare` gives its behaviour. */
export async function rawHttp2(prepare: (http2: Http2Server) => void): Promise<RawServer & { readonly http2: Http2Server }> {
  const http2 = createHttp2();
  http2.on("stream", (stream) => stream.on("error", () => {}));
  prepare(http2);
  return Object.assign(await listening(http2), { http2 });
}

async function listening(server: Server): Promise<RawServer> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.size;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A port nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  await using server = await listening(createTcp());
  return server.port;
}

/** Runs `run` with the official client of `service` and closes it. */
export async function withClient(
  server: OurServer,
  service: DescService,
  run: (client: grpc.Client) => Promise<void>,
  options?: grpc.ClientOptions,
): Promise<void> {
  const client = officialClient(service, server.port, options);
  try {
    await run(client);
  } finally {
    client.close();
  }
}
