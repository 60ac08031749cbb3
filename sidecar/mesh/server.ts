// The callee's side of the protocol between sidecars: CallLocalStream and the older CallLocal. The method is normalised
// once more here, before policy and dispatch, because the caller may not be one of ours.
import { Readable } from "node:stream";
import { create } from "@bufbuild/protobuf";
import { normalizeMethod } from "../../lib/kit/method-path.ts";
import {
  type InternalInvokeRequest,
  type InternalInvokeRequestStream,
  type InternalInvokeResponseStream,
  InternalInvokeResponseStreamSchema,
  ServiceInvocation,
} from "../../lib/proto/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { childOf, parseTraceparent } from "../../lib/telemetry/trace-context.ts";
import { bidiStreaming, type GrpcCall, type GrpcMethod, unary } from "../../lib/wire/grpc/types.ts";
import type { Authorize } from "../contract/authorize.ts";
import { fromMetadata, setTrace, traceOf } from "../contract/invoke-headers.ts";
import type { App, AppRequest, AppResponse } from "../contract/ports.ts";
import { readBody } from "../contract/read-body.ts";
import { badInvokeRequest, channelFailed, invalidMethod, noAppChannel } from "./errors.ts";
import { type FrameSource, FrameWriter, pieces, receiveBody } from "./frames.ts";
import { fromInternalRequest, toInternalResponse } from "./internal-messages.ts";

const gatherMaxBytes = 64 * 1024;

export interface ServerPorts {
  readonly app: App;
  readonly maxBodyBytes: number;
  readonly authorize: Authorize | null;
}

export function createInternalMethods(ports: ServerPorts): readonly GrpcMethod[] {
  const { method } = ServiceInvocation;
  return [
    unary(method.callLocal, null, async (received, call) => {
      const head = readHead(ports, received, call);
      const response = await invoke(ports, { ...head, body: bytesOrNone(received.message?.data?.value) }, call.signal);
      return toInternalResponse(response, await readBody(response.body, ports.maxBodyBytes));
    }),
    bidiStreaming(method.callLocalStream, null, (requests, call) => callLocalStream(ports, requests, call)),
  ];
}

function bytesOrNone(bytes: Uint8Array | undefined): Uint8Array | null {
  return bytes === undefined || bytes.length === 0 ? null : bytes;
}

async function* callLocalStream(
  ports: ServerPorts,
  requests: AsyncIterable<InternalInvokeRequestStream>,
  call: GrpcCall,
): AsyncGenerator<InternalInvokeResponseStream> {
  if (ports.app.channel === null) throw noAppChannel();
  const messages = requests[Symbol.asyncIterator]();
  const first = await messages.next();
  const leading = first.done ? undefined : first.value;
  if (!leading?.request?.message) throw badInvokeRequest("request does not contain the required fields in the leading chunk");
  const head = readHead(ports, leading.request, call);
  const body = await receiveBody(leading.payload, requestSource(messages), head.contentLength, gatherMaxBytes);
  const response = await invoke(ports, { ...head, body: body instanceof Readable ? body : bytesOrNone(body) }, call.signal);
  if (isEventStream(head) && (response.status < 200 || response.status > 299)) {
    if (response.body instanceof Readable) response.body.destroy();
    throw channelFailed(new Error("no response received from stream"));
  }
  yield* replies(response);
}

function requestSource(messages: AsyncIterator<InternalInvokeRequestStream>): FrameSource {
  return {
    async next() {
      const step = await messages.next();
      if (step.done) return null;
      const { request, payload } = step.value;
      if (request && (request.message || Object.keys(request.metadata).length > 0))
        throw new Error("request metadata found in non-leading chunk");
      return payload;
    },
    cancel: () => void messages.return?.().catch(ignore),
  };
}

function ignore(): void {}

async function* replies(response: AppResponse): AsyncGenerator<InternalInvokeResponseStream> {
  const writer = new FrameWriter();
  const head = create(InternalInvokeResponseStreamSchema, { response: toInternalResponse(response, null) });
  const { body } = response;
  if (body instanceof Uint8Array) {
    const [firstPiece, ...rest] = pieces(body);
    if (firstPiece) head.payload = writer.frame(firstPiece);
    yield head;
    for (const piece of rest) yield create(InternalInvokeResponseStreamSchema, { payload: writer.frame(piece) });
    return;
  }
  // Leaving the loops early, when the caller goes away, destroys the app's response.
  try {
    yield head;
    for await (const chunk of body as AsyncIterable<Uint8Array>)
      for (const piece of pieces(chunk)) yield create(InternalInvokeResponseStreamSchema, { payload: writer.frame(piece) });
  } finally {
    body.destroy();
  }
}

/** The request without its body, its trace continued by this hop. */
function readHead(ports: ServerPorts, received: InternalInvokeRequest, call: GrpcCall): Omit<AppRequest, "body"> {
  if (ports.app.channel === null) throw noAppChannel();
  const head = fromInternalRequest(received, normalized(received.message?.method ?? ""));
  if (head === null) throw badInvokeRequest("field Message is nil");
  ports.authorize?.(call, head.method, head.verb || "NONE");
  const caller = traceOf(fromMetadata(call.metadata)) ?? parseTraceparent(head.headers["traceparent"]?.[0], undefined);
  setTrace(head.headers, childOf(caller, false));
  delete head.headers["grpc-trace-bin"];
  return head;
}

function normalized(method: string): string {
  try {
    return normalizeMethod(method);
  } catch (error) {
    throw invalidMethod(error);
  }
}

async function invoke(ports: ServerPorts, request: AppRequest, signal: AbortSignal): Promise<AppResponse> {
  try {
    return await (ports.app.channel as NonNullable<App["channel"]>).invoke(request, signal);
  } catch (error) {
    throw channelFailed(error);
  }
}

function isEventStream(head: Omit<AppRequest, "body">): boolean {
  return head.headers["accept"]?.[0]?.trim().toLowerCase() === "text/event-stream";
}
