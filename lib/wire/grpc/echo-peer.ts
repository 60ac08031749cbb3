// Test support: a service of somebody else's app, on the official implementation, whose messages are plain bytes. Calls of
// all four kinds, and what proxies get wrong: repeated and binary metadata, details, early ends, slow readers.
import * as grpc from "@grpc/grpc-js";

const same = (bytes: Buffer): Buffer => bytes;

function method(name: string, requestStream: boolean, responseStream: boolean): grpc.MethodDefinition<Buffer, Buffer> {
  return {
    path: `/outrigger.test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

const definition = {
  unary: method("Unary", false, false),
  collect: method("Collect", true, false),
  split: method("Split", false, true),
  chat: method("Chat", true, true),
};

export interface EchoCall {
  readonly path: string;
  readonly metadata: grpc.Metadata;
  readonly deadline: grpc.Deadline;
  /** Messages that came in so far. */
  received: number;
  cancelled: boolean;
}

interface AnyCall {
  readonly metadata: grpc.Metadata;
  getDeadline(): grpc.Deadline;
  on(event: "cancelled", listener: () => void): unknown;
}

/** What the app does is asked for by metadata: `fail-code`, `hang`, `answer-early`. */
export class EchoApp implements AsyncDisposable {
  readonly calls: EchoCall[] = [];
  readonly #server: grpc.Server;
  readonly #watchers = new Set<() => void>();
  port = 0;

  private constructor(options: grpc.ServerOptions) {
    const maxBytes = 64 * 1024 * 1024;
    this.#server = new grpc.Server({ "grpc.max_receive_message_length": maxBytes, "grpc.max_send_message_length": maxBytes, ...options });
    this.#server.addService(definition as unknown as grpc.ServiceDefinition, {
      unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => this.#unary(call, done),
      collect: (call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => this.#collect(call, done),
      split: (call: grpc.ServerWritableStream<Buffer, Buffer>) => void this.#split(call),
      chat: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => this.#chat(call),
    });
  }

  static async start(options: grpc.ServerOptions = {}, wantedPort = 0): Promise<EchoApp> {
    const app = new EchoApp(options);
    app.port = await new Promise<number>((resolve, reject) => {
      const credentials = grpc.ServerCredentials.createInsecure();
      app.#server.bindAsync(`127.0.0.1:${wantedPort}`, credentials, (error, port) => (error ? reject(error) : resolve(port)));
    });
    return app;
  }

  /** Resolves once `check` holds; it is asked whenever something happens in the app. */
  async until(what: string, check: () => boolean, withinMs = 15_000): Promise<void> {
    if (check()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const watch = () => check() && resolve();
    const timer = setTimeout(() => reject(new Error(`${what}: not within ${withinMs} ms`)), withinMs);
    this.#watchers.add(watch);
    await promise.finally(() => {
      clearTimeout(timer);
      this.#watchers.delete(watch);
    });
  }

  /** Breaks every connection. */
  kill(): void {
    this.#server.forceShutdown();
  }

  /** GOAWAY; calls in flight go on. */
  drain(): Promise<void> {
    return new Promise((resolve) => this.#server.tryShutdown(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
  }

  #begin(call: AnyCall, path: string): EchoCall {
    const seen: EchoCall = { path, metadata: call.metadata, deadline: call.getDeadline(), received: 0, cancelled: false };
    this.calls.push(seen);
    call.on("cancelled", () => {
      seen.cancelled = true;
      this.#changed();
    });
    this.#changed();
    return seen;
  }

  #changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  #unary(call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>): void {
    this.#begin(call, definition.unary.path);
    if (call.metadata.get("hang").length > 0) return;
    const failure = failureOf(call.metadata);
    if (failure !== null) {
      done(failure);
      return;
    }
    call.sendMetadata(responseHeaders());
    done(null, call.request, responseTrailers());
  }

  #collect(call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>): void {
    const seen = this.#begin(call, definition.collect.path);
    if (call.metadata.get("answer-early").length > 0) {
      done(null, Buffer.from("early"), responseTrailers());
      return;
    }
    if (call.metadata.get("hang").length > 0) return;
    let bytes = 0;
    call.on("data", (message: Buffer) => {
      seen.received++;
      bytes += message.length;
      this.#changed();
    });
    call.on("end", () => done(null, Buffer.from(String(bytes)), responseTrailers()));
  }

  /** The request is `<count>x<bytes>`. */
  async #split(call: grpc.ServerWritableStream<Buffer, Buffer>): Promise<void> {
    const seen = this.#begin(call, definition.split.path);
    const [count, size] = call.request.toString().split("x").map(Number) as [number, number];
    call.sendMetadata(responseHeaders());
    for (let index = 0; index < count; index++) {
      if (seen.cancelled) return;
      const room = call.write(Buffer.alloc(size, index));
      seen.received++;
      this.#changed();
      if (!room) await new Promise<void>((resolve) => call.once("drain", resolve));
    }
    const failure = failureOf(call.metadata);
    if (failure !== null) call.emit("error", failure);
    else call.end(responseTrailers());
  }

  #chat(call: grpc.ServerDuplexStream<Buffer, Buffer>): void {
    const seen = this.#begin(call, definition.chat.path);
    call.sendMetadata(responseHeaders());
    call.on("data", (message: Buffer) => {
      seen.received++;
      this.#changed();
      if (!call.write(message)) {
        call.pause();
        call.once("drain", () => call.resume());
      }
    });
    call.on("end", () => call.end(responseTrailers()));
  }
}

/** What a call with `fail-code` ends with; it has to be percent-encoded on the wire. */
export const failureText = "böse: 100 %";

/** The google.rpc.Status that goes with it. */
export function statusDetails(code: number): Buffer {
  const text = Buffer.from(failureText);
  return Buffer.concat([Buffer.of(8, code, 18, text.length), text]);
}

function failureOf(metadata: grpc.Metadata): Partial<grpc.StatusObject> | null {
  const [code] = metadata.get("fail-code");
  if (code === undefined) return null;
  const trailers = responseTrailers();
  trailers.set("grpc-status-details-bin", statusDetails(Number(code)));
  return { code: Number(code), details: failureText, metadata: trailers };
}

function responseHeaders(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.add("x-head", "one");
  metadata.add("x-head", "two");
  return metadata;
}

function responseTrailers(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.add("x-tail-bin", Buffer.from([0, 255, 1]));
  metadata.add("x-tail", "a");
  metadata.add("x-tail", "b");
  return metadata;
}

export interface EchoAnswer {
  readonly message: Buffer | null;
  readonly headers: grpc.Metadata | null;
  readonly status: grpc.StatusObject;
}

/** The app's client, which knows a server or a proxy before it. */
export class EchoClient implements Disposable {
  readonly #client: grpc.Client;

  /** `host:port`. */
  constructor(address: string, options: grpc.ClientOptions = {}) {
    const maxBytes = 64 * 1024 * 1024;
    const limits = { "grpc.max_receive_message_length": maxBytes, "grpc.max_send_message_length": maxBytes };
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), { ...limits, ...options });
  }

  /** Resolves with the status too when it is not OK. */
  unary(message: Buffer, metadata: grpc.Metadata, options: grpc.CallOptions = soon()): Promise<EchoAnswer> {
    return this.path(definition.unary.path, message, metadata, options);
  }

  path(path: string, message: Buffer, metadata: grpc.Metadata, options: grpc.CallOptions = soon()): Promise<EchoAnswer> {
    return new Promise((resolve) => {
      let headers: grpc.Metadata | null = null;
      let reply: Buffer | null = null;
      const call = this.#client.makeUnaryRequest(path, same, same, message, metadata, options, (_error, bytes) => {
        reply = bytes ?? null;
      });
      call.on("metadata", (received) => {
        headers = received;
      });
      call.on("status", (status) => setImmediate(() => resolve({ message: reply, headers, status })));
    });
  }

  collect(
    metadata: grpc.Metadata,
    options: grpc.CallOptions = soon(),
  ): { call: grpc.ClientWritableStream<Buffer>; answer: Promise<EchoAnswer> } {
    const { promise, resolve } = Promise.withResolvers<EchoAnswer>();
    let reply: Buffer | null = null;
    const call = this.#client.makeClientStreamRequest(definition.collect.path, same, same, metadata, options, (_error, bytes) => {
      reply = bytes ?? null;
    });
    call.on("error", ignore);
    call.on("status", (status) => setImmediate(() => resolve({ message: reply, headers: null, status })));
    return { call, answer: promise };
  }

  split(request: string, metadata: grpc.Metadata, options: grpc.CallOptions = soon()): grpc.ClientReadableStream<Buffer> {
    const call = this.#client.makeServerStreamRequest(definition.split.path, same, same, Buffer.from(request), metadata, options);
    call.on("error", ignore);
    return call;
  }

  chat(metadata: grpc.Metadata, options: grpc.CallOptions = soon()): grpc.ClientDuplexStream<Buffer, Buffer> {
    const call = this.#client.makeBidiStreamRequest(definition.chat.path, same, same, metadata, options);
    call.on("error", ignore);
    return call;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** Metadata of `pairs`. */
export function metadataOf(pairs: Readonly<Record<string, string | Buffer>> = {}): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(pairs)) metadata.set(key, value);
  return metadata;
}

/** The final status of a call, also when it is an error. */
export function statusOf(call: grpc.ClientReadableStream<Buffer> | grpc.ClientDuplexStream<Buffer, Buffer>): Promise<grpc.StatusObject> {
  return new Promise((resolve) => (call as grpc.ClientReadableStream<Buffer>).on("status", resolve));
}

/** No test waits longer than this for a call. */
export function soon(withinMs = 30_000): grpc.CallOptions {
  return { deadline: Date.now() + withinMs };
}

function ignore(): void {}
