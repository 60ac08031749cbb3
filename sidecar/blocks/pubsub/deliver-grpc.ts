// One event to a gRPC app: AppCallback.OnTopicEvent.
import { create, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { GrpcCode, messageOf } from "../../../lib/kit/errors.ts";
import {
  AppCallback,
  TopicEventResponse_TopicEventResponseStatus as Status,
  type TopicEventRequest,
  TopicEventRequestSchema,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import type { Logger } from "../../../lib/telemetry/log.ts";
import { parseTraceparent } from "../../../lib/telemetry/trace-context.ts";
import { GrpcStatusError, type Metadata, newMetadata } from "../../../lib/wire/grpc/types.ts";
import { traceIntoMetadata } from "../../contract/invoke-headers.ts";
import type { AppChannel } from "../../contract/ports.ts";
import { isCloudEvent, isJson, isText } from "./content-type.ts";
import { type Event, type Fields, stringField, traceField, zeroTraceparent } from "./event.ts";
import { type Outcome, RetryError } from "./outcome.ts";

type GrpcApp = NonNullable<AppChannel["grpc"]>;

/** Rejects with RetryError when the message shall come again. */
export async function deliverGrpc(app: GrpcApp, event: Event, path: string, log: Logger, signal: AbortSignal): Promise<Outcome> {
  const id = stringField(event.fields, "id");
  const request = topicEvent(event, path);
  try {
    const { message } = await app.call(AppCallback.method.onTopicEvent, request, { metadata: metadataOf(event), signal });
    return outcomeOf(message.status, id, log);
  } catch (error) {
    if (error instanceof RetryError) throw error;
    if (error instanceof GrpcStatusError && error.code === GrpcCode.UNIMPLEMENTED) {
      log.warn(`non-retriable error returned from app while processing pub/sub event ${id}: ${error.message}`);
      return "drop";
    }
    const code = error instanceof GrpcStatusError ? { grpc: error.code } : {};
    throw new RetryError(`error returned from app while processing pub/sub event ${id}: ${messageOf(error)}`, code, error);
  }
}

/** Throws a RetryError when the data is not what its content type says. */
export function topicEvent(event: Event, path: string): TopicEventRequest {
  const { fields } = event;
  const request = create(TopicEventRequestSchema, {
    id: stringField(fields, "id"),
    source: stringField(fields, "source"),
    type: stringField(fields, "type"),
    specVersion: stringField(fields, "specversion"),
    dataContentType: stringField(fields, "datacontenttype"),
    topic: event.topic,
    pubsubName: event.pubsubName,
    path,
    data: dataOf(event),
  });
  request.extensions = extensionsOf(fields);
  return request;
}

const noData = new Uint8Array(0);

/** The payload as bytes: text as it is, JSON as JSON text, base64 decoded. Data of any other content type is not sent, as in Dapr. */
export function dataOf(event: Event): Uint8Array {
  const encoded = event.fields["data_base64"] ?? null;
  if (encoded !== null) return decode(encoded);
  const data = event.fields["data"] ?? null;
  if (data === null) return noData;
  if (data instanceof Uint8Array) return data;
  const contentType = stringField(event.fields, "datacontenttype");
  if (isText(contentType)) {
    if (typeof data !== "string")
      throw new RetryError("error returned from app while processing pub/sub event: unexpected data type encountered in envelope");
    return Buffer.from(data);
  }
  if (isJson(contentType) || isCloudEvent(contentType)) return Buffer.from(event.member("data") ?? JSON.stringify(data));
  return noData;
}

const base64Form = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function decode(encoded: unknown): Uint8Array {
  if (typeof encoded !== "string")
    throw new RetryError("error returned from app while processing pub/sub event: unexpected data type encountered in envelope");
  const text = encoded.replace(/[\r\n]/g, "");
  if (!base64Form.test(text)) throw new RetryError("error returned from app while processing pub/sub event: data_base64 is not base64");
  return Buffer.from(text, "base64");
}

const ownFields: ReadonlySet<string> = new Set(["id", "source", "datacontenttype", "type", "specversion", "data", "data_base64"]);

export function extensionsOf(fields: Fields): JsonObject {
  const extensions: JsonObject = Object.create(null);
  for (const [name, value] of Object.entries(fields)) if (!ownFields.has(name)) extensions[name] = value as JsonValue;
  return extensions;
}

const metadataName = /^[0-9a-z_.-]+$/;
const printable = /^[\x20-\x7e]*$/;
const reserved: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
  "dapr-api-token",
  "te",
  "user-agent",
  "host",
  "connection",
]);

function metadataOf(event: Event): Metadata {
  const metadata = newMetadata();
  for (const [key, value] of Object.entries(event.metadata)) {
    const name = key.toLowerCase();
    const carried = metadataName.test(name) && printable.test(value) && !name.startsWith("grpc-") && !name.endsWith("-bin");
    if (carried && !reserved.has(name)) metadata[name] = value;
  }
  if (printable.test(event.pubsubName)) metadata["pubsubname"] = event.pubsubName;
  setTrace(metadata, event.fields);
  return metadata;
}

/** The event's trace; a malformed one as zeros. */
export function setTrace(metadata: Metadata, fields: Fields): void {
  const traceparent = traceField(fields);
  if (traceparent === undefined) return;
  const trace = parseTraceparent(traceparent, stringField(fields, "tracestate"));
  if (trace === null) metadata["traceparent"] = zeroTraceparent;
  else traceIntoMetadata(metadata, { ...trace, tracestate: printable.test(trace.tracestate) ? trace.tracestate : "" });
}

/** Throws a RetryError where the app does not take the event now. */
export function outcomeOf(status: Status, id: string, log: Logger): Outcome {
  switch (status) {
    case Status.SUCCESS:
      return "success";
    case Status.RETRY:
      throw new RetryError(`RETRY status returned from app while processing pub/sub event ${id}`);
    case Status.DROP:
      log.warn(`DROP status returned from app while processing pub/sub event ${id}`);
      return "drop";
    default:
      throw new RetryError(`unknown status returned from app while processing pub/sub event ${id}, status: ${status}`);
  }
}
