// The gRPC channel to the app: OnInvoke for invocations, typed calls for callbacks. The app token goes with every call;
// a slot of the concurrency limit is held until the call has returned.
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { GrpcCode } from "../../lib/kit/errors.ts";
import { httpStatusOf } from "../../lib/kit/status-map.ts";
import {
  HTTPExtension_Verb,
  HTTPExtensionSchema,
  type InvokeRequest,
  InvokeRequestSchema,
  type InvokeResponse,
} from "../../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { AppCallback, AppCallbackHealthCheck } from "../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { type GrpcChannel, GrpcStatusError, type Metadata, newMetadata, type UnaryResult } from "../../lib/wire/grpc/types.ts";
import { callHeader, fromMetadata, newHeaders, toMetadata } from "../contract/invoke-headers.ts";
import type { AppChannel, AppRequest, AppResponse } from "../contract/ports.ts";
import { readBody } from "../contract/read-body.ts";
import type { ConcurrencyLimit } from "./concurrency.ts";

export interface GrpcAppOptions {
  readonly connection: GrpcChannel;
  /** Empty for none. */
  readonly appToken: string;
  readonly limit: ConcurrencyLimit | null;
  /** OnInvoke carries a body whole; 0 means no limit. */
  readonly maxBodyBytes: number;
}

export interface GrpcAppChannel {
  invoke(request: AppRequest, signal: AbortSignal): Promise<AppResponse>;
  readonly call: NonNullable<AppChannel["grpc"]>["call"];
  /** Outside the concurrency limit: a proxied stream may last for days. */
  readonly forward: NonNullable<AppChannel["grpc"]>["forward"];
  /** Rejects when the app says it is unwell or does not answer. */
  probe(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const never = new AbortController().signal;

export function createGrpcChannel(options: GrpcAppOptions): GrpcAppChannel {
  const { connection, appToken, limit } = options;

  const limited = async <T>(signal: AbortSignal, operation: () => Promise<T>): Promise<T> => {
    const waiting = limit?.acquire(signal);
    if (waiting) await waiting;
    try {
      return await operation();
    } finally {
      limit?.release();
    }
  };
  const tokenHeader = appToken === "" ? [] : ["dapr-api-token", appToken];
  const withToken = (metadata: Metadata): Metadata => {
    if (appToken !== "") metadata["dapr-api-token"] = appToken;
    return metadata;
  };

  return {
    invoke: (request, signal) =>
      limited(signal, async () => {
        const message = await toInvokeRequest(request, options.maxBodyBytes);
        const metadata = withToken(toMetadata(request.headers, true));
        delete metadata[callHeader];
        try {
          return answered(await connection.unary(AppCallback.method.onInvoke, message, { metadata, signal }));
        } catch (error) {
          if (error instanceof GrpcStatusError && !signal.aborted) return refused(error);
          throw error;
        }
      }),
    call: (method, request, callOptions) =>
      limited(callOptions.signal ?? never, () =>
        connection.unary(method, request, { ...callOptions, metadata: withToken(copy(callOptions.metadata)) }),
      ),
    forward: (forwarded, headers) => connection.forward(forwarded, [...headers, ...tokenHeader]),
    async probe(signal) {
      const health = AppCallbackHealthCheck.method.healthCheck;
      await connection.unary(health, create(health.input), { metadata: withToken(newMetadata()), signal });
    },
    close: () => connection.close(),
  };
}

function copy(metadata: Metadata | undefined): Metadata {
  return Object.assign(newMetadata(), metadata);
}

async function toInvokeRequest(request: AppRequest, maxBodyBytes: number): Promise<InvokeRequest> {
  const value = await readBody(request.body, maxBodyBytes);
  const message = create(InvokeRequestSchema, {
    method: request.method,
    contentType: request.contentType ?? "",
    data: create(AnySchema, { value, typeUrl: request.typeUrl ?? "" }),
  });
  if (request.verb !== "") message.httpExtension = create(HTTPExtensionSchema, { verb: verbOf(request.verb), querystring: request.query });
  return message;
}

const verbs: ReadonlyMap<string, HTTPExtension_Verb> = new Map(Object.entries(HTTPExtension_Verb));

function verbOf(verb: string): HTTPExtension_Verb {
  return verbs.get(verb) ?? HTTPExtension_Verb.POST;
}

const noBody = new Uint8Array(0);

function answered(result: UnaryResult<InvokeResponse>): AppResponse {
  const { message } = result;
  const typeUrl = message.data?.typeUrl ?? "";
  const headers = fromMetadata(result.headers);
  // Marks the origin for the hops back (see isGrpcOrigin).
  headers["content-type"] = ["application/grpc"];
  return {
    status: 200,
    grpc: { code: GrpcCode.OK, message: "", details: null },
    headers,
    trailers: fromMetadata(result.trailers),
    contentType: message.contentType || null,
    body: message.data?.value ?? noBody,
    typeUrl,
  };
}

/** A status of the app is its answer, not a failure of the call. */
function refused(error: GrpcStatusError): AppResponse {
  const headers = newHeaders();
  headers["content-type"] = ["application/grpc"];
  return {
    status: httpStatusOf(error.code),
    grpc: { code: error.code, message: error.message, details: error.statusDetails },
    headers,
    trailers: fromMetadata(error.metadata),
    contentType: null,
    body: noBody,
  };
}
