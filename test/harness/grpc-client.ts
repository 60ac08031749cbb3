// The official gRPC client of JavaScript against a sidecar: unary calls and streams by generated method, typed.
import {
  create,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

export type GrpcError = grpc.ServiceError;

export class GrpcClient implements Disposable {
  readonly #client: grpc.Client;

  /** `host:port` or `unix:/path`. */
  constructor(address: string, options: grpc.ClientOptions = {}) {
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), options);
  }

  /** Rejects with GrpcError. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    metadata: Readonly<Record<string, string>> = {},
    withinMs = 10_000,
  ): Promise<MessageShape<O>> {
    const sent = new grpc.Metadata();
    for (const [key, value] of Object.entries(metadata)) sent.set(key, value);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        sent,
        { deadline: Date.now() + withinMs },
        (error, message) => (error ? reject(error) : resolve(message as MessageShape<O>)),
      );
    });
  }

  /** A stream of both directions, without a deadline. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
  ): grpc.ClientDuplexStream<MessageShape<I>, MessageShape<O>> {
    return this.#client.makeBidiStreamRequest(
      `/${method.parent.typeName}/${method.name}`,
      (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
      (bytes) => fromBinary(method.output, bytes),
    );
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
