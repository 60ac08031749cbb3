// One attempt of a call to another sidecar: CallLocalStream with the body as frames, and the unary CallLocal where the
// other end is too old to know it. Request and response run at the same time; either side may be slow.
import { finished, Readable } from "node:stream";
import { create } from "@bufbuild/protobuf";
import {
  type InternalInvokeRequest,
  type InternalInvokeRequestStream,
  InternalInvokeRequestStreamSchema,
  type InternalInvokeResponseStream,
  ServiceInvocation,
} from "../../lib/proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { type ClientStream, type GrpcChannel, GrpcCode, GrpcStatusError, type Metadata } from "../../lib/wire/grpc/types.ts";
import type { AppRequest, AppResponse, HeaderLists } from "../contract/ports.ts";
import { type FrameSource, FrameWriter, pieces, receiveBody } from "./frames.ts";
import { fromInternalResponse, toInternalRequest } from "./internal-messages.ts";
import type { ReplayBody } from "./replay.ts";

/** Announced bodies up to this size are handed on as bytes. */
const gatherMaxBytes = 64 * 1024;

export interface RemoteCall {
  readonly request: AppRequest;
  /** The body: bytes, none, or a stream that may be read again. */
  readonly body: Uint8Array | ReplayBody | null;
  readonly added: HeaderLists;
  readonly metadata: Metadata;
}

type Stream = ClientStream<InternalInvokeRequestStream, InternalInvokeResponseStream>;

/** `done` is called when the connection is no longer used by this call. Rejects with the other end's status. */
export async function callRemote(channel: GrpcChannel, call: RemoteCall, done: () => void, signal: AbortSignal): Promise<AppResponse> {
  const stream = channel.bidi(ServiceInvocation.method.callLocalStream, { metadata: call.metadata, signal });
  let sendError: unknown = null;
  const sending = send(stream, call).catch((error) => {
    // A status comes through the response side; anything else is our own body breaking off.
    if (error instanceof GrpcStatusError) return;
    sendError = error;
    stream.cancel(new GrpcStatusError(GrpcCode.CANCELLED, "the request body broke off"));
  });
  try {
    const response = await receive(stream);
    releaseAfter(response.body, done);
    return response;
  } catch (error) {
    stream.cancel();
    done();
    if (sendError !== null) throw sendError;
    if (!(error instanceof GrpcStatusError) || error.code !== GrpcCode.UNIMPLEMENTED) throw error;
    await sending;
    return callUnary(channel, call, signal);
  }
}

function releaseAfter(body: AppResponse["body"], done: () => void): void {
  if (body instanceof Readable) finished(body, done);
  else done();
}

async function send(stream: Stream, call: RemoteCall): Promise<void> {
  const writer = new FrameWriter();
  let request: InternalInvokeRequest | undefined = toInternalRequest(call.request, call.added, null);
  const write = (data: Uint8Array | null): Promise<void> => {
    const message = create(InternalInvokeRequestStreamSchema);
    if (request) message.request = request;
    if (data !== null) message.payload = writer.frame(data);
    request = undefined;
    return stream.write(message);
  };
  if (call.body === null || call.body instanceof Uint8Array) {
    if (call.body === null || call.body.length === 0) await write(null);
    else for (const piece of pieces(call.body)) await write(piece);
  } else {
    // The request goes ahead of a body that may take its time.
    await write(null);
    for await (const chunk of call.body.read()) for (const piece of pieces(chunk)) await write(piece);
  }
  stream.end();
}

async function receive(stream: Stream): Promise<AppResponse> {
  const messages = stream.messages[Symbol.asyncIterator]();
  const first = await messages.next();
  const leading = first.done ? undefined : first.value;
  if (!leading?.response?.status) throw new Error("response does not contain the required fields in the leading chunk");
  const source: FrameSource = {
    async next() {
      const step = await messages.next();
      if (step.done) return null;
      const { response, payload } = step.value;
      // A Go sidecar streaming server-sent events repeats an empty response in every frame.
      if (response && (response.status || response.message || Object.keys(response.headers).length > 0))
        throw new Error("response metadata found in non-leading chunk");
      return payload;
    },
    cancel: () => stream.cancel(),
  };
  const response = fromInternalResponse(leading.response, empty);
  const body = await receiveBody(leading.payload, source, lengthOf(response.headers), gatherMaxBytes);
  return { ...response, body };
}

const empty = new Uint8Array(0);

function lengthOf(headers: HeaderLists): number | null {
  const text = headers["content-length"]?.[0];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

async function callUnary(channel: GrpcChannel, call: RemoteCall, signal: AbortSignal): Promise<AppResponse> {
  const appId = call.added["destination-app-id"]?.[0];
  if (call.body !== null && !(call.body instanceof Uint8Array) && !call.body.canReplay) {
    throw new Error(`target app '${appId}' is running a version of Dapr that does not support streaming-based service invocation`);
  }
  const data = await whole(call.body);
  const request = toInternalRequest(call.request, call.added, data);
  const { message } = await channel.unary(ServiceInvocation.method.callLocal, request, { metadata: call.metadata, signal });
  return fromInternalResponse(message, message.message?.data?.value ?? empty);
}

async function whole(body: RemoteCall["body"]): Promise<Uint8Array> {
  if (body === null) return empty;
  if (body instanceof Uint8Array) return body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}
