// Server reflection (grpc.reflection.v1 and v1alpha, the same messages under two names): tools ask which services there
// are and get the descriptors of the files that declare them, each together with what it imports.
import { create, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import {
  ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as ServerReflectionRequestAlpha,
  ServerReflectionResponseSchema as ServerReflectionResponseAlphaSchema,
} from "../../proto/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { bidiStreaming, GrpcCode, type GrpcMethod } from "./types.ts";

/** What a request asks and what it gets; both versions have this shape. */
type Question = ServerReflectionRequest["messageRequest"] | ServerReflectionRequestAlpha["messageRequest"];
type Answer =
  | { readonly case: "listServicesResponse"; readonly value: { readonly service: { readonly name: string }[] } }
  | { readonly case: "fileDescriptorResponse"; readonly value: { readonly fileDescriptorProto: Uint8Array<ArrayBuffer>[] } }
  | { readonly case: "allExtensionNumbersResponse"; readonly value: { readonly baseTypeName: string } }
  | { readonly case: "errorResponse"; readonly value: { readonly errorCode: number; readonly errorMessage: string } };

/** The reflection methods for a server that offers `services`; they list themselves too. */
export function reflectionMethods(services: readonly DescService[]): GrpcMethod[] {
  const index = new DescriptorIndex([...services, ServerReflection, ServerReflectionAlpha]);
  return [
    bidiStreaming(ServerReflection.method.serverReflectionInfo, null, async function* (requests) {
      for await (const request of requests) {
        const messageResponse = index.answer(request.messageRequest);
        yield create(ServerReflectionResponseSchema, { validHost: request.host, originalRequest: request, messageResponse });
      }
    }),
    bidiStreaming(ServerReflectionAlpha.method.serverReflectionInfo, null, async function* (requests) {
      for await (const request of requests) {
        const messageResponse = index.answer(request.messageRequest);
        yield create(ServerReflectionResponseAlphaSchema, { validHost: request.host, originalRequest: request, messageResponse });
      }
    }),
  ];
}

class DescriptorIndex {
  readonly #services: readonly string[];
  readonly #files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    this.#services = [...new Set(services.map((service) => service.typeName))].sort();
    for (const service of services) this.#addFile(service.file);
  }

  answer(question: Question): Answer {
    switch (question.case) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: this.#services.map((name) => ({ name })) } };
      case "fileByFilename":
        return this.#describe(this.#files.get(question.value), question.value);
      case "fileContainingSymbol":
        return this.#describe(this.#symbols.get(question.value), question.value);
      case "fileContainingExtension":
        return notFound(`no extension ${question.value.extensionNumber} of ${question.value.containingType}`);
      case "allExtensionNumbersOfType":
        if (!this.#symbols.has(question.value)) return notFound(question.value);
        return { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value } };
      default:
        return failure(GrpcCode.INVALID_ARGUMENT, "the request asks for nothing; set one of message_request");
    }
  }

  #describe(file: DescFile | undefined, name: string): Answer {
    if (file === undefined) return notFound(name);
    const files = new Set<DescFile>();
    collect(file, files);
    const fileDescriptorProto = [...files].map((one) => toBinary(FileDescriptorProtoSchema, one.proto));
    return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
  }

  #addFile(file: DescFile): void {
    if (this.#files.has(file.proto.name)) return;
    this.#files.set(file.proto.name, file);
    for (const symbol of symbolsOf(file)) this.#symbols.set(symbol, file);
    for (const dependency of file.dependencies) this.#addFile(dependency);
  }
}

function* symbolsOf(file: DescFile): Generator<string> {
  const messages = [...file.messages];
  for (let message = messages.pop(); message !== undefined; message = messages.pop()) {
    yield message.typeName;
    for (const field of message.fields) yield `${message.typeName}.${field.name}`;
    for (const nested of message.nestedEnums) yield nested.typeName;
    messages.push(...message.nestedMessages);
  }
  for (const one of file.enums) yield one.typeName;
  for (const service of file.services) {
    yield service.typeName;
    for (const method of service.methods) yield `${service.typeName}.${method.name}`;
  }
}

function collect(file: DescFile, into: Set<DescFile>): void {
  if (into.has(file)) return;
  into.add(file);
  for (const dependency of file.dependencies) collect(dependency, into);
}

function notFound(name: string): Answer {
  return failure(GrpcCode.NOT_FOUND, `not found: ${name}`);
}

function failure(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
