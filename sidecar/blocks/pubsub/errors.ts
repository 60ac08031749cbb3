// Every error of the pub/sub API, in Dapr's words. The reason of each is `DAPR_PUBSUB_<name>`.
import type { FailedEntry } from "../../../components/pubsub/broker.ts";
import { ApiError, apiError, type ErrorDetail, type ErrorRow, GrpcCode, messageOf } from "../../../lib/kit/errors.ts";

export const pubSubErrors = {
  notFound: { code: "ERR_PUBSUB_NOT_FOUND", http: 404, grpc: GrpcCode.INVALID_ARGUMENT, message: "pubsub {} is not found" },
  nameEmpty: { code: "ERR_PUBSUB_EMPTY", http: 404, grpc: GrpcCode.INVALID_ARGUMENT, message: "pubsub name is empty" },
  topicEmpty: { code: "ERR_TOPIC_NAME_EMPTY", http: 404, grpc: GrpcCode.INVALID_ARGUMENT, message: "topic is empty in pubsub {}" },
  metadata: {
    code: "ERR_PUBSUB_REQUEST_METADATA",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "failed deserializing metadata. Error: {}",
  },
  cloudEvent: { code: "ERR_PUBSUB_CLOUD_EVENTS_SER", http: 500, grpc: GrpcCode.INVALID_ARGUMENT, message: "cannot create cloudevent" },
  forbidden: {
    code: "ERR_PUBSUB_FORBIDDEN",
    http: 403,
    grpc: GrpcCode.PERMISSION_DENIED,
    message: "topic {} is not allowed for app id {}",
  },
  publish: {
    code: "ERR_PUBSUB_PUBLISH_MESSAGE",
    http: 500,
    grpc: GrpcCode.INTERNAL,
    message: "error when publishing to topic {} in pubsub {}: {}",
  },
  envelope: {
    code: "ERR_PUBSUB_EVENTS_SER",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "error when marshalling cloud event envelope for topic {} pubsub {}: {}",
  },
  entries: {
    code: "ERR_PUBSUB_EVENTS_SER",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "error marshaling events to bytes for topic {} pubsub {}. error: {}",
  },
  unreadable: {
    code: "ERR_PUBSUB_EVENTS_SER",
    http: 400,
    grpc: GrpcCode.INVALID_ARGUMENT,
    message: "error when unmarshaling the request for topic {} pubsub {}: {}",
  },
} as const satisfies Record<string, ErrorRow>;

type Metadata = Readonly<Record<string, string>>;

function build(
  row: ErrorRow,
  values: readonly string[],
  reason: string,
  metadata: Metadata,
  pubsubName: string | null,
  cause?: unknown,
): ApiError {
  const bare = apiError(row, values);
  const info: ErrorDetail = { kind: "ErrorInfo", reason: `DAPR_PUBSUB_${reason}`, metadata };
  if (pubsubName === null) return apiError(row, values, { details: [info], cause });
  const resource: ErrorDetail = { kind: "ResourceInfo", type: "pubsub", name: pubsubName, owner: "", description: bare.message };
  return apiError(row, values, { details: [resource, info], cause });
}

export function notFound(pubsubName: string, metadata: Metadata): ApiError {
  return build(pubSubErrors.notFound, [pubsubName], "NOT_FOUND", metadata, null);
}

export function nameEmpty(metadata: Metadata): ApiError {
  return build(pubSubErrors.nameEmpty, [], "NAME_EMPTY", metadata, "");
}

export function topicEmpty(pubsubName: string, metadata: Metadata): ApiError {
  return build(pubSubErrors.topicEmpty, [pubsubName], "TOPIC_NAME_EMPTY", metadata, pubsubName);
}

export function badMetadata(pubsubName: string, metadata: Metadata, error: unknown): ApiError {
  return build(pubSubErrors.metadata, [messageOf(error)], "METADATA_DESERIALIZATION", metadata, pubsubName, error);
}

export function badCloudEvent(pubsubName: string, appId: string, error: string): ApiError {
  return build(pubSubErrors.cloudEvent, [], "CLOUD_EVENT_CREATION", { appID: appId, error }, pubsubName);
}

export function forbidden(pubsubName: string, topic: string, appId: string): ApiError {
  const error = apiError(pubSubErrors.forbidden, [topic, appId]).message;
  return build(pubSubErrors.forbidden, [topic, appId], "FORBIDDEN", { topic, error }, pubsubName);
}

export function publishFailed(pubsubName: string, topic: string, cause: unknown): ApiError {
  const error = messageOf(cause);
  return build(pubSubErrors.publish, [topic, pubsubName, error], "PUBLISH_MESSAGE", { topic, error }, pubsubName, cause);
}

/** Details travel in a trailer, and clients take no more than a few KiB of those. */
const violationsMaxChars = 4000;

/** Some entries of a bulk were not taken: the first one's reason in words, each one's as a field violation under its id. */
export function bulkPublishFailed(pubsubName: string, topic: string, failed: readonly FailedEntry[]): ApiError {
  const error = publishFailed(pubsubName, topic, failed[0]?.error);
  const violations = [];
  let chars = 0;
  for (const entry of failed) {
    const violation = { field: entry.entryId, description: messageOf(entry.error) };
    chars += violation.field.length + violation.description.length;
    if (chars > violationsMaxChars) break;
    violations.push(violation);
  }
  return new ApiError(pubSubErrors.publish, error.message, {
    details: [...error.details, { kind: "BadRequest", violations }],
    cause: error.cause,
  });
}

/** An entry of a bulk whose event does not fit its content type. */
export function badEnvelope(pubsubName: string, topic: string, appId: string, error: string): ApiError {
  return build(pubSubErrors.envelope, [topic, pubsubName, error], "MARSHAL_ENVELOPE", { appID: appId, error }, pubsubName);
}

/** Entries of a bulk that cannot be told apart. */
export function badEntries(pubsubName: string, topic: string, appId: string, error: string): ApiError {
  return build(pubSubErrors.entries, [topic, pubsubName, error], "MARSHAL_EVENTS", { appID: appId, error }, pubsubName);
}

/** A bulk that is not the JSON it has to be. */
export function unreadableBulk(pubsubName: string, topic: string, appId: string, error: string): ApiError {
  return build(pubSubErrors.unreadable, [topic, pubsubName, error], "UNMARSHAL_EVENTS", { appID: appId }, pubsubName);
}
