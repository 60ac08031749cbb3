// The only place where an error becomes a wire answer: ApiError → JSON body or gRPC status with details. Anything that is
// no ApiError is answered 500 ERROR, as Dapr does, and logged, since it means a block let an unforeseen failure through.
import { create, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { ApiError, type ErrorDetail, errorDomain, GrpcCode, messageOf } from "../../lib/kit/errors.ts";
import { BadRequestSchema, ErrorInfoSchema, HelpSchema, ResourceInfoSchema } from "../../lib/proto/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../lib/proto/gen/google/rpc/status_pb.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { GrpcStatusError } from "../../lib/wire/grpc/types.ts";
import type { Reply } from "../contract/http.ts";

/** Maps errors for one server. `count` is told of every error code that goes out; null: nobody counts. */
export interface Rescue {
  toReply(error: unknown): Reply;
  toGrpcStatus(error: unknown): GrpcStatusError;
}

export function createRescue(log: Logger, count: ((code: string) => void) | null): Rescue {
  const counted = (error: unknown) => {
    if (count !== null && error instanceof ApiError) count(error.code);
  };
  return {
    toReply(error) {
      counted(error);
      return toReply(error, log);
    },
    toGrpcStatus(error) {
      counted(error);
      return toGrpcStatus(error, log);
    },
  };
}

/** The JSON error body of the Dapr HTTP API (inventory §2.1). */
function toReply(error: unknown, log: Logger): Reply {
  if (error instanceof ApiError) {
    const body: Record<string, unknown> = { errorCode: error.code, message: error.message };
    if (error.details.length > 0) body["details"] = error.details.map(detailJson);
    return { status: error.http, headers: { ...error.headers }, body: JSON.stringify(body) };
  }
  if (error instanceof GrpcStatusError) return { status: 500, body: JSON.stringify({ errorCode: "ERROR", message: error.message }) };
  logUnforeseen(error, log);
  return { status: 500, body: JSON.stringify({ errorCode: "ERROR", message: messageOf(error) }) };
}

function toGrpcStatus(error: unknown, log: Logger): GrpcStatusError {
  if (error instanceof GrpcStatusError) return error;
  if (error instanceof ApiError) {
    return new GrpcStatusError(error.grpc, error.message, error.details.length > 0 ? encodeDetails(error) : null);
  }
  logUnforeseen(error, log);
  return new GrpcStatusError(GrpcCode.UNKNOWN, messageOf(error));
}

function logUnforeseen(error: unknown, log: Logger): void {
  // An aborted request is the client's doing, not ours.
  if (error instanceof Error && error.name === "AbortError") return;
  log.error(`unexpected error answered with status 500: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`);
}

function detailJson(detail: ErrorDetail): Record<string, unknown> {
  switch (detail.kind) {
    case "ErrorInfo":
      return { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: detail.reason, domain: errorDomain, metadata: detail.metadata };
    case "ResourceInfo":
      return {
        "@type": "type.googleapis.com/google.rpc.ResourceInfo",
        resource_type: detail.type,
        resource_name: detail.name,
        owner: detail.owner,
        description: detail.description,
      };
    case "BadRequest":
      return { "@type": "type.googleapis.com/google.rpc.BadRequest", field_violations: detail.violations };
    case "Help":
      return { "@type": "type.googleapis.com/google.rpc.Help", links: detail.links };
  }
}

function encodeDetails(error: ApiError): Uint8Array {
  const status = create(StatusSchema, { code: error.grpc, message: error.message, details: error.details.map(detailAny) });
  return toBinary(StatusSchema, status);
}

function detailAny(detail: ErrorDetail) {
  switch (detail.kind) {
    case "ErrorInfo":
      return pack(
        ErrorInfoSchema,
        create(ErrorInfoSchema, { reason: detail.reason, domain: errorDomain, metadata: detail.metadata ?? {} }),
      );
    case "ResourceInfo":
      return pack(
        ResourceInfoSchema,
        create(ResourceInfoSchema, {
          resourceType: detail.type,
          resourceName: detail.name,
          owner: detail.owner,
          description: detail.description,
        }),
      );
    case "BadRequest":
      return pack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: [...detail.violations] }));
    case "Help":
      return pack(HelpSchema, create(HelpSchema, { links: [...detail.links] }));
  }
}

function pack<D extends DescMessage>(schema: D, message: MessageShape<D>) {
  return anyPack(schema, message);
}
